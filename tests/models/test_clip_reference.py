"""How requests name clips."""

import pytest

from models.clip_reference import ClipReference, LeadInReference

CLIP = "door:10000000000-20000000000:3fa9c2d1aaaa"
BEFORE = "door:0-10000000000:3fa9c2d1aaaa"


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (ClipReference(CLIP), f"clip:{CLIP}"),
        (
            ClipReference(CLIP, LeadInReference(BEFORE, 10.0)),
            f"clip:{CLIP}?lead_in={BEFORE}&ends_s=10.0",
        ),
        (ClipReference("a b?c&d=é"), "clip:a%20b%3Fc%26d%3D%C3%A9"),
    ],
)
def test_a_reference_reads_back_as_it_was_written(reference: ClipReference, text: str):
    assert str(reference) == text
    assert ClipReference.parse(text) == reference


@pytest.mark.parametrize("text", ["", "clip:", "clip:?lead_in=a", CLIP, "http://camera/film.mp4"])
def test_what_names_no_clip_is_refused(text: str):
    with pytest.raises(ValueError, match="names no clip; write clip:"):
        ClipReference.parse(text)


@pytest.mark.parametrize("query", ["lead_in=a", "ends_s=1", "lead_in=a&ends_s=soon", "&", "a"])
def test_half_a_lead_in_is_refused(query: str):
    with pytest.raises(ValueError, match="has no whole lead-in; write"):
        ClipReference.parse(f"clip:{CLIP}?{query}")


def test_what_is_not_known_is_not_passed_over():
    with pytest.raises(ValueError, match="what is not known: fps"):
        ClipReference.parse(f"clip:{CLIP}?lead_in={BEFORE}&ends_s=1&fps=2")
