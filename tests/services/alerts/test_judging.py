"""What clips show of claims: several judged at once, and what notes tell of."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.values import Vector
from models.engine import ClipTokens
from models.errors import RequestRefused
from services.alerts.backtest import back_test
from services.alerts.conditions import claims_of
from services.alerts.judging import Judge, Outcome
from services.alerts.machine import step
from services.alerts.rules import THRESHOLD
from services.alerts.watch import Look, Step, Watch
from services.looking import readable_tokens
from services.wiring import Stores
from streaming.messages import AlertState, NotedEvent
from tests.services.alerts.test_service import everything, judge_of, rule
from tests.services.scripted_engine import WIDTH, ScriptedEngine


@pytest.mark.parametrize("at_once", [2, 3])
def test_several_clips_at_once_show_what_each_alone_does(stores: Stores, at_once: int) -> None:
    notes, claims = stores.record.clips(), ("a bright light", "a green light", "a dim light")
    several = Judge(
        engine=ScriptedEngine(), record=stores.record, tokens=stores.tokens, at_once=at_once
    )
    alone = judge_of(stores)

    assert several.looks(notes, claims) == [alone.looks([note], claims)[0] for note in notes]
    assert several.count_of == alone.count_of


class Squeamish(ScriptedEngine):
    """Judges no clip that is as dark as this one."""

    def __init__(self, refused: ClipTokens) -> None:
        super().__init__()
        self._refused = refused.tokens_KD.tobytes()
        self.calls: list[int] = []

    def judge(self, clip: ClipTokens, claim: str) -> float:
        if clip.tokens_KD.tobytes() == self._refused:
            raise RequestRefused("http://a.example", reason="it is too dark", status=400)
        return super().judge(clip, claim)

    def judge_all(self, asked: Sequence[tuple[ClipTokens, str]]) -> list[float]:
        self.calls.append(len(asked))
        return super().judge_all(asked)


@pytest.mark.parametrize(("at_once", "calls"), [(1, [6]), (2, [3, 3]), (9, [1] * 6)])
def test_a_clip_that_cannot_be_judged_spoils_no_other(
    stores: Stores, at_once: int, calls: list[int]
) -> None:
    notes = stores.record.clips()
    refused = readable_tokens(ScriptedEngine(), stores.tokens, notes[2].clip_id)
    assert refused is not None
    engine = Squeamish(refused)
    judge = Judge(engine=engine, record=stores.record, tokens=stores.tokens, at_once=at_once)

    looks, whole = (one.looks(notes, ["a light"]) for one in (judge, judge_of(stores)))

    assert shown_in(whole) == [False, True, True, True, False]
    assert shown_in(looks) == [False, True, False, True, False]
    assert sorted(engine.calls) == calls


def shown_in(looks: Sequence[Look | None]) -> list[bool]:
    return [look is not None and look.seen[0].probability > 0.5 for look in looks]


class Foreign(ScriptedEngine):
    """Compares its vectors with nobody's, so that each clip has to be judged; it sees green."""

    def __init__(self, green: float) -> None:
        super().__init__(model_id="foreign@1")
        self._green = green

    def judge(self, clip: ClipTokens, claim: str) -> float:
        return self._green if "green" in claim else super().judge(clip, claim)


@pytest.mark.parametrize(
    ("sentence", "green", "judgements", "raised"),
    [
        ("a green light while a red light", 0.001, 5, 0),
        ("a green light while a red light", 0.999, 10, 0),
        ("a green light while a green lamp", 0.999, 10, 1),
        ("a bright light while a green light", 0.999, 5, 0),
    ],
)
def test_of_two_claims_at_once_only_what_can_meet_is_judged(
    stores: Stores, sentence: str, green: float, judgements: int, raised: int
) -> None:
    judge = Judge(engine=Foreign(green), record=stores.record, tokens=stores.tokens)
    tried = back_test(rule(sentence), stores.record, judge, everything(stores))

    assert tried.judgements == judgements
    assert len(tried.alerts) == raised
    each = rule(sentence)
    done, told = Step(Watch()), 0
    for look in judge.looks(stores.record.clips(), claims_of(each.condition)):
        assert look is not None
        done = step(each, each.condition, done.watch, look)
        told += sum(alert.state is AlertState.NEW for alert in done.alerts)
    assert told == raised, "as if each claim had been judged"


class Embedding(ScriptedEngine):
    """Its claims have a vector that is given."""

    def __init__(self, vector: Vector) -> None:
        super().__init__()
        self._given = vector

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._given for _ in texts])


@pytest.mark.parametrize(
    ("reads", "looks", "judgements"), [(0.39, 0.24, 0), (0.41, 0.0, 1), (0.0, 0.26, 1)]
)
def test_what_no_note_tells_of_is_judged_where_it_resembles(
    stores: Stores, reads: float, looks: float, judgements: int
) -> None:
    note, (text, picture) = stores.record.clips()[0], np.eye(WIDTH, dtype=np.float32)[:2]
    stores.record.put_clip(note, text_vector=text, visual_vector=picture)
    engine = Embedding(reads * text + looks * picture)
    judge = Judge(engine=engine, record=stores.record, tokens=stores.tokens)

    judge.looks([note], ["a heron lands"])

    assert judge.count_of[Outcome.JUDGED] == judgements


class Undecided(ScriptedEngine):
    """Neither agrees with a claim nor denies it, so that the note decides."""

    def judge(self, clip: ClipTokens, claim: str) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("claim", "is_noted"),
    [
        ("a bright light shines", True),
        ("a light blinks", True),
        ("a dim light blinks", True),
        ("a bright light blinks", False),
        ("rain on a roof", True),
        ("rain shines", False),
    ],
)
def test_words_of_two_events_are_not_mixed(stores: Stores, claim: str, is_noted: bool) -> None:
    first = stores.record.clips()[0]
    said = ("a bright light shines", "a dim light blinks")
    events = tuple(NotedEvent(text=text, span=first.span) for text in said)
    text = f"{', '.join(said)}. Rain falls on a roof"
    note = first.model_copy(update={"text": text, "events": events})
    judge = Judge(engine=Undecided(), record=stores.record, tokens=stores.tokens)

    (look,) = judge.looks([note], [claim])

    assert look is not None
    assert (look.seen[0].probability > THRESHOLD) is is_noted
