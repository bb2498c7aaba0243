"""Words are compared whatever their form, and nothing more than their form is dropped."""

import pytest

from memory.words import content_words, is_negated, searched_words, stem


@pytest.mark.parametrize(
    "forms",
    [
        "cross crosses crossed crossing",
        "go goes going",
        "leave leaves leaving",
        "close closes closed closing",
        "carry carries carried carrying",
        "stop stops stopped stopping",
        "fall falls falling",
        "add adds added adding",
        "use uses used using",
        "see sees seeing",
        "need needs needed",
        "agree agrees agreed agreeing",
        "die dies died",
        "pass passes passed passing",
        "turn turns turned turning",
        "put puts putting",
        "wave waves waved waving",
        "travel travels travelled travelling",
        "box boxes",
        "bus buses",
        "gas gases",
        "glass glasses",
        "house houses",
        "horse horses",
        "tree trees",
        "building buildings",
    ],
)
def test_all_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "words", ["on off", "up down", "in into", "red rod", "sing sign", "one on", "off of", "bed bee"]
)
def test_different_words_keep_different_stems(words: str) -> None:
    assert len({stem(word) for word in words.split()}) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The small, grey heron is landing.", "small grey heron land"),
        ("a HERON'S nest", "heron nest"),
        ("the herons' nests", "heron nest"),
        ("it's an old Citroën", "old citroen"),
        ("it doesn't land", "not land"),
        ("two lights, 14:30", "two light 14 30"),
        ("птица летит", "птица летит"),
        ("under_score", "under score"),
        ("the of and", ""),
        ("", ""),
        ("?!", ""),
    ],
)
def test_only_what_carries_meaning_is_left(text: str, expected: str) -> None:
    assert content_words(text) == tuple(content_words(expected))
    assert content_words(text) == tuple(stem(word) for word in expected.split())


def test_content_words_of_content_words_are_the_same() -> None:
    once = content_words("The small grey heron lands and calls near some reeds")
    assert content_words(" ".join(once)) == once


@pytest.mark.parametrize("text", ["no heron lands", "it doesn't land", "nobody is there"])
def test_denials_are_told_from_statements(text: str) -> None:
    assert is_negated(text)
    assert not is_negated("the heron lands")


def test_a_search_looks_for_each_word_once_and_for_so_many_only() -> None:
    assert searched_words("heron, herons, the HERON lands") == ["heron", "land"]
    assert len(searched_words(" ".join(f"w{number}" for number in range(20_000)))) == 64
