"""Looks at clips that are not complete: when they are made, what they cost, and what they raise."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from models.engine import ClipTokens, LeadIn
from models.schemas import Note, NoteEvent
from services.alerts.early import EarlyKeeper
from services.alerts.judging import Judge
from services.alerts.keeper import RuleKeeper
from services.describing import Describer
from services.glimpses import Outcome
from services.metrics import Metrics
from services.settings import Settings
from services.wiring import Stores, opened, opened_bus, rules_of
from services.worker import Handler
from streaming.bus import Bus
from streaming.messages import (
    NS_PER_S,
    TOPIC_CLIPS,
    TOPIC_GLIMPSES,
    TOPIC_SEGMENTS,
    Alert,
    AlertEnd,
    ClipGlimpsed,
)
from tests.services.alerts.looks import in_short, rule
from tests.services.analysing import Fuse, PowerCut, analyse, analyst_of, at, memory_of
from tests.services.conftest import Footage
from tests.services.processes import measured
from tests.services.scripted_engine import LAYOUT, ScriptedEngine

BRIGHT = "a bright light shines"


def armed(settings: Settings, sentence: str = BRIGHT, **changes: object) -> Settings:
    with opened(settings) as stores:
        rules_of(stores).add(rule(sentence, **changes))
    return settings


def glimpsed(settings: Settings) -> list[tuple[float, float]]:
    """The spans of the looks that were told of."""
    with opened_bus(settings) as bus:
        found = bus.consumer(TOPIC_GLIMPSES, group="test").poll(max_records=100, timeout_s=0)
    spans = [ClipGlimpsed.model_validate_json(one.value).span for one in found]
    return [(span.start_ns / NS_PER_S, span.end_ns / NS_PER_S) for span in spans]


def test_a_clip_is_looked_at_after_each_segment_and_no_frame_is_encoded_twice(
    camera: Footage,
) -> None:
    settings, engine = armed(camera("wait")), ScriptedEngine()
    analyse(settings, engine=engine, clock=at(0))

    assert glimpsed(settings) == [(0, 8), (10, 16), (20, 24), (30, 32), (40, 45)]
    assert engine.frames_encoded == 45
    with opened(settings) as stores:
        assert [note.frame_count for note in stores.record.clips()] == [10, 10, 10, 10, 5]


def test_what_is_remembered_does_not_depend_on_looks(camera: Footage) -> None:
    settings = camera("wait")
    analyse(settings, clock=at(0))
    plain = memory_of(settings)
    settings = armed(camera("wait"))
    with opened(settings) as stores:
        for note in stores.record.clips():
            stores.tokens.delete(note.clip_id)
    analyse(settings, clock=at(0))

    assert memory_of(settings)[1].keys() == plain[1].keys()


@pytest.mark.parametrize(
    ("sentence", "changes", "behind_s"),
    [
        ("a green fox", {}, 0),
        ("absent a bright light for 1m", {}, 0),
        (BRIGHT, {"is_paused": True}, 0),
        (BRIGHT, {"streams": ("door",)}, 0),
        (BRIGHT, {"schedule": "mon-fri"}, 0),
        (BRIGHT, {}, 100),
    ],
)
def test_nobody_looks_where_no_rule_could_want_it(
    camera: Footage, sentence: str, changes: dict[str, object], behind_s: float
) -> None:
    settings = armed(camera("wait"), sentence, **changes)
    analyse(settings, clock=at(behind_s))

    assert glimpsed(settings) == []


def test_looks_are_left_out_first_where_analysis_is_behind_and_that_is_counted(
    camera: Footage,
) -> None:
    metrics = Metrics()
    settings = armed(camera("wait"))
    analyse(settings, clock=at(30), metrics=metrics)

    text = metrics.exposition().decode()
    count_of = {
        outcome: measured(text, "longwatch_glimpses_total", stream="cam", outcome=outcome.value)
        for outcome in Outcome
    }
    assert count_of == {Outcome.TOLD: 3, Outcome.PASSED_OVER: None, Outcome.LEFT_OUT: 2}
    with opened(settings) as stores:
        assert len(stores.record.clips()) == 5


def test_what_other_weights_began_is_looked_at_anew(camera: Footage) -> None:
    settings, engine = armed(camera("wait")), ScriptedEngine()
    with opened(settings) as stores, opened_bus(settings) as bus:
        analyst = analyst_of(stores, bus, Fuse(), engine, at(0))
        for segment in bus.consumer(TOPIC_SEGMENTS, group="test").poll(
            max_records=100, timeout_s=0
        ):
            analyst.handle(segment, analyst.prepare(segment))
            engine.encoder_id, engine.model_id = "another encoder", "scripted@2"
        notes = stores.record.clips()

    assert {note.encoder_id for note in notes} == {"another encoder"}
    assert [note.frame_count for note in notes] == [10, 10, 10, 10, 5]
    assert engine.frames_encoded == 45 + 8, "the first look was the other's"


@pytest.mark.parametrize("writes", range(3, 12, 2))
def test_after_a_kill_at_any_write_nothing_is_left_of_looks(camera: Footage, writes: int) -> None:
    settings = armed(camera("wait"))
    with pytest.raises(Exception, match="PowerCut") as crash:
        analyse(settings, clock=at(0), fuse=Fuse(writes))
    assert isinstance(crash.value.__cause__, PowerCut)
    analyse(settings, clock=at(0))

    with opened(settings) as stores:
        kept = {note.clip_id for note in stores.record.clips()}
    assert len(memory_of(settings)[1]) == len(kept) == 5


class Watching:
    """Analysis and rules, one segment after the other; each handled by keepers that just began."""

    def __init__(self, stores: Stores, bus: Bus, engine: ScriptedEngine) -> None:
        self._stores, self._bus, self._engine = stores, bus, engine

    def watched(self, *, times: int = 1, whole_first: bool = False) -> Iterator[list[Alert]]:
        """The alerts after each segment."""
        analyst = analyst_of(self._stores, self._bus, Fuse(), self._engine, at(0))
        handled: list[tuple[str, Callable[[], Handler[Any]]]] = [
            (TOPIC_GLIMPSES, self._early),
            (TOPIC_CLIPS, self._keeper),
        ]
        segments = self._bus.consumer(TOPIC_SEGMENTS, group="test")
        for segment in segments.poll(max_records=100, timeout_s=0):
            analyst.handle(segment, analyst.prepare(segment))
            for topic, keeper in reversed(handled) if whole_first else handled:
                consumer = self._bus.consumer(topic, group="test")
                for record in consumer.poll(max_records=100, timeout_s=0):
                    for _ in range(times):
                        handler = keeper()
                        handler.handle(record, handler.prepare(record))
                    consumer.commit({record.partition: record.offset + 1})
            yield [one.alert for one in rules_of(self._stores).outbox().values()]

    def _keeper(self) -> RuleKeeper:
        stores = self._stores
        judge = Judge(engine=self._engine, record=stores.record, tokens=stores.tokens)
        return RuleKeeper(
            book=rules_of(stores),
            judge=lambda: judge,
            record=stores.record,
            monotonic_ns=lambda: 0,
            metrics=Metrics(),
        )

    def _early(self) -> EarlyKeeper:
        stores = self._stores
        describer = Describer(engine=self._engine, record=stores.record, tokens=stores.tokens)
        return EarlyKeeper(self._keeper(), lambda: describer, LAYOUT, Metrics())


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("whole_first", [False, True])
def test_an_alert_is_raised_before_its_clip_is_complete(
    camera: Footage, times: int, whole_first: bool
) -> None:
    settings = armed(camera("wait"))
    with opened(settings) as stores, opened_bus(settings) as bus:
        watching = Watching(stores, bus, ScriptedEngine())
        seen = list(watching.watched(times=times, whole_first=whole_first))

    first, told = seen[1], seen[-1]
    assert in_short(first) == ["new 12-15"], "the clip ends at 20 s, and the segment at 16 s"
    assert first[0].is_early
    assert in_short(told) == ["new 12-15", "update 12-15", "end 12-15", "new 34-36", "end 34-36"]
    assert len({one.alert_id for one in told[:3]}) == 1
    assert len({one.message_id for one in told}) == len(told)


class Hasty(ScriptedEngine):
    """Sees in part of a clip what is not there."""

    def describe(
        self, clip: ClipTokens, *, previous: Sequence[str], lead_in: LeadIn | None = None
    ) -> Note:
        note = super().describe(clip, previous=previous, lead_in=lead_in)
        if len(clip.times_s_T) == LAYOUT.max_frames:
            return note
        return replace_events(note, NoteEvent(start_s=1.0, end_s=2.0, text=BRIGHT))

    def judge(self, clip: ClipTokens, claim: str) -> float:
        return 0.999 if len(clip.times_s_T) < LAYOUT.max_frames else super().judge(clip, claim)


def replace_events(note: Note, *events: NoteEvent) -> Note:
    return note.model_copy(update={"events": events})


def test_what_the_whole_clip_does_not_show_is_taken_back(camera: Footage) -> None:
    settings = armed(camera("wait"), cooldown_ns=60 * NS_PER_S)
    with opened(settings) as stores, opened_bus(settings) as bus:
        (*_, told) = Watching(stores, bus, Hasty()).watched()

    assert in_short(told[:2]) == ["new 1-2", "end 1-2"]
    assert told[1].ended is AlertEnd.RETRACTED
    assert in_short(told[2:3]) == ["new 12-15"], "and the rule goes on, by whole clips"
    assert not told[2].is_early
