"""From segments to memory: deterministic, idempotent, and honest about what is missing."""

import shutil
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.dump import dump
from memory.errors import DiskFull, StoreUnavailable
from models.engine import ClipTokens, EncodedClip
from models.errors import UnparsableReply, UnusableFrames
from models.schemas import Note, NoteEvent
from services.analyse import Analyst, policy_of
from services.errors import WorkerCrashed
from services.progress import remembered_until_ns
from services.remember import Rememberer, clip_tokens, noted_event, stored_tokens
from services.settings import Settings
from services.wiring import Stores, opened, opened_bus
from services.worker import Worker
from streaming.bus import Bus
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_DEAD_LETTERS, TOPIC_SEGMENTS, Span
from tests.services.scripted_engine import LAYOUT, ScriptedEngine

GROUP = "analyse"
WRITES = ("put_clip", "put_gap", "set_cursor", "put", "delete", "publish", "commit")


class Fuse:
    """Lets so many writes pass, and cuts the power before the next one."""

    def __init__(self, writes: int | None = None) -> None:
        self.passed = 0
        self._left = writes

    def guard(self, thing: Any) -> Any:
        return Guarded(thing, self)

    def spend(self) -> None:
        if self._left is not None and self.passed >= self._left:
            raise PowerCut
        self.passed += 1


class PowerCut(Exception):
    """Not an error that anybody foresaw."""


class Guarded:
    """A store whose writes go through a fuse."""

    def __init__(self, thing: Any, fuse: Fuse) -> None:
        self._thing = thing
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._thing, name)
        if name not in WRITES:
            return real

        def guarded(*args: Any, **kwargs: Any) -> Any:
            self._fuse.spend()
            return real(*args, **kwargs)

        return guarded


def analyse(
    settings: Settings, *, fuse: Fuse | None = None, engine: ScriptedEngine | None = None
) -> None:
    """Analyse all that is on the bus, or until the fuse goes."""
    fuse = fuse or Fuse()
    with opened(settings) as stores, opened_bus(settings) as bus:
        worker, stop = worker_of(stores, bus, fuse, engine or ScriptedEngine())
        worker.run(stop)


def worker_of(
    stores: Stores, bus: Bus, fuse: Fuse, engine: ScriptedEngine
) -> tuple[Worker[Any], threading.Event]:
    record = fuse.guard(stores.record)
    rememberer = Rememberer(
        engine=engine, record=record, tokens=fuse.guard(stores.tokens), bus=fuse.guard(bus)
    )
    stop = threading.Event()
    analyst = StoppingAnalyst(
        record=record, footage=stores.footage, rememberer=rememberer, policy=policy_of(LAYOUT)
    )
    analyst.stop = stop
    consumer = fuse.guard(bus.consumer(TOPIC_SEGMENTS, group=GROUP))
    return Worker(GROUP, bus=fuse.guard(bus), consumer=consumer, handler=analyst), stop


class StoppingAnalyst(Analyst):
    """Stops its worker when there is nothing left to do."""

    stop: threading.Event

    def idle(self) -> None:
        self.stop.set()


def memory_of(settings: Settings) -> tuple[bytes, dict[str, bytes]]:
    """All that is remembered: the record, and every file of tokens."""
    with opened(settings) as stores:
        folder = Path(settings.tokens)
        tokens = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        return dump(stores.record), tokens


@contextmanager
def changed(settings: Settings) -> Generator[tuple[Stores, Bus]]:
    with opened(settings) as stores, opened_bus(settings) as bus:
        yield stores, bus


def gaps_of(settings: Settings) -> list[tuple[float, float, str]]:
    with opened(settings) as stores:
        return [
            (gap.span.start_ns / NS_PER_S, gap.span.end_ns / NS_PER_S, gap.reason.value)
            for gap in stores.record.gaps()
        ]


def clips_of(settings: Settings) -> list[tuple[float, float]]:
    with opened(settings) as stores:
        return [
            (note.span.start_ns / NS_PER_S, note.span.end_ns / NS_PER_S)
            for note in stores.record.clips()
        ]


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


def span(start_s: float, end_s: float) -> Span:
    return Span(stream_id="cam", start_ns=round(start_s * NS_PER_S), end_ns=round(end_s * NS_PER_S))


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
        def describe(self, clip: ClipTokens, *, previous: Sequence[str]) -> Note:
            stores.record.begin_forgetting(span(0, 5))
            return super().describe(clip, previous=previous)

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
        assert bus.end_offset(TOPIC_DEAD_LETTERS) == 1


def test_a_clip_whose_pictures_no_model_reads_is_named_as_a_gap(captured: Settings) -> None:
    class Picky(ScriptedEngine):
        def encode(self, frames_THWC: NDArray[np.uint8], times_s_T: Sequence[float]) -> EncodedClip:
            if frames_THWC.mean() > 60:
                raise UnusableFrames(frames_THWC.shape)
            return super().encode(frames_THWC, times_s_T)

    analyse(captured, engine=Picky())

    assert gaps_of(captured) == [(10, 20, "corrupt"), (30, 40, "corrupt")]
    assert clips_of(captured) == [(0, 10), (20, 30), (40, 45)]


def test_a_clip_whose_note_does_not_parse_is_remembered_by_its_picture(
    captured: Settings,
) -> None:
    class Mumbling(ScriptedEngine):
        def describe(self, clip: ClipTokens, *, previous: Sequence[str]) -> Note:
            raise UnparsableReply("note", "{")

    analyse(captured, engine=Mumbling())

    with opened(captured) as stores:
        assert [note.text for note in stores.record.clips()] == [""] * 5
        assert all((one.text_vector == one.visual_vector).all() for one in stores.record.vectors())


def test_the_model_is_told_the_notes_before_a_clip(captured: Settings) -> None:
    told: list[list[str]] = []

    class Listening(ScriptedEngine):
        def describe(self, clip: ClipTokens, *, previous: Sequence[str]) -> Note:
            told.append(list(previous))
            return super().describe(clip, previous=previous)

    analyse(captured, engine=Listening())

    with opened(captured) as stores:
        texts = [note.text for note in stores.record.clips()]
    assert told == [texts[max(0, at - 2) : at] for at in range(5)]


@pytest.mark.parametrize(
    ("seconds", "expected_s"),
    [
        ((2, 4.5), (12, 14.5)),
        ((0, 99), (10, 20)),
        ((3, 3), (13, 13.001)),
        ((5, 2), (15, 15.001)),
        ((99, 99), (19.999, 20)),
    ],
)
def test_a_noted_event_lies_within_its_clip(
    seconds: tuple[float, float], expected_s: tuple[float, float]
) -> None:
    event = NoteEvent(start_s=seconds[0], end_s=seconds[1], text="x")

    assert noted_event(event, span(10, 20)).span == span(*expected_s)


def test_tokens_come_back_as_they_were_stored() -> None:
    engine = ScriptedEngine()
    tokens = engine.encode(np.full((3, 4, 4, 3), 99, dtype=np.uint8), [0, 1, 2]).tokens

    back = clip_tokens(stored_tokens("cam:0-1:x", tokens))

    assert np.array_equal(back.tokens_KD, tokens.tokens_KD)
    assert np.array_equal(back.times_s_T, tokens.times_s_T)
    assert back.layout_id == tokens.layout_id


@pytest.fixture
def copied() -> Callable[[Settings, Path], Settings]:
    """Copies a data directory."""

    def copy(settings: Settings, to: Path) -> Settings:
        shutil.copytree(settings.data, to)
        return settings.model_copy(update={"data": to})

    return copy
