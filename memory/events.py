"""Arithmetic over noted events: merging, matching, counting, ordering, intervals, states.

It works on words as such and knows nobody's vocabulary. A model notes clip by clip, so what
goes on across a clip boundary is noted in pieces; `occurrences` joins them first, and all
else works on occurrences. Times are integer nanoseconds. Within a stream they are media
time; across streams, order follows wall time, that is, epoch + media time.

Pure: no clock, no I/O. The one outward hook is a callable that compares two texts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from memory.spans import overlaps_any
from memory.values import ClipEvent
from memory.words import content_words, is_negated
from streaming.messages import NS_PER_S, Span

JOIN_TOLERANCE_NS = NS_PER_S
"""How far from the edge of its clip a piece may stop and still have been cut by it.

A model gives times to about the distance of two sampled frames, which is up to a second.
"""

Similarity = Callable[[str, str], float]
"""Says how alike two texts are, 1 for the same meaning; such as a cosine of their vectors."""

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened once: its interval, and the clips that it was noted in."""

    text: str
    span: Span
    epoch_at: datetime
    clip_ids: tuple[str, ...]

    @property
    def starts_at_ns(self) -> int:
        """Wall time of the start, nanoseconds since 1970: comparable across streams."""
        return _unix_ns(self.epoch_at) + self.span.start_ns

    @property
    def ends_at_ns(self) -> int:
        return _unix_ns(self.epoch_at) + self.span.end_ns


class StateNow(StrEnum):
    """Whether something that began still goes on."""

    HOLDS = "holds"
    ENDED = "ended"
    UNKNOWN = "unknown"


def occurrences(events: Iterable[ClipEvent]) -> list[Occurrence]:
    """Join the pieces of what goes on across clip boundaries; in order of wall time.

    Two pieces of one stream are one occurrence when their words are the same and either they
    overlap, or they lie in two clips, the first stops within `JOIN_TOLERANCE_NS` of the end of
    its clip, the second starts within as much of the start of its own, and no more than that lies
    between them. Pieces apart within one clip stay apart: whoever noted them saw both.
    """
    joined: list[Occurrence] = []
    reaching: dict[tuple[str, tuple[str, ...]], tuple[int, ClipEvent]] = {}
    for piece in sorted(events, key=_reading_order):
        key = (piece.event.span.stream_id, content_words(piece.event.text))
        at, furthest = reaching.get(key, (-1, None))
        if furthest is not None and _goes_on(furthest, piece):
            joined[at] = _extended(joined[at], piece)
            if piece.event.span.end_ns < furthest.event.span.end_ns:
                continue
        else:
            at = len(joined)
            joined.append(
                Occurrence(
                    text=piece.event.text,
                    span=piece.event.span,
                    epoch_at=piece.epoch_at,
                    clip_ids=(piece.clip_id,),
                )
            )
        reaching[key] = (at, piece)
    return sorted(joined, key=_wall_order)


def matches(
    phrase: str, text: str, *, similar: Similarity | None = None, at_least: float = 1.0
) -> bool:
    """Whether an event text says what the phrase says, and perhaps more.

    Every content word of the phrase must be in the text, as often; or `similar` must find
    the two alike by `at_least`. A denial never matches a statement. A phrase without content
    words matches nothing.
    """
    if is_negated(phrase) != is_negated(text):
        return False
    wanted = content_words(phrase)
    if not wanted:
        return False
    held = list(content_words(text))
    if all(wanted.count(word) <= held.count(word) for word in wanted):
        return True
    return similar is not None and similar(phrase, text) >= at_least


def matching(
    phrases: str | Sequence[str],
    among: Iterable[Occurrence],
    *,
    similar: Similarity | None = None,
    at_least: float = 1.0,
) -> list[Occurrence]:
    """The occurrences that match any of the phrases, in the order given."""
    wanted = [phrases] if isinstance(phrases, str) else list(phrases)
    verdicts: dict[str, bool] = {}
    for occurrence in (among := list(among)):
        if occurrence.text not in verdicts:
            verdicts[occurrence.text] = any(
                matches(phrase, occurrence.text, similar=similar, at_least=at_least)
                for phrase in wanted
            )
    return [occurrence for occurrence in among if verdicts[occurrence.text]]


