"""What was filmed, to be seen: pictures and videos of clips, and HLS of any span.

Nothing is encoded again but thumbnails.
"""

import hashlib
import tempfile
from contextlib import ExitStack
from datetime import datetime
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.api.access import Caller, Viewer
from services.api.clips import note_of
from services.api.clips import routes as clip_routes
from services.api.errors import NotPlayable, RangeTooLong
from services.api.given import Given, GivenHere
from services.api.held_file import CACHING, HeldFile
from services.api.playlist import CONTENT_TYPE, LEAD_S, name_of, playlist
from services.errors import NothingStored
from services.export import export
from services.moments import show_ns
from services.streams import span_of
from services.thumbnails import middle_of
from streaming.footage import FootageStore
from streaming.messages import NS_PER_S, SegmentReady, Span, wall_time
from streaming.moov import media_offset_bytes
from streaming.rebase import rebased
from streaming.segments import read_segment

MAX_VIDEO_S = 3600.0
MAX_PLAYLIST_S = 6 * 3600.0
HEAD_BYTES = 64 * 1024  # more than stands before the media of a segment
MP4 = "video/mp4"
TYPE_OF = {"mp4": MP4, "mkv": "video/x-matroska"}

From = Annotated[str, Query(alias="from", description="0:10:00 into it, or 2025-03-01T14:00")]
To = Annotated[str | None, Query(description="Written like `from`. Default: its end.")]
PLAYS: dict[int | str, dict[str, Any]] = {
    200: {"content": {MP4: {}}},
    206: {"description": "A range of it", "content": {MP4: {}}},
}

routes = APIRouter(tags=["footage"])


@routes.get(
    clip_routes.prefix + "/{clip_id}/thumbnail",
    summary="A picture from the middle of a clip",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def clip_thumbnail(clip_id: str, given: GivenHere, caller: Viewer) -> Response:
    span, stores = note_of(clip_id, given, caller).span, given.stores
    picture = middle_of(span, stores.record, stores.footage)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": CACHING})


@routes.get(
    clip_routes.prefix + "/{clip_id}/video",
    summary="A clip as MP4, from the keyframe before it on",
    response_class=Response,
    responses=PLAYS,
)
def clip_video(clip_id: str, given: GivenHere, caller: Viewer) -> Response:
    return _video(given, note_of(clip_id, given, caller).span)


@routes.get(
    "/v1/streams/{name}/video",
    summary="A span of a stream as MP4, from the keyframe before it on",
    response_class=Response,
    responses=PLAYS,
)
def stream_video(
    name: str, given: GivenHere, caller: Viewer, start: From = "0:00", to: To = None
) -> Response:
    return _video(given, _span(given, caller, name, start, to, most_s=MAX_VIDEO_S))


@routes.get(
    "/v1/streams/{name}/playlist.m3u8",
    summary="A span of a stream as an HLS playlist",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE: {}}}},
)
def stream_playlist(
    name: str, given: GivenHere, caller: Viewer, start: From = "0:00", to: To = None
) -> Response:
    span = _span(given, caller, name, start, to, most_s=MAX_PLAYLIST_S)
    segments = _segments(given, span)
    text = playlist(segments, span, partial(_offset_bytes, given.stores.footage))
    return Response(text, media_type=CONTENT_TYPE, headers={"Cache-Control": CACHING})


@routes.get(
    "/v1/streams/{name}/segments/{file}",
    summary="A file of a playlist",
    response_class=Response,
    responses=PLAYS,
)
def segment_file(name: str, file: str, given: GivenHere, caller: Viewer) -> Response:
    caller.must_see(name)
    given.stores.registry.stream(name)
    segment = _segment_named(given, name, file)
    with ExitStack() as stack:
        path = stack.enter_context(given.stores.footage.open_local(segment.uri))
        if path.suffix == ".mp4":
            data = _on_one_timeline(path, segment)
            path = Path(stack.enter_context(_folder()), file)
            path.write_bytes(data)
        return _held(path, stack, [segment])


def _on_one_timeline(path: Path, segment: SegmentReady) -> bytes:
    """A segment's file, with the times that a playlist gives it."""
    _, facts = read_segment(path, uri=segment.uri, size_bytes=segment.size_bytes)
    starts_s = LEAD_S + Fraction(segment.span.start_ns, NS_PER_S)
    return rebased(path.read_bytes(), starts_s - Fraction(facts.origin_s))


def _video(given: Given, span: Span) -> Response:
    segments = _segments(given, span)
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        path = Path(folder, "video.mp4")
        export(given.stores.record, given.stores.footage, span, path)
        return _held(path, stack, segments, about=f"{span.start_ns}-{span.end_ns}")


def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="longwatch-")


def _held(path: Path, stack: ExitStack, segments: list[SegmentReady], about: str = "") -> HeldFile:
    """A reply that takes over what `stack` holds. The same footage has the same tag."""
    made_of = [about, *(f"{one.epoch_at}{one.uri}{one.size_bytes}" for one in segments)]
    last = segments[-1]
    return HeldFile(
        path,
        stack.pop_all(),
        media_type=TYPE_OF[path.suffix.removeprefix(".")],
        tag=hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:32],
        made_at=wall_time(last.epoch_at, last.span.end_ns),
    )


def _span(
    given: Given, caller: Caller, name: str, start: str, to: str | None, *, most_s: float
) -> Span:
    caller.must_see(name)
    span = span_of(given.stores, name, start, to)
    if span.duration_s > most_s:
        raise RangeTooLong(length_s=span.duration_s, most_s=most_s)
    return span


def _segments(given: Given, span: Span) -> list[SegmentReady]:
    segments = given.stores.record.segments([span])
    if not segments:
        raise NothingStored(span.stream_id, show_ns(span.start_ns), show_ns(span.end_ns))
    return segments


def _segment_named(given: Given, stream_id: str, file: str) -> SegmentReady:
    start, _, rest = file.partition("-")
    end = rest.partition(".")[0]
    if all(text.isascii() and text.isdigit() and len(text) < 20 for text in (start, end)):
        start_ns, end_ns = int(start), int(end)
        if start_ns < end_ns:
            around = Span(stream_id=stream_id, start_ns=start_ns, end_ns=end_ns)
            for segment in given.stores.record.segments([around]):
                if name_of(segment) == file:
                    return segment
    raise NothingStored(stream_id, start[:20], end[:20])


def _offset_bytes(footage: FootageStore, segment: SegmentReady) -> int:
    """Where the media of a segment's file begins.

    Raises:
        NotPlayable, FootageError
    """
    if segment.uri.endswith(".mp4"):
        offset_bytes = _offset_read(footage, segment.uri, segment.size_bytes, segment.epoch_at)
        if offset_bytes is not None:
            return offset_bytes
    raise NotPlayable(segment.span.stream_id, codec=segment.codec)


@lru_cache(maxsize=10_000)
def _offset_read(
    footage: FootageStore, uri: str, size_bytes: int, epoch_at: datetime
) -> int | None:
    """Read once for each file; a stream that was forgotten and added again has other ones."""
    return media_offset_bytes(footage.head(uri, min(size_bytes, HEAD_BYTES)))
