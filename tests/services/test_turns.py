"""Analysis and questions take turns at the model, so that neither waits long for the other."""

import threading
from typing import Any

import pytest

from models.engine import ClipTokens
from models.schemas import Note, Plan
from services import turns as model_turns
from services.requests import Answered
from services.resident import ask_service
from services.settings import Settings, load_settings
from services.turns import Turns, looks_at_once
from services.up import Running, run_service
from tests.services.asking import PATIENCE_S, ask_request, until
from tests.services.scripted_engine import ScriptedEngine


def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    turns, order = Turns(), list[str]()

    def ask() -> None:
        with turns.turn():
            order.append("question")

    asking = threading.Thread(target=ask)
    with turns.turn():
        order.append("analysis")
        asking.start()
        until(lambda: len(turns._waiting) == 2)
    for _ in range(3):  # at once, as a plain lock that is let go would be taken again
        with turns.turn():
            order.append("analysis")
    asking.join(PATIENCE_S)

    assert order == ["analysis", "question", *["analysis"] * 3]


class BusyEngine(ScriptedEngine):
    """Its first note takes until somebody waits for an answer."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.is_busy = threading.Event()
        self._turns = turns

    def describe(self, clip: ClipTokens, **previous: Any) -> Note:
        self.is_busy.set()
        until(lambda: "plan" in self.calls or len(self._turns._waiting) == 2)
        self.calls.append("describe")
        return super().describe(clip, **previous)

    def plan(self, question: str) -> Plan:
        self.calls.append("plan")
        return super().plan(question)


def test_a_question_waits_for_one_call_of_analysis_and_no_more(
    captured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns()
    engine = BusyEngine(turns)
    monkeypatch.setattr(model_turns, "Turns", lambda: turns)
    running = Running(captured, lambda settings: engine, until_idle=True)
    service = threading.Thread(target=run_service, args=(running, threading.Event()))
    service.start()

    assert engine.is_busy.wait(PATIENCE_S)
    until(captured.socket_path.is_socket)
    answer = None
    while answer is None:  # the socket is there an instant before it can be used
        answer = ask_service(captured, ask_request(), on_text=lambda piece: None)
    service.join(PATIENCE_S)

    assert isinstance(answer, Answered)
    assert engine.calls == ["describe", "plan", *["describe"] * 4]


@pytest.mark.parametrize(
    ("cores", "changes", "at_once"),
    [
        (2, {}, 2),
        (2, {"model_threads": 2}, 1),
        (8, {"model_threads": 2}, 4),
        (8, {}, 1),
        (1, {}, 1),
        (8, {"device": "cuda", "model_threads": 1}, 1),
        (2, {"model_url": "sglang+http://a.example,http://b.example"}, 64),
    ],
)
def test_a_turn_is_for_as_many_clips_as_the_model_has_room_for(
    monkeypatch: pytest.MonkeyPatch, cores: int, changes: dict[str, Any], at_once: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)

    assert looks_at_once(load_settings(**changes)) == at_once
