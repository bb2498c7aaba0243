"""Sets of spans: what lies inside a range of interest, and what sticks out of it.

Pure. Spans are half-open, and spans of different streams never overlap.
"""

from collections.abc import Iterable, Sequence

from streaming.messages import Span

END_OF_TIME_NS = 2**63 - 1


def whole_stream(stream_id: str) -> Span:
    """All of a stream, whatever its length."""
    return Span(stream_id=stream_id, start_ns=0, end_ns=END_OF_TIME_NS)


def overlaps_any(span: Span, within: Sequence[Span] | None) -> bool:
    """Whether a span overlaps any of `within`; None is everything."""
    return within is None or any(_overlap(span, wanted) for wanted in within)


def outside(span: Span, holes: Iterable[Span]) -> list[Span]:
    """The parts of a span that no hole covers, in order of time."""
    rest = [span]
    for hole in holes:
        rest = [part for piece in rest for part in _without(piece, hole)]
    return rest


def _overlap(one: Span, other: Span) -> bool:
    return one.stream_id == other.stream_id and one.overlaps(other.start_ns, other.end_ns)


def _without(piece: Span, hole: Span) -> list[Span]:
    if not _overlap(piece, hole):
        return [piece]
    bounds = (piece.start_ns, hole.start_ns), (hole.end_ns, piece.end_ns)
    return [
        piece.model_copy(update={"start_ns": start_ns, "end_ns": end_ns})
        for start_ns, end_ns in bounds
        if start_ns < end_ns
    ]
