"""What comes through the socket, good and bad, and what becomes of it."""

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from models.model_servers import AT_ONCE
from services import resident
from services.errors import AnswerBrokenOff, AnswerFailed, NoSuchStream, QuestionTooLong
from services.requests import (
    Answered,
    AskRequest,
    BackTestRequest,
    OnText,
    Request,
    Result,
    model_named,
)
from services.resident import Declined, Resident, ask_service
from services.settings import Settings, load_settings
from services.turns import questions_at_once, turn_at
from services.wiring import now_at
from tests.services.alerts.looks import rule
from tests.services.asking import (
    NOTHING,
    PATIENCE_S,
    answer_saying,
    ask_request,
    connected,
    exchanged,
    found_nothing,
    line_of,
    listens,
    serving,
    until,
)


def test_words_come_as_they_are_written(bare: Settings) -> None:
    heard = threading.Event()

    def respond(request: Request, on_text: OnText) -> Result:
        on_text("one ")
        assert heard.wait(PATIENCE_S), "the first word is heard before the second is written"
        on_text("two")
        return Answered(answer=answer_saying("one ", "two"), usage=None)

    pieces: list[str] = []

    def hear(piece: str) -> None:
        pieces.append(piece)
        heard.set()

    with serving(bare, respond):
        assert ask_service(bare, ask_request(), on_text=hear) == Answered(
            answer=answer_saying("one ", "two"), usage=None
        )
    assert pieces == ["one ", "two"]


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"\xff\xfe\n",
        b"\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        b'{"kind": "forget/1", "text": "all"}\n',
        b'{"kind": "ask/2", "text": "when?"}\n',
        b'{"kind": "ask/2", "text": "when?", "asked_at": "2025-03-01T14:00:00"}\n',
        b'{"kind": "ask/2", "text": 1, "asked_at": "2025-03-01T14:00:00Z"}\n',
        b'{"kind": "ask/2", "text": "", "asked_at": "2025-03-01T14:00:00Z", "sudo": true}\n',
        b'{"kind": "search/1", "text": "x", "asked_at": "2025-03-01T14:00:00Z", "limit": 0}\n',
        b'"' + b"x" * resident.MAX_REQUEST_BYTES + b'"\n',
    ],
    ids=lambda line: repr(line[:50]),
)
def test_a_bad_request_is_refused_and_the_next_one_answered(bare: Settings, line: bytes) -> None:
    with serving(bare, found_nothing):
        refused = exchanged(bare, line)
        assert ask_service(bare, ask_request(), on_text=print) == NOTHING

    assert (refused["kind"], refused["error"]) == ("failed/1", "BadRequest")
    assert len(refused["message"]) < 300


def test_a_question_that_is_too_long_is_told_so_in_the_usual_words(bare: Settings) -> None:
    with serving(bare, found_nothing), pytest.raises(QuestionTooLong, match="100,000 characters"):
        ask_service(bare, ask_request("x" * 100_000), on_text=print)


def test_what_json_cannot_carry_is_left_to_who_asks(bare: Settings) -> None:
    with serving(bare, found_nothing):
        assert ask_service(bare, ask_request("when: \udcff"), on_text=print) is None


def test_an_error_arrives_as_it_was_raised(bare: Settings) -> None:
    def respond(request: Request, on_text: OnText) -> Result:
        raise NoSuchStream("door", known=("cam",))

    with serving(bare, respond), pytest.raises(NoSuchStream) as raised:
        ask_service(bare, ask_request(), on_text=print)
    assert str(raised.value) == str(NoSuchStream("door", known=("cam",)))


def test_a_bug_at_one_question_leaves_the_next_alone(bare: Settings) -> None:
    def respond(request: Request, on_text: OnText) -> Result:
        if request.text == "ill":
            raise ZeroDivisionError
        return NOTHING

    with serving(bare, respond):
        with pytest.raises(AnswerFailed, match="ZeroDivisionError"):
            ask_service(bare, ask_request("ill"), on_text=print)
        assert ask_service(bare, ask_request("well"), on_text=print) == NOTHING


def test_who_sends_no_whole_line_is_let_go(bare: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "REQUEST_S", 0.1)

    with serving(bare, found_nothing):
        assert "no whole line" in exchanged(bare, b'{"kind": ')["message"]


def test_who_reads_nothing_is_let_go_and_keeps_nobody_waiting(
    bare: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resident, "SEND_S", 0.1)
    caplog.set_level(logging.INFO, logger="services")

    def respond(request: Request, on_text: OnText) -> Result:
        if request.text == "much":
            for _ in range(100):
                on_text("x" * 100_000)
        return NOTHING

    with serving(bare, respond), connected(bare) as connection:
        connection.sendall(line_of(ask_request("much")))
        assert ask_service(bare, ask_request("little"), on_text=print) == NOTHING
        until(lambda: "it does not read" in caplog.text)
        with connection.makefile("rb") as replies:
            assert b"found_clips" not in replies.read()