def in_range(among: Iterable[Occurrence], within: Sequence[Span]) -> list[Occurrence]:
    """The occurrences that overlap any of the spans."""
    return [occurrence for occurrence in among if overlaps_any(occurrence.span, within)]


def first(among: Iterable[Occurrence]) -> Occurrence | None:
    """The one that starts first."""
    return min(among, key=_wall_order, default=None)


def last(among: Iterable[Occurrence]) -> Occurrence | None:
    """The one that starts last."""
    return max(among, key=_wall_order, default=None)


def order(named: Mapping[str, Iterable[Occurrence]]) -> list[tuple[str, Occurrence]]:
    """Each name with its first occurrence, by start; names without one are left out."""
    firsts = [(name, first(group)) for name, group in named.items()]
    found = [(name, occurrence) for name, occurrence in firsts if occurrence is not None]
    return sorted(found, key=lambda pair: _wall_order(pair[1]))


def gap_ns(one: Occurrence, other: Occurrence) -> int:
    """Time between the end of the earlier and the start of the later; 0 if they overlap."""
    earlier, later = sorted((one, other), key=_wall_order)
    return max(0, later.starts_at_ns - earlier.ends_at_ns)


def still_holds(
    begins: Iterable[Occurrence], ends: Iterable[Occurrence], *, at_ns: int | None = None
) -> tuple[StateNow, Occurrence | None]:
    """Whether what `begins` began goes on at `at_ns` (wall time, None: the end of all).

    The later of the last beginning and the last ending decides, and is returned with the
    verdict. Unknown where neither was seen, or where both start at the same instant.
    """
    began = last(_started(begins, at_ns))
    ended = last(_started(ends, at_ns))
    if began is None and ended is None:
        return StateNow.UNKNOWN, None
    if began is None or (ended is not None and ended.starts_at_ns > began.starts_at_ns):
        return StateNow.ENDED, ended
    if ended is None or began.starts_at_ns > ended.starts_at_ns:
        return StateNow.HOLDS, began
    return StateNow.UNKNOWN, None


def _goes_on(furthest: ClipEvent, piece: ClipEvent) -> bool:
    """Whether `piece` tells of what `furthest`, its piece that ends last, told of before."""
    end_ns, start_ns = furthest.event.span.end_ns, piece.event.span.start_ns
    if start_ns < end_ns:
        return True
    return (
        furthest.clip_span.end_ns <= piece.clip_span.start_ns
        and furthest.clip_span.end_ns - end_ns <= JOIN_TOLERANCE_NS
        and start_ns - piece.clip_span.start_ns <= JOIN_TOLERANCE_NS
        and start_ns - end_ns <= JOIN_TOLERANCE_NS
    )


def _extended(so_far: Occurrence, piece: ClipEvent) -> Occurrence:
    end_ns = max(so_far.span.end_ns, piece.event.span.end_ns)
    known = so_far.clip_ids
    return replace(
        so_far,
        span=so_far.span.model_copy(update={"end_ns": end_ns}),
        clip_ids=known if piece.clip_id in known else (*known, piece.clip_id),
    )


def _started(among: Iterable[Occurrence], at_ns: int | None) -> list[Occurrence]:
    return [one for one in among if at_ns is None or one.starts_at_ns < at_ns]


def _reading_order(piece: ClipEvent) -> tuple[str, int, int, int, str, str]:
    span = piece.event.span
    clip_start_ns = piece.clip_span.start_ns
    return (
        span.stream_id,
        span.start_ns,
        span.end_ns,
        clip_start_ns,
        piece.clip_id,
        piece.event.text,
    )


def _wall_order(one: Occurrence) -> tuple[int, int, str, str]:
    return (one.starts_at_ns, one.ends_at_ns, one.span.stream_id, one.text)


def _unix_ns(at: datetime) -> int:
    return (at - _UNIX_EPOCH) // timedelta(microseconds=1) * 1000
