"""The model's server is away for a while: nothing is lost, nothing is doubled, and it is said."""

import itertools
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memory.tokens import TokenStore
from memory.unwritten import UnwrittenNotes
from models.engine import ClipTokens
from models.errors import ModelServerAway, ModelServerFailed, RequestRefused
from models.model_servers import ModelServers, Patience
from models.openai_engine import OpenAIEngine
from models.schemas import Note, Plan
from services.errors import WorkerCrashed
from services.forget import forget_span
from services.metrics import Metrics
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.up import Running, run_service
from services.wiring import opened, opened_bus, wall_clock
from streaming.clock import WallClock
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_SEGMENTS
from tests.models.faulty_server import closed_port
from tests.models.vlm_server import serving_vlm
from tests.services.analysing import GROUP, Fuse, analyse, clips_of, memory_of, span
from tests.services.asking import until
from tests.services.films import film, story
from tests.services.processes import measured
from tests.services.scripted_engine import ScriptedEngine

CLIPS = 5  # of the film
DROPS = "longwatch_drops_total"
AWAY = ModelServerAway("http://gpu", reason="nobody is there")


class AwayFor(ScriptedEngine):
    """Away for so many calls, of which it tells `on_call`."""

    def __init__(self, calls: int, on_call: Callable[[int], object] = lambda call: None) -> None:
        super().__init__(lead_in_s=3)
        self._away_for, self._on_call = calls, on_call
        self._calls = itertools.count()

    def describe(self, clip: ClipTokens, **known: Any) -> Note:
        call = next(self._calls)
        if call < self._away_for:
            self._on_call(call)
            raise AWAY
        return super().describe(clip, **known)


def hurried() -> WallClock:
    """A clock by which the model may be asked again whenever it is looked at."""
    ticks_ns = itertools.count(step=60 * NS_PER_S)
    return replace(wall_clock(), monotonic_ns=lambda: next(ticks_ns))


def announced(settings: Settings) -> list[str]:
    with opened_bus(settings) as bus:
        records = bus.consumer(TOPIC_CLIPS, group="test").poll(max_records=1000, timeout_s=0)
        return [str(record.value) for record in records]