def test_the_answer_of_who_left_ends_with_its_next_word(bare: Settings) -> None:
    ended = threading.Event()

    def respond(request: Request, on_text: OnText) -> Result:
        if request.text == "endless":
            try:
                while True:
                    on_text("and then ")
                    time.sleep(0.01)
            finally:
                ended.set()
        return NOTHING

    with serving(bare, respond):
        with connected(bare) as connection, connection.makefile("rb") as replies:
            connection.sendall(line_of(ask_request("endless")))
            assert b"and then" in replies.readline()
        assert ended.wait(PATIENCE_S)
        assert ask_service(bare, ask_request(), on_text=print) == NOTHING


def test_as_many_are_answered_together_as_the_model_takes(bare: Settings) -> None:
    together = threading.Barrier(3)

    def respond(request: Request, on_text: OnText) -> Result:
        together.wait(PATIENCE_S)
        return NOTHING

    with serving(bare, respond, at_once=3), ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask_service, bare, ask_request(), on_text=print) for _ in range(3)]
        assert [one.result() for one in asked] == [NOTHING] * 3


def test_questions_take_turns_at_a_model_in_process_and_none_at_servers(bare: Settings) -> None:
    servers = load_settings(data=bare.data, model_url="sglang+http://one:1,http://two:2")

    assert questions_at_once(bare) == 1
    assert questions_at_once(servers) == 2 * AT_ONCE
    with turn_at(servers)() as first, turn_at(servers)() as second:
        assert first is second is None


def test_a_question_that_was_taken_back_is_not_begun(bare: Settings) -> None:
    told: list[object] = []

    Resident(bare, found_nothing)._answer(ask_request(), lambda: True, told.append)

    assert [type(one) for one in told] == [Declined]


def test_a_stop_lets_the_answer_end_and_declines_those_that_wait(bare: Settings) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def respond(request: Request, on_text: OnText) -> Result:
        begun.set()
        may_end.wait(PATIENCE_S)
        return NOTHING

    with (
        serving(bare, respond) as stop,
        connected(bare) as first,
        connected(bare) as second,
        first.makefile("rb") as first_replies,
        second.makefile("rb") as second_replies,
    ):
        first.sendall(line_of(ask_request("first")))
        assert begun.wait(PATIENCE_S)
        second.sendall(line_of(ask_request("second")))
        stop.set()
        until(lambda: not listens(bare))
        may_end.set()

        assert json.loads(first_replies.read())["kind"] == "found_clips/1"
        assert json.loads(second_replies.read())["kind"] == "declined/1"


def test_too_many_at_once_are_declined(bare: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def respond(request: Request, on_text: OnText) -> Result:
        begun.set()
        may_end.wait(PATIENCE_S)
        return NOTHING

    monkeypatch.setattr(resident, "MAX_WAITING", 0)
    with serving(bare, respond), connected(bare) as first, first.makefile("rb") as replies:
        first.sendall(line_of(ask_request()))
        assert begun.wait(PATIENCE_S)
        assert ask_service(bare, ask_request(), on_text=print) is None
        monkeypatch.setattr(resident, "MAX_CLIENTS", 1)
        assert exchanged(bare, b"")["kind"] == "declined/1"
        may_end.set()
        assert json.loads(replies.read())["kind"] == "found_clips/1"


def test_a_service_that_dies_in_the_middle_of_an_answer_is_told(bare: Settings) -> None:
    with resident._listening(bare.socket_path) as listening:

        def die() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b'{"kind": "said/1", "text": "It was "}\n')

        dying = threading.Thread(target=die)
        dying.start()
        with pytest.raises(AnswerBrokenOff):
            ask_service(bare, ask_request(), on_text=lambda piece: None)
        dying.join(PATIENCE_S)


def test_another_model_or_time_zone_is_left_to_who_asks(bare: Settings, tmp_path: Path) -> None:
    offset = now_at().utcoffset()
    assert offset is not None
    elsewhere = datetime.now(timezone(offset + timedelta(hours=1)))
    other = load_settings(data=bare.data, model=tmp_path / "other")
    same = load_settings(data=bare.data, model=bare.model)

    cases: list[tuple[dict[str, Any], Result | None]] = [
        ({"asked_at": elsewhere}, None),
        ({"model": model_named(other)}, None),
        ({"model": model_named(same)}, NOTHING),
        ({"model": model_named(bare)}, NOTHING),
    ]

    with serving(bare, found_nothing):
        for changes, result in cases:
            assert ask_service(bare, ask_request(**changes), on_text=print) == result
    assert model_named(bare) is None


@pytest.mark.parametrize("ends_by", ["client", "service"])
def test_a_back_test_keeps_no_question_waiting_and_ends_when_nobody_listens(
    bare: Settings, ends_by: str
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def respond(request: Request, on_text: OnText) -> Result:
        if isinstance(request, AskRequest):
            return NOTHING
        begun.set()
        try:
            while True:
                on_text("0:00:10")
                time.sleep(0.01)
        finally:
            ended.set()

    asked = {"text": "a fox", "asked_at": now_at(), "rule": rule("a fox")}
    with serving(bare, respond) as stop, connected(bare) as trying:
        trying.sendall(line_of(BackTestRequest.model_validate(asked)))
        assert begun.wait(PATIENCE_S)
        assert ask_service(bare, ask_request(), on_text=print) == NOTHING
        assert not ended.is_set()
        if ends_by == "client":
            trying.close()
        else:
            stop.set()
        assert ended.wait(PATIENCE_S)
