"""What is done when analysis is behind a camera: named, counted, and the same after every kill."""

import logging
import shutil
from pathlib import Path

import pytest

from memory.dict_record import DictRecord
from memory.spans import whole_stream
from memory.values import StreamSpec, WhenBehind
from services.behind import put_skipped, skipped_ns
from services.coverage import asked_of, coverage_of
from services.errors import WorkerCrashed
from services.export import export
from services.metrics import Metrics
from services.moments import Bounds
from services.settings import Settings
from services.streams import stream_rows
from services.wiring import opened
from streaming.messages import NS_PER_S, GapReason, StreamEnded
from tests.services.analysing import (
    Fuse,
    analyse,
    at,
    clips_of,
    gaps_of,
    memory_of,
    span,
)
from tests.services.conftest import EPOCH, Footage
from tests.services.processes import measured

ALL = [(0, 10), (10, 20), (20, 30), (30, 40), (40, 45)]


def frames_of(settings: Settings) -> list[tuple[int, bool]]:
    with opened(settings) as stores:
        return [(note.frame_count, note.thinned) for note in stores.record.clips()]


def test_by_default_the_backlog_waits(captured: Settings) -> None:
    assert captured.when_behind is WhenBehind.WAIT


def test_a_backlog_that_waits_is_analysed_whole(camera: Footage) -> None:
    settings = camera("wait")
    analyse(settings, clock=at(1000))

    assert clips_of(settings) == ALL
    assert gaps_of(settings) == []


def test_a_clip_has_its_length_to_be_remembered_in_and_no_more(camera: Footage) -> None:
    settings, metrics = camera("wait"), Metrics()
    analyse(settings, clock=at(45), metrics=metrics)
    text = metrics.exposition().decode()

    assert measured(text, "longwatch_budget_allowed", of="clip_seconds") == 10
    assert measured(text, "longwatch_budget_used", of="clip_seconds")
    assert measured(text, "longwatch_budget_used", of="waiting_notes") == 0


def test_the_oldest_is_dropped_and_says_so_everywhere(
    camera: Footage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, metrics = camera("drop-oldest"), Metrics()
    with caplog.at_level(logging.WARNING, logger="services.behind"):
        analyse(settings, clock=at(45), metrics=metrics)

    assert gaps_of(settings) == [(0, 32, "skipped")]
    assert clips_of(settings) == [(32, 40), (40, 45)]
    text = metrics.exposition().decode()
    assert measured(text, "longwatch_shed_seconds_total", stream="cam", policy="drop-oldest") == 32
    assert measured(text, "longwatch_gaps_total", stream="cam", reason="skipped") == 1
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "cam: 37 s behind, from now on: drop-oldest"),
        ("WARNING", "cam: 5 s behind, all of it is analysed again"),
    ]
    with opened(settings) as stores:
        asked = asked_of(stores.record, stores.record.streams(), Bounds(), now_at=EPOCH)
        coverage = coverage_of(stores.record, asked)
        assert [(gap.span, gap.reason) for gap in coverage.gaps] == [
            (span(0, 32), GapReason.SKIPPED)
        ]
        assert coverage.watched_ns == 13 * NS_PER_S
        (row,) = stream_rows(stores)
        assert row.as_json()["skipped_ns"] == 32 * NS_PER_S
        exported = export(stores.record, stores.footage, span(0, 32), tmp_path / "skipped.mp4")
        assert exported.frame_count == 32 * 5
        assert exported.gaps == ()


def test_what_is_looked_at_more_seldom_is_remembered_and_says_so(camera: Footage) -> None:
    settings, metrics = camera("thin"), Metrics()
    analyse(settings, clock=at(45), metrics=metrics)

    assert clips_of(settings) == ALL
    assert gaps_of(settings) == []
    assert frames_of(settings) == [(5, True), (5, True), (5, True), (9, True), (5, False)]
    text = metrics.exposition().decode()
    assert measured(text, "longwatch_shed_seconds_total", stream="cam", policy="thin") == 32


def test_nothing_is_shed_below_the_limit(camera: Footage) -> None:
    settings = camera("drop-oldest")
    analyse(settings, clock=at(18))  # 10 s after the end of the first segment

    assert clips_of(settings) == ALL


def test_what_has_begun_goes_on_to_half_of_the_limit(camera: Footage) -> None:
    settings = camera("drop-oldest")
    analyse(settings, clock=at(46))  # 6 s after the end of the fifth segment

    assert gaps_of(settings) == [(0, 40, "skipped")]