@pytest.fixture
def undisturbed(captured: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(captured.data, tmp_path / "undisturbed")
    settings = load_settings(data=tmp_path / "undisturbed")
    analyse(settings, engine=AwayFor(0))
    return settings


@pytest.mark.parametrize("calls", [1, 2, 5, 30])
def test_notes_are_written_later_in_order_and_once(
    captured: Settings, undisturbed: Settings, calls: int
) -> None:
    analyse(captured, engine=AwayFor(calls), clock=hurried())

    assert memory_of(captured) == memory_of(undisturbed)
    assert announced(captured) == announced(undisturbed)
    with opened_bus(captured) as bus:
        bounds = bus.bounds(TOPIC_SEGMENTS)
        assert bus.committed(TOPIC_SEGMENTS, group=GROUP) == {
            partition: bound.end for partition, bound in bounds.items()
        }


def test_meanwhile_clips_are_seen_and_nothing_is_claimed(captured: Settings) -> None:
    seen: list[tuple[int, int, int]] = []

    def look(call: int) -> None:
        tokens = len(list(Path(captured.tokens).rglob("*.tokens")))
        with opened(captured) as stores, opened_bus(captured) as bus:
            committed = bus.committed(TOPIC_SEGMENTS, group=GROUP)
            seen.append((tokens, stores.record.counts().clips, max(committed.values(), default=0)))

    analyse(captured, engine=AwayFor(16, look), clock=hurried())

    assert seen[0] == (1, 0, 0)
    assert seen[-1] == (5, 0, 0), "all tokens are stored, no clip is remembered, none is let go"


@pytest.mark.parametrize("writes", range(1, 18, 4))
def test_a_power_cut_while_notes_wait_changes_nothing_in_the_end(
    captured: Settings, undisturbed: Settings, writes: int
) -> None:
    with pytest.raises(WorkerCrashed):
        analyse(captured, engine=AwayFor(7), clock=hurried(), fuse=Fuse(writes))
    analyse(captured, engine=AwayFor(0))

    assert memory_of(captured) == memory_of(undisturbed)
    assert set(announced(captured)) == set(announced(undisturbed))


def test_what_is_forgotten_while_its_note_waits_stays_forgotten(captured: Settings) -> None:
    with opened(captured) as stores:

        def forget(call: int) -> None:
            if call == 15:
                stores.record.begin_forgetting(span(10, 30))

        analyse(captured, engine=AwayFor(16, forget), clock=hurried())

        assert clips_of(captured) == [(0, 10), (30, 40), (40, 45)]
        assert len(list(Path(captured.tokens).rglob("*.tokens"))) == 3


def test_tokens_that_are_lost_while_a_note_waits_leave_the_picture(captured: Settings) -> None:
    with opened(captured) as stores:

        def lose(call: int) -> None:
            if call == 15:
                TokenStore(captured.tokens).delete_span(span(10, 20))

        analyse(captured, engine=AwayFor(16, lose), clock=hurried())

        notes = stores.record.clips()
        assert [bool(note.text) for note in notes] == [True, False, True, True, True]


def test_a_note_that_the_server_refuses_leaves_the_picture(captured: Settings) -> None:
    class Refusing(ScriptedEngine):
        def describe(self, clip: ClipTokens, *, previous: Sequence[str], **known: Any) -> Note:
            raise RequestRefused("http://gpu", status=400, reason="too many images")

    analyse(captured, engine=Refusing())

    with opened(captured) as stores:
        assert [note.text for note in stores.record.clips()] == [""] * 5


class FailingAt(ScriptedEngine):
    """Its server fails at the clips that begin at one of these seconds, for so many calls.

    One that fails at all of them fails at plans, too.
    """

    def __init__(self, *starts_s: int, calls: int = 1000) -> None:
        super().__init__(lead_in_s=3)
        self._starts = {f"cam:{start_s * NS_PER_S}-" for start_s in starts_s}
        self._calls_left = calls

    def describe(self, clip: ClipTokens, **known: Any) -> Note:
        if any((clip.clip_id or "").startswith(start) for start in self._starts):
            self._fail()
        return super().describe(clip, **known)

    def plan(self, question: str) -> Plan:
        if len(self._starts) == CLIPS:
            self._fail()
        return super().plan(question)

    def _fail(self) -> None:
        if self._calls_left:
            self._calls_left -= 1
            raise ModelServerFailed("http://gpu", reason="500: out of memory")


def unwritten(settings: Settings) -> list[str]:
    with opened(settings) as stores:
        return [one.clip_id for one in UnwrittenNotes(stores.record.documents).of("cam")]


def described(settings: Settings) -> list[bool]:
    with opened(settings) as stores:
        return [bool(note.text) for note in stores.record.clips()]


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_clip_at_which_a_server_fails_is_set_aside_and_described_later(
    captured: Settings, bad: int
) -> None:
    metrics = Metrics()
    failing = FailingAt(10 * bad)
    analyse(captured, engine=failing, clock=hurried(), metrics=metrics)

    assert described(captured) == [number != bad for number in range(CLIPS)]
    with opened(captured) as stores:
        assert unwritten(captured) == [stores.record.clips()[bad].clip_id]
    text = metrics.exposition().decode()
    assert measured(text, DROPS, stream="cam", reason="ModelServerFailed") == 1
    with opened_bus(captured) as bus:
        bounds = bus.bounds(TOPIC_SEGMENTS)
        assert bus.committed(TOPIC_SEGMENTS, group=GROUP) == {
            partition: bound.end for partition, bound in bounds.items()
        }

    analyse(captured, engine=ScriptedEngine(lead_in_s=3))

    assert described(captured) == [True] * CLIPS
    assert unwritten(captured) == []
    assert len(announced(captured)) == CLIPS + 1, "those who follow hear of the new note"


@pytest.mark.parametrize("writes", range(1, 18, 2))
def test_a_power_cut_while_a_clip_is_set_aside_loses_nothing(
    captured: Settings, writes: int
) -> None:
    with pytest.raises(WorkerCrashed):
        analyse(captured, engine=FailingAt(20), clock=hurried(), fuse=Fuse(writes))
    analyse(captured, engine=FailingAt(20), clock=hurried())

    assert described(captured) == [True, True, False, True, True]
    assert len(unwritten(captured)) == 1
    analyse(captured, engine=ScriptedEngine(lead_in_s=3))
    assert described(captured) == [True] * CLIPS


def test_where_a_server_fails_at_everything_nothing_is_set_aside(
    captured: Settings, undisturbed: Settings
) -> None:
    analyse(captured, engine=FailingAt(0, 10, 20, 30, 40, calls=60), clock=hurried())

    assert memory_of(captured) == memory_of(undisturbed)
    assert announced(captured) == announced(undisturbed)


def test_what_is_forgotten_is_not_described_later(captured: Settings) -> None:
    analyse(captured, engine=FailingAt(10), clock=hurried())
    with opened(captured) as stores:
        forget_span(stores, span(10, 20))

    assert unwritten(captured) == []
    analyse(captured, engine=ScriptedEngine(lead_in_s=3))
    assert (10, 20) not in clips_of(captured)


def test_a_real_server_that_comes_late_is_made_up_for(tmp_path: Path) -> None:
    from tests.models.tiny_vlm import CHECKPOINT, CLAIM, LAYOUT, NOTHING

    port = closed_port()
    settings = load_settings(data=tmp_path / "data")
    path = film(tmp_path / "film.mp4", story(("dark", 8), ("bright", 8), ("dark", 8)))
    with opened(settings, make=True) as stores:
        stores.registry.add(NewStream("cam", str(path)))
    with closing(
        ModelServers([f"http://127.0.0.1:{port}/v1"], patience=Patience(waits_s=()))
    ) as servers:
        engine = OpenAIEngine(servers, name=str(CHECKPOINT), layout=LAYOUT)
        running = Running(settings, lambda settings: engine, until_idle=True)
        failures: list[Exception] = []

        def run() -> None:
            try:
                run_service(running, stop)
            except Exception as error:  # noqa: BLE001 - the top of a thread
                failures.append(error)

        stop = threading.Event()
        service = threading.Thread(target=run)
        service.start()
        try:
            until(lambda: len(list(Path(settings.tokens).rglob("*.tokens"))) == 6)
            assert clips_of(settings) == []
            with serving_vlm(CHECKPOINT, port=port):
                until(lambda: not service.is_alive())
        finally:
            stop.set()
            service.join()

    assert not failures
    with opened(settings) as stores:
        notes = stores.record.clips()
    assert [note.span.start_ns // NS_PER_S for note in notes] == [0, 4, 8, 12, 16, 20]
    assert {note.text for note in notes} == {CLAIM, NOTHING}
    assert notes[0].text == NOTHING
