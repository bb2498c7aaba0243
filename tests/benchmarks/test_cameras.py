"""Which clips were late, and what the report makes of it."""

from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from benchmarks.cameras import behind_s, epochs_ns
from benchmarks.report import camera_rows, peer_text
from streaming.bus import Record
from streaming.messages import NS_PER_S, ClipRemembered, SegmentReady, Span

EPOCH_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH_S = int(EPOCH_AT.timestamp())


def clip(stream_id: str, start_s: int, end_s: int, *, at_s: float) -> Record:
    span = Span(stream_id=stream_id, start_ns=start_s * NS_PER_S, end_ns=end_s * NS_PER_S)
    message = ClipRemembered(clip_id=f"{stream_id}-{start_s}", span=span)
    return record(stream_id, message, at_s=at_s)


def record(stream_id: str, message: ClipRemembered | SegmentReady, *, at_s: float) -> Record:
    value = message.model_dump_json().encode()
    return Record("a topic", 0, 0, stream_id, value, {}, round((EPOCH_S + at_s) * 1000))


def segment(stream_id: str, *, epoch_at: datetime) -> Record:
    message = SegmentReady(
        span=Span(stream_id=stream_id, start_ns=0, end_ns=4 * NS_PER_S),
        epoch_at=epoch_at,
        sequence=0,
        uri="a.mp4",
        pts_origin=0,
        size_bytes=1,
        frame_count=1,
        codec="h264",
        width_px=2,
        height_px=2,
    )
    return record(stream_id, message, at_s=0)


def test_clips_that_ended_in_the_time_are_counted_whether_remembered_or_not() -> None:
    epochs = epochs_ns(
        [
            segment("yard", epoch_at=EPOCH_AT),
            segment("gate", epoch_at=EPOCH_AT + timedelta(seconds=3)),
        ]
    )
    clips = [
        clip("yard", 0, 10, at_s=11),
        clip("yard", 10, 20, at_s=22.5),
        clip("gate", 10, 20, at_s=24),
    ]
    begin_ns, end_ns = (EPOCH_S + 12) * NS_PER_S, (EPOCH_S + 32) * NS_PER_S

    late_s = behind_s(clips, epochs, begin_ns=begin_ns, end_ns=end_ns)

    assert late_s == [2.5, inf, inf, 1.0]


def row(cameras: int, *, cost: float, keeps_up: bool) -> dict[str, Any]:
    costs = {"capture": cost / 4, "analyse": cost / 2, "index": cost / 4}
    return {"cameras": cameras, "cpu_s_a_camera_second": costs, "keeps_up": keeps_up}


def test_the_report_names_the_most_cameras_that_were_kept_up_with() -> None:
    rows = [row(1, cost=0.08, keeps_up=True), row(20, cost=0.04, keeps_up=True)]
    result = {"rows": [*rows, row(50, cost=0.02, keeps_up=False)], "cores_used": 2}

    kept, costs = camera_rows(result)

    assert "| 20 on 2 cores |" in kept
    assert "of 1, and of 20 | 8.0 %, 4.0 % |" in costs


def test_the_report_tells_under_which_conditions_the_peer_was_measured() -> None:
    peer = {"name": "A peer", "captioning_streams": 33, "alerting_streams": 51, "conditions": "GPU"}

    assert "A peer: 33 streams with captions, 51 with alerts (GPU)" in peer_text({"beside": peer})
