"""Small pictures of what is stored, for people to recognise a moment by."""

from memory.record import Record
from services.errors import NothingStored
from services.moments import show_ns
from streaming.footage import FootageStore
from streaming.messages import Span
from streaming.thumbnail import thumbnail


def middle_of(span: Span, record: Record, footage: FootageStore) -> bytes:
    """A JPEG from the middle of a span, or from near it, where that is not stored.

    Raises:
        NothingStored, FootageError, MediaError
    """
    segments = record.segments([span])
    if not segments:
        raise NothingStored(span.stream_id, show_ns(span.start_ns), show_ns(span.end_ns))
    middle_ns = (span.start_ns + span.end_ns) // 2
    segment = next((one for one in segments if one.span.end_ns > middle_ns), segments[-1])
    with footage.open_local(segment.uri) as path:
        return thumbnail(
            path,
            pts_origin=segment.pts_origin,
            after_origin_ns=max(0, middle_ns - segment.span.start_ns),
        )
