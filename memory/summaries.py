"""What happened in a span, folded: how often each thing, from when to when, and what was watched.

A fold of spans that follow one another equals the fold of what they are made of, however they were
cut, as long as the cuts are at whole minutes. So minutes make hours and hours make days, and
nothing is read twice.

For that, what goes on across a cut is told apart from what begins after it: `begun` adds up, and
`carried` is that of the first span. Whether something goes on is decided by the notes near the
cut, so the events that a span is summarised from reach `CONTEXT_NS` beyond it.

Pure: no clock, no I/O, and nobody's vocabulary.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import reduce

from pydantic import BaseModel, ConfigDict

from memory.events import occurrences
from memory.values import DAY_NS, ClipEvent
from memory.words import content_words
from streaming.messages import NS_PER_S, Nanoseconds, Span, StreamGap

MINUTE_NS = 60 * NS_PER_S
CONTEXT_NS = MINUTE_NS
"""Longer than a clip and what a note may tell of before it, together."""

_FROZEN = ConfigDict(frozen=True, extra="forbid")

Stretch = tuple[int, int]


class Level(StrEnum):
    """The lengths of the spans whose summaries are kept."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length_ns(self) -> int:
        return {Level.MINUTE: MINUTE_NS, Level.HOUR: 60 * MINUTE_NS, Level.DAY: DAY_NS}[self]


class NotedKind(BaseModel):
    """What was noted in the same words: how often, and when.

    text               in the words in which it was noted first
    begun              how often it began within the span
    carried            how many went on from before it
    first_ns, last_ns  when it was seen first, and until when, within the span
    lasted_ns          for how long, all in all
    """

    model_config = _FROZEN

    text: str
    begun: Nanoseconds
    carried: Nanoseconds
    first_ns: Nanoseconds
    last_ns: Nanoseconds
    lasted_ns: Nanoseconds

    @property
    def count(self) -> int:
        return self.begun + self.carried


class BusyMinute(BaseModel):
    """A minute, or the part of one that lies in the span, and how much began in it."""

    model_config = _FROZEN

    span: Span
    begun: int


class Summary(BaseModel):
    """A span, folded. Calm is what was watched and shows nothing that was noted.

    gaps           what was not watched, in order of time; they neither touch nor overlap, but for
                   different reasons
    busiest        the minute in which most began, the first of them; None if nothing began
    calm_until_ns  how far it is calm from its start on
    calm_from_ns   from when on it is calm until its end
    calmest        the longest calm stretch, the first of them
    """

    model_config = _FROZEN

    span: Span
    kinds: tuple[NotedKind, ...]
    gaps: tuple[StreamGap, ...]
    busiest: BusyMinute | None
    calm_until_ns: int
    calm_from_ns: int
    calmest: Span | None

    @property
    def asked_ns(self) -> int:
        return self.span.end_ns - self.span.start_ns

    @property
    def watched_ns(self) -> int:
        return self.asked_ns - sum(gap.span.end_ns - gap.span.start_ns for gap in self.gaps)


