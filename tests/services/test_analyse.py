"""From segments to memory: deterministic, idempotent, and honest about what is missing."""

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.errors import DiskFull, StoreUnavailable
from models.engine import ClipTokens, EncodedClip
from models.errors import UnusableFrames
from models.schemas import Note
from services.errors import WorkerCrashed
from services.progress import remembered_until_ns
from services.settings import Settings
from services.wiring import opened, opened_bus, wall_clock
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_DEAD_LETTERS, TOPIC_SEGMENTS
from tests.services.analysing import (
    Fuse,
    analyse,
    analyst_of,
    changed,
    clips_of,
    gaps_of,
    memory_of,
    span,
)
from tests.services.scripted_engine import LAYOUT, ScriptedEngine


def test_a_film_becomes_clips_with_events(captured: Settings) -> None:
    analyse(captured)

    assert clips_of(captured) == [(0, 10), (10, 20), (20, 30), (30, 40), (40, 45)]
    with opened(captured) as stores:
        (note,) = stores.record.clips([span(10, 11)])
        assert [
            (one.text, one.span.start_ns / NS_PER_S, one.span.end_ns / NS_PER_S)
            for one in note.events
        ] == [("a bright light shines", 12, 15), ("a dim light shines", 19, 20)]
        assert (note.frame_count, note.token_count) == (10, 10)
        spec = stores.record.stream("cam")
        assert remembered_until_ns(stores.record, spec) == 45 * NS_PER_S


def test_one_that_wakes_up_where_another_has_gone_on_harms_nothing(
    captured: Settings, tmp_path: Path, copied: Callable[[Settings, Path], Settings]
) -> None:
    """It does not know yet that it was replaced, and goes on with what it had read."""
    undisturbed = copied(captured, tmp_path / "undisturbed")
    analyse(undisturbed)
    with opened_bus(captured) as bus:
        records = bus.consumer(TOPIC_SEGMENTS, group="all").poll(max_records=1000, timeout_s=0)
    assert len(records) > 5

    for slept_before in range(1, len(records)):
        settings = copied(captured, tmp_path / f"slept-{slept_before}")
        with opened(settings) as stores, opened_bus(settings) as bus:
            sleeper = analyst_of(stores, bus, Fuse(), ScriptedEngine(), wall_clock())
            sleeper.stop = threading.Event()
            for number, record in enumerate(records):
                if number == slept_before:
                    analyse(settings)
                sleeper.handle(record, sleeper.prepare(record))

        assert memory_of(settings) == memory_of(undisturbed), slept_before


def test_a_power_cut_before_any_write_changes_nothing_in_the_end(
    captured: Settings, tmp_path: Path, copied: Callable[[Settings, Path], Settings]
) -> None:
    undisturbed = copied(captured, tmp_path / "undisturbed")
    analyse(undisturbed, fuse=(counted := Fuse()))
    expected = memory_of(undisturbed)
    assert counted.passed > 20

    for writes in range(counted.passed):
        settings = copied(captured, tmp_path / f"cut-{writes}")
        with pytest.raises(WorkerCrashed):
            analyse(settings, fuse=Fuse(writes))
        analyse(settings)

        assert memory_of(settings) == expected, f"cut before write {writes}"
        assert announced(settings) == announced(undisturbed)


@pytest.mark.parametrize(
    "error",
    [StoreUnavailable("here", retry_after_s=0, detail="busy"), DiskFull("here")],
    ids=["busy", "full"],
)
def test_a_store_that_refuses_now_and_then_changes_nothing(
    captured: Settings,
    tmp_path: Path,
    copied: Callable[[Settings, Path], Settings],
    error: Exception,
) -> None:
    undisturbed = copied(captured, tmp_path / "undisturbed")
    analyse(undisturbed)

    analyse(captured, fuse=Flickering(error, every=9))

    assert memory_of(captured) == memory_of(undisturbed)


class Flickering(Fuse):
    """Every so many writes the store refuses, once."""

    def __init__(self, error: Exception, *, every: int) -> None:
        super().__init__()
        self._error = error
        self._every = every

    def spend(self) -> None:
        self.passed += 1
        if self.passed % self._every == 0:
            raise self._error


def announced(settings: Settings) -> set[str]:
    with opened_bus(settings) as bus:
        records = bus.consumer(TOPIC_CLIPS, group="test").poll(max_records=1000, timeout_s=0)
        return {str(record.value) for record in records}