def test_a_stream_may_say_for_itself(camera: Footage) -> None:
    settings = camera("wait", of_stream="drop-oldest")
    analyse(settings, clock=at(45))

    assert gaps_of(settings) == [(0, 32, "skipped")]


def test_a_file_is_never_behind(captured: Settings) -> None:
    policy = {"when_behind": WhenBehind.DROP_OLDEST, "behind_s": 10.0}
    settings = captured.model_copy(update=policy)
    analyse(settings, clock=at(10_000))

    assert clips_of(settings) == ALL


def test_a_stream_that_is_over_is_never_behind(camera: Footage) -> None:
    settings = camera("drop-oldest")
    with opened(settings) as stores:
        stores.record.put_ended(StreamEnded(stream_id="cam", end_ns=45 * NS_PER_S))
    analyse(settings, clock=at(10_000))

    assert clips_of(settings) == ALL


@pytest.mark.parametrize("policy", ["drop-oldest", "thin"])
def test_a_power_cut_before_any_write_changes_nothing_in_the_end(
    camera: Footage, tmp_path: Path, policy: str
) -> None:
    settings = camera(policy)
    undisturbed = copied(settings, tmp_path / "undisturbed")
    analyse(undisturbed, fuse=(counted := Fuse()), clock=at(45))
    expected = memory_of(undisturbed)
    assert counted.passed > 10

    for writes in range(counted.passed):
        cut = copied(settings, tmp_path / f"cut-{writes}")
        with pytest.raises(WorkerCrashed):
            analyse(cut, fuse=Fuse(writes), clock=at(45))
        analyse(cut, clock=at(45))

        assert memory_of(cut) == expected, f"cut before write {writes}"


@pytest.mark.parametrize(("first_s", "then_s"), [(20, 60), (45, 60), (45, 0), (60, 20)])
def test_a_restart_at_another_time_changes_nothing_that_was_there(
    camera: Footage, tmp_path: Path, first_s: float, then_s: float
) -> None:
    settings = camera("drop-oldest")
    undisturbed = copied(settings, tmp_path / "undisturbed")
    analyse(undisturbed, fuse=(counted := Fuse()), clock=at(first_s))

    for writes in range(1, counted.passed, 2):
        cut = copied(settings, tmp_path / f"cut-{writes}")
        with pytest.raises(WorkerCrashed):
            analyse(cut, fuse=Fuse(writes), clock=at(first_s))
        clips, skipped = clips_of(cut), seconds_of(gaps_of(cut))
        analyse(cut, clock=at(then_s))

        assert clips == clips_of(cut)[: len(clips)], f"cut before write {writes}"
        assert skipped <= seconds_of(gaps_of(cut))
        assert not seconds_of(clips_of(cut)) & seconds_of(gaps_of(cut))
        assert seconds_of(clips_of(cut)) | seconds_of(gaps_of(cut)) == set(range(45))


def test_what_was_skipped_stays_so_when_the_policy_changes(camera: Footage) -> None:
    settings = camera("drop-oldest")
    with pytest.raises(WorkerCrashed):
        analyse(settings, fuse=Fuse(1), clock=at(45))
    assert gaps_of(settings) == [(0, 8, "skipped")]

    analyse(settings.model_copy(update={"when_behind": WhenBehind.WAIT}), clock=at(45))

    assert gaps_of(settings) == [(0, 8, "skipped")]
    assert clips_of(settings)[0] == (8, 10)


def test_skipped_stretches_that_touch_become_one_gap() -> None:
    record = DictRecord()
    record.add_stream(
        StreamSpec(stream_id="cam", url="rtsp://camera/1", realtime=True, added_at=EPOCH)
    )
    new = [put_skipped(record, span(*one)) for one in ((4, 8), (8, 12), (0, 12), (20, 24))]

    assert new == [1, 0, 1, 1]
    assert [gap.span for gap in record.gaps()] == [span(0, 4), span(4, 12), span(20, 24)]
    assert skipped_ns(record, whole_stream("cam")) == 16 * NS_PER_S


def seconds_of(spans: list[tuple[float, float]] | list[tuple[float, float, str]]) -> set[int]:
    return {second for start_s, end_s, *_ in spans for second in range(int(start_s), int(end_s))}


def copied(settings: Settings, to: Path) -> Settings:
    shutil.copytree(settings.data, to)
    return settings.model_copy(update={"data": to})
