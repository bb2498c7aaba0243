"""What replayed cameras show, and what is counted of the service that watches them."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from benchmarks.replay import Replay, reel_of
from benchmarks.report import scaling_rows
from benchmarks.scaling import row_of
from services.settings import load_settings
from services.wiring import opened, opened_bus
from streaming.bus import Record
from streaming.messages import NS_PER_S, TOPIC_SEGMENTS, ClipRemembered, SegmentReady, Span
from tests.streaming.capturing import shown
from tests.streaming.media import film

BEGIN_S = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())
BEGIN_NS = BEGIN_S * NS_PER_S
EPOCHS = {"yard": BEGIN_NS, "gate": BEGIN_NS}


def test_replayed_cameras_go_on_where_a_round_ends(tmp_path: Path) -> None:
    film(tmp_path / "film.mp4", frames=80, rate=Fraction(10), gop=10)
    reel = reel_of(tmp_path / "film.mp4", tmp_path / "reel")
    settings = load_settings(data=tmp_path / "data")
    with opened(settings, make=True) as stores, opened_bus(settings) as bus:
        replay = Replay([reel], 2, stores, bus, begins_ns=BEGIN_NS)
        next_ns = replay.publish_due(BEGIN_NS + 16 * NS_PER_S)
        records = bus.consumer(TOPIC_SEGMENTS, group="test").poll(max_records=100, timeout_s=0)
        segments = [SegmentReady.model_validate_json(record.value) for record in records]
        first = [one for one in segments if one.span.stream_id == "camera-0"]
        second = [one for one in segments if one.span.stream_id == "camera-1"]
        frames = [frame for one in first for frame in shown(stores.footage, one)]

    assert [one.span.start_ns // NS_PER_S for one in first] == list(range(0, 16, 2))
    assert [one.span.end_ns // NS_PER_S for one in second] == [2, 4, 6, 8, 10]
    assert {round(one.epoch_at.timestamp()) - BEGIN_S for one in second} == {5}
    assert frames == [(at % 80, at * NS_PER_S // 10) for at in range(160)]
    assert next_ns == BEGIN_NS + 17 * NS_PER_S
    assert max(replay.late_ns) == 14 * NS_PER_S
    assert {path.stat().st_nlink for path in reel.folder.rglob("*.mp4")} == {4, 5}


def clip(stream_id: str, end_s: int, *, at_s: float) -> Record:
    span = Span(stream_id=stream_id, start_ns=(end_s - 10) * NS_PER_S, end_ns=end_s * NS_PER_S)
    message = ClipRemembered(clip_id=f"{stream_id}-{end_s}", span=span)
    value = message.model_dump_json().encode()
    return Record("clips", 0, 0, stream_id, value, {}, round((BEGIN_S + at_s) * 1000))


def test_what_is_not_remembered_counts_as_late_as_it_was_by_then() -> None:
    clips = [
        clip("yard", 10, at_s=12),
        clip("gate", 10, at_s=15),
        clip("yard", 20, at_s=31),
        clip("gate", 20, at_s=36),
        clip("yard", 30, at_s=49),
        clip("gate", 30, at_s=55),
    ]

    row = row_of(
        clips, EPOCHS, cpu_s=6.0, begin_ns=BEGIN_NS + 20 * NS_PER_S, end_ns=BEGIN_NS + 50 * NS_PER_S
    )

    assert row["clips_a_minute"] == {"due": 12, "remembered": 6}
    assert row["cpu_s_a_camera_minute"] == 12
    assert row["backlog_clips"] == {"begin": 0, "end": 3}
    assert row["falls_behind_s_a_minute"] == 30
    assert row["behind_live_s"] == {"p50": 16, "p95": 20}
    assert row["keeps_up"] is False


def test_the_report_tells_what_a_core_keeps_up_with_and_what_is_beyond() -> None:
    within = {"cameras": 30, "keeps_up": True, "cpu_s_a_camera_minute": 2.0}
    beyond = {"cameras": 100, "keeps_up": False, "cpu_s_a_camera_minute": 1.5}
    rows = [within, beyond | {"falls_behind_s_a_minute": 40.0}]

    kept, costs, fallen = scaling_rows({"rows": rows, "cores_used": 2})

    assert "of a core | 15 |" in kept
    assert "of 30, and of 100 | 2.00 s, 1.50 s |" in costs
    assert "100 replayed cameras fall behind in a minute, on 2 cores | 40 s |" in fallen
