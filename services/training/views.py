"""Stretches of labelled footage that begin and end elsewhere than clips, to learn from as well.

A few dozen clips are soon known by heart, by whoever stands about, by where they begin and by their
light. The same happenings in stretches of other lengths, which begin at other pictures and are
lighter or darker, are not. None cuts anything in two: what is half seen could be something else.

Pure.
"""

from collections.abc import Iterator
from random import Random

from services.training.truth import Truth
from streaming.messages import Span

MOST_VIEWS = 8  # that begin in one clip
DARKEST, LIGHTEST = 0.5, 1.5  # how a stretch is shown, of the light that it was filmed in
SHORTEST_PICTURES = 4
EDGE_NS = 300_000_000
"""What lies so near to an edge is not cut: labels are no more exact than that."""


def views_of(truth: Truth, place: int) -> Iterator[Span]:
    """Stretches that begin in a clip and are as long at most, of none but labelled clips."""
    clip = truth.notes[place]
    end_ns = clip.span.end_ns
    if truth.origin(place) != "label":
        return
    if truth.is_led_into(place + 1) and truth.origin(place + 1) == "label":
        end_ns = truth.notes[place + 1].span.end_ns
    rng = Random(f"{clip.clip_id} views")
    begins = list(range(clip.span.start_ns, clip.span.end_ns, truth.picture_ns))
    found = 0
    for start_ns in rng.sample(begins, len(begins)):
        latest_ns = min(end_ns, start_ns + clip.span.end_ns - clip.span.start_ns)
        shortest_ns = start_ns + SHORTEST_PICTURES * truth.picture_ns
        ends = [
            at_ns
            for at_ns in range(shortest_ns, latest_ns + 1, truth.picture_ns)
            if not _cuts(truth, at_ns)
        ]
        if ends and not _cuts(truth, start_ns) and found < MOST_VIEWS:
            found += 1
            yield clip.span.model_copy(update={"start_ns": start_ns, "end_ns": rng.choice(ends)})


def light_of(view: Span) -> float:
    """How much of its light a stretch is shown in, ever the same for one stretch."""
    rng = Random(f"{view.stream_id} {view.start_ns} {view.end_ns} light")
    return DARKEST * (LIGHTEST / DARKEST) ** rng.random()


def _cuts(truth: Truth, at_ns: int) -> bool:
    return any(
        one.span.start_ns + EDGE_NS < at_ns < one.span.end_ns - EDGE_NS for one in truth.occurrences
    )
