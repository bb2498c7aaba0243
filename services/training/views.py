"""Labelled footage cut elsewhere than into its clips, to learn from as well.

A few dozen clips are soon known by heart, by whoever stands about, by the instants of their
pictures and by their light. So the same happenings are also shown, lighter or darker, in

    stretches   of other lengths, which begin and end elsewhere, and cut nothing in two: what is
                half seen could be something else
    moved       clips, which begin a part of a picture's time earlier or later, and so show other
                pictures of all that the clip shows, after what was before it

Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from models.schemas import Note
from services.training.truth import Truth, moved
from streaming.messages import Span

MOST_VIEWS = 8  # stretches that begin in one clip, and times that it is moved
PARTS = 16  # of the time from picture to picture
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


@dataclass(frozen=True, slots=True)
class Moved:
    """A clip that begins up to half the time from picture to picture earlier or later.

    `before` is as much footage before it, if there is as much, or what there is.
    """

    span: Span
    before: Span | None
    note: Note


def moved_clips(truth: Truth, place: int) -> Iterator[Moved]:
    """A labelled clip, moved."""
    if truth.origin(place) != "label":
        return
    clip, led = truth.notes[place].span, truth.is_led_into(place)
    first = -PARTS // 2 if led else 0
    last = PARTS // 2 if truth.is_led_into(place + 1) else 0
    rng = Random(f"{truth.notes[place].clip_id} moved")
    parts = list(range(first, last + 1))
    for part in rng.sample(parts, min(MOST_VIEWS, len(parts))):
        by_ns = truth.picture_ns * part // PARTS
        if (note := truth.moved(place, by_ns)) is not None:
            span = moved(clip, by_ns)
            from_ns = max(0, span.start_ns - (clip.end_ns - clip.start_ns))
            times = {"start_ns": from_ns, "end_ns": span.start_ns}
            yield Moved(span, span.model_copy(update=times) if led else None, note)


def light_of(view: Span) -> float:
    """How much of its light a view is shown in, ever the same for one view."""
    rng = Random(f"{view.stream_id} {view.start_ns} {view.end_ns} light")
    return DARKEST * (LIGHTEST / DARKEST) ** rng.random()


def _cuts(truth: Truth, at_ns: int) -> bool:
    return any(
        one.span.start_ns + EDGE_NS < at_ns < one.span.end_ns - EDGE_NS for one in truth.occurrences
    )