def test_messages_that_come_twice_change_nothing(captured: Settings, tmp_path: Path) -> None:
    with changed(captured) as (_, bus):
        records = bus.consumer(TOPIC_SEGMENTS, group="test").poll(max_records=99, timeout_s=0)
        for record in [*records, *records[-2:], *records[3:5]]:
            bus.publish(TOPIC_SEGMENTS, key=record.key, value=record.value)
    analyse(captured)

    assert clips_of(captured) == [(0, 10), (10, 20), (20, 30), (30, 40), (40, 45)]


def test_a_damaged_segment_is_set_aside_and_named_as_a_gap(captured: Settings) -> None:
    with changed(captured) as (stores, _):
        damaged = stores.record.segments()[3]
        (Path(captured.footage) / damaged.uri).write_bytes(b"not a film")
    analyse(captured)

    start_s, end_s = damaged.span.start_ns / NS_PER_S, damaged.span.end_ns / NS_PER_S
    assert gaps_of(captured) == [(start_s, end_s, "corrupt")]
    assert (0, 10) in clips_of(captured)
    assert not any(start < end_s and start_s < end for start, end in clips_of(captured))
    assert {end for _, end in clips_of(captured)} >= {start_s, 45}
    assert {start for start, _ in clips_of(captured)} >= {0, end_s}
    with opened_bus(captured) as bus:
        (letter,) = bus.consumer(TOPIC_DEAD_LETTERS, group="test").poll(max_records=9, timeout_s=0)
        assert "UnreadableMedia" in letter.headers["error"]


def test_a_segment_that_is_gone_is_named_as_a_gap(captured: Settings) -> None:
    with changed(captured) as (stores, _):
        gone = stores.record.segments()[0]
        stores.footage.delete(gone.uri)
    analyse(captured)

    assert gaps_of(captured) == [(0, gone.span.end_ns / NS_PER_S, "corrupt")]


def test_footage_that_was_forgotten_is_passed_over(captured: Settings) -> None:
    with changed(captured) as (stores, _):
        stores.record.begin_forgetting(span(0, 8))
        stores.record.delete_span(span(0, 8))
    analyse(captured)

    assert gaps_of(captured) == []
    assert clips_of(captured) == [(8, 10), (10, 20), (20, 30), (30, 40), (40, 45)]


def test_a_clip_that_is_forgotten_while_it_is_analysed_leaves_nothing(captured: Settings) -> None:
    class Forgetting(ScriptedEngine):
        def describe(self, clip: ClipTokens, **known: Any) -> Note:
            stores.record.begin_forgetting(span(0, 5))
            return super().describe(clip, **known)

    with opened(captured) as stores:
        analyse(captured, engine=Forgetting())
        assert not any(note.span.overlaps(0, 5 * NS_PER_S) for note in stores.record.clips())
        assert not stores.tokens.has(f"cam:0-{10 * NS_PER_S}:{LAYOUT.layout_id}")


def test_a_stream_that_was_forgotten_is_passed_over(captured: Settings) -> None:
    with changed(captured) as (stores, _):
        stores.record.remove_stream("cam")
    analyse(captured)

    assert clips_of(captured) == []


def test_a_message_that_is_none_is_set_aside(captured: Settings) -> None:
    with changed(captured) as (_, bus):
        bus.publish(TOPIC_SEGMENTS, key="cam", value=b"{}")
    analyse(captured)

    assert len(clips_of(captured)) == 5
    with opened_bus(captured) as bus:
        assert bus.bounds(TOPIC_DEAD_LETTERS)[0].end == 1


def test_a_clip_whose_pictures_no_model_reads_is_named_as_a_gap(captured: Settings) -> None:
    class Picky(ScriptedEngine):
        def encode(
            self,
            frames_THWC: NDArray[np.uint8],
            times_s_T: Sequence[float],
            *,
            before: EncodedClip | None = None,
        ) -> EncodedClip:
            if frames_THWC.mean() > 60:
                raise UnusableFrames(frames_THWC.shape)
            return super().encode(frames_THWC, times_s_T, before=before)

    analyse(captured, engine=Picky())

    assert gaps_of(captured) == [(10, 20, "corrupt"), (30, 40, "corrupt")]
    assert clips_of(captured) == [(0, 10), (20, 30), (40, 45)]


@pytest.fixture
def copied() -> Callable[[Settings, Path], Settings]:
    """Copies a data directory."""

    def copy(settings: Settings, to: Path) -> Settings:
        shutil.copytree(settings.data, to)
        return settings.model_copy(update={"data": to})

    return copy
