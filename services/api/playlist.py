"""An HLS playlist of stored segments: text, out of values.

Each segment is a fragmented MP4 file of its own, whose initialisation section is a byte range of
the same file. Times in it are media time, `LEAD_S` later; where something was not captured, and
where the picture changes, there is a discontinuity.
"""

import math
from collections.abc import Callable, Sequence

from streaming.messages import NS_PER_S, SegmentReady, Span, wall_time

LEAD_S = 10  # pictures are decoded before they are shown, and no time may be below zero
CONTENT_TYPE = "application/vnd.apple.mpegurl"


def playlist(
    segments: Sequence[SegmentReady], span: Span, offset_bytes: Callable[[SegmentReady], int]
) -> str:
    """`offset_bytes` says where the media of a segment's file begins."""
    longest_s = max(segment.span.duration_s for segment in segments)
    begins_s = max(0, span.start_ns - segments[0].span.start_ns) / NS_PER_S
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}",
        f"#EXT-X-START:TIME-OFFSET={begins_s:.3f},PRECISE=YES",
    ]
    before: SegmentReady | None = None
    for segment in segments:
        if before is not None and not _goes_on(before, segment):
            lines.append("#EXT-X-DISCONTINUITY")
        before = segment
        uri, offset = f"segments/{name_of(segment)}", offset_bytes(segment)
        starts_at = wall_time(segment.epoch_at, segment.span.start_ns)
        lines += [
            f'#EXT-X-MAP:URI="{uri}",BYTERANGE="{offset}@0"',
            f"#EXT-X-PROGRAM-DATE-TIME:{starts_at.isoformat(timespec='milliseconds')}",
            f"#EXTINF:{segment.span.duration_s:.6f},",
            f"#EXT-X-BYTERANGE:{segment.size_bytes - offset}@{offset}",
            uri,
        ]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def name_of(segment: SegmentReady) -> str:
    """The name of a segment's file: its times, and what it is."""
    return segment.uri.rpartition("/")[2]


def _goes_on(before: SegmentReady, segment: SegmentReady) -> bool:
    pictures = [(one.codec, one.width_px, one.height_px) for one in (before, segment)]
    return before.span.end_ns == segment.span.start_ns and pictures[0] == pictures[1]