def summary_of(span: Span, events: Iterable[ClipEvent], gaps: Iterable[StreamGap]) -> Summary:
    """Summarise what was noted. Events reach `CONTEXT_NS` beyond the span; gaps may."""
    events = list(events)
    seen = occurrences(events)
    within = [one for one in seen if one.span.overlaps(span.start_ns, span.end_ns)]
    unwatched = _coalesced(span, gaps)
    taken = [(one.span.start_ns, one.span.end_ns) for one in (*within, *unwatched)]
    calm = list(_between(span, sorted(taken)))
    begun = defaultdict[int, int](int)
    for one in within:
        if one.span.start_ns >= span.start_ns:
            begun[one.span.start_ns // MINUTE_NS] += 1
    minute, most = max(begun.items(), key=lambda pair: (pair[1], -pair[0]), default=(0, 0))
    return Summary(
        span=span,
        kinds=_kinds(span, events, [one.span for one in within], [one.text for one in within]),
        gaps=unwatched,
        busiest=BusyMinute(span=_minute(span, minute), begun=most) if most else None,
        calm_until_ns=calm[0][1] if calm and calm[0][0] == span.start_ns else span.start_ns,
        calm_from_ns=calm[-1][0] if calm and calm[-1][1] == span.end_ns else span.end_ns,
        calmest=_longest(span, calm),
    )


def joined(first: Summary, second: Summary) -> Summary:
    """Two summaries as one, of which the second begins where the first ends."""
    assert first.span.stream_id == second.span.stream_id
    assert first.span.end_ns == second.span.start_ns
    span = _part(first.span, first.span.start_ns, second.span.end_ns)
    calm = [(first.calm_from_ns, second.calm_until_ns)]
    calm += [(one.start_ns, one.end_ns) for one in (first.calmest, second.calmest) if one]
    is_calm = first.calm_until_ns == first.span.end_ns, second.calm_from_ns == second.span.start_ns
    busiest = [one for one in (first.busiest, second.busiest) if one]
    return Summary(
        span=span,
        kinds=_joined_kinds(first.kinds, second.kinds),
        gaps=_coalesced(span, (*first.gaps, *second.gaps)),
        busiest=max(busiest, key=lambda one: (one.begun, -one.span.start_ns), default=None),
        calm_until_ns=second.calm_until_ns if is_calm[0] else first.calm_until_ns,
        calm_from_ns=first.calm_from_ns if is_calm[1] else second.calm_from_ns,
        calmest=_longest(span, [one for one in calm if one[0] < one[1]]),
    )


def folded(
    span: Span,
    *,
    stored: Callable[[Level, int], Summary | None],
    noted: Callable[[Span], Summary],
) -> Summary:
    """The summary of a span: of stored ones where whole ones lie in it, of notes between them."""
    return reduce(joined, _pieces(span, stored, noted))


def cut(span: Span, level: Level) -> list[Span]:
    """The span in pieces that end at whole minutes, hours or days."""
    starts_ns = [
        span.start_ns,
        *range(_next(span.start_ns, level.length_ns), span.end_ns, level.length_ns),
    ]
    return [
        _part(span, start_ns, end_ns)
        for start_ns, end_ns in zip(starts_ns, [*starts_ns[1:], span.end_ns], strict=True)
    ]


def around(span: Span) -> Span:
    """The span, and as much around it as decides what goes on across its ends."""
    return _part(span, max(0, span.start_ns - CONTEXT_NS), span.end_ns + CONTEXT_NS)


def _pieces(
    span: Span,
    stored: Callable[[Level, int], Summary | None],
    noted: Callable[[Span], Summary],
) -> Iterator[Summary]:
    bare_ns = at_ns = span.start_ns
    while at_ns < span.end_ns:
        kept = _longest_stored(at_ns, span.end_ns, stored)
        if kept is None:
            at_ns = min(_next(at_ns, MINUTE_NS), span.end_ns)
            continue
        if bare_ns < at_ns:
            yield noted(_part(span, bare_ns, at_ns))
        yield kept
        bare_ns = at_ns = kept.span.end_ns
    if bare_ns < at_ns:
        yield noted(_part(span, bare_ns, at_ns))


def _longest_stored(
    at_ns: int, end_ns: int, stored: Callable[[Level, int], Summary | None]
) -> Summary | None:
    for level in reversed(Level):
        if at_ns % level.length_ns == 0 and at_ns + level.length_ns <= end_ns:
            kept = stored(level, at_ns)
            if kept is not None:
                return kept
    return None


def _kinds(
    span: Span, events: Sequence[ClipEvent], seen: Sequence[Span], texts: Sequence[str]
) -> tuple[NotedKind, ...]:
    first_words: dict[tuple[str, ...], tuple[int, str]] = {}
    for one in events:
        if one.event.span.overlaps(span.start_ns, span.end_ns):
            words, told = content_words(one.event.text), (one.event.span.start_ns, one.event.text)
            first_words[words] = min(first_words.get(words, told), told)
    groups = defaultdict[tuple[str, ...], list[Span]](list)
    for one, text in zip(seen, texts, strict=True):
        groups[content_words(text)].append(one)
    kinds = [
        NotedKind(
            text=first_words.get(words, (0, " ".join(words)))[1],
            begun=sum(one.start_ns >= span.start_ns for one in group),
            carried=sum(one.start_ns < span.start_ns for one in group),
            first_ns=max(span.start_ns, min(one.start_ns for one in group)),
            last_ns=min(span.end_ns, max(one.end_ns for one in group)),
            lasted_ns=sum(
                min(span.end_ns, one.end_ns) - max(span.start_ns, one.start_ns) for one in group
            ),
        )
        for words, group in groups.items()
    ]
    return tuple(sorted(kinds, key=_order))


def _joined_kinds(first: Iterable[NotedKind], second: Iterable[NotedKind]) -> tuple[NotedKind, ...]:
    kinds = {content_words(one.text): one for one in first}
    for later in second:
        words = content_words(later.text)
        earlier = kinds.get(words)
        kinds[words] = later if earlier is None else _joined_kind(earlier, later)
    return tuple(sorted(kinds.values(), key=_order))


def _joined_kind(earlier: NotedKind, later: NotedKind) -> NotedKind:
    return NotedKind(
        text=earlier.text,
        begun=earlier.begun + later.begun,
        carried=earlier.carried,
        first_ns=earlier.first_ns,
        last_ns=later.last_ns,
        lasted_ns=earlier.lasted_ns + later.lasted_ns,
    )


def _order(kind: NotedKind) -> tuple[int, str]:
    return (kind.first_ns, kind.text)


def _coalesced(span: Span, gaps: Iterable[StreamGap]) -> tuple[StreamGap, ...]:
    """The gaps within the span, of which no two overlap, or touch for the same reason."""
    found: list[StreamGap] = []
    done_ns = span.start_ns
    for gap in sorted(gaps, key=lambda gap: (gap.span.start_ns, gap.span.end_ns)):
        start_ns, end_ns = max(done_ns, gap.span.start_ns), min(span.end_ns, gap.span.end_ns)
        if start_ns >= end_ns:
            continue
        if found and found[-1].span.end_ns == start_ns and found[-1].reason == gap.reason:
            start_ns = found.pop().span.start_ns
        found.append(StreamGap(span=_part(span, start_ns, end_ns), reason=gap.reason))
        done_ns = end_ns
    return tuple(found)


def _between(span: Span, taken: Iterable[Stretch]) -> Iterator[Stretch]:
    """The stretches of a span between others, which come in order."""
    free_ns = span.start_ns
    for start_ns, end_ns in taken:
        if free_ns < min(start_ns, span.end_ns):
            yield free_ns, min(start_ns, span.end_ns)
        free_ns = max(free_ns, end_ns)
    if free_ns < span.end_ns:
        yield free_ns, span.end_ns


def _longest(span: Span, stretches: Iterable[Stretch]) -> Span | None:
    longest = max(stretches, key=lambda one: (one[1] - one[0], -one[0]), default=None)
    return None if longest is None else _part(span, *longest)


def _minute(span: Span, number: int) -> Span:
    start_ns = number * MINUTE_NS
    return _part(span, max(span.start_ns, start_ns), min(span.end_ns, start_ns + MINUTE_NS))


def _next(at_ns: int, length_ns: int) -> int:
    return (at_ns // length_ns + 1) * length_ns


def _part(span: Span, start_ns: int, end_ns: int) -> Span:
    return Span(stream_id=span.stream_id, start_ns=start_ns, end_ns=end_ns)
