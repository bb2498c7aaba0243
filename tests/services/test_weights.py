"""Services change over to other weights while they work: nothing is dropped, nothing is mixed."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memory.documents import DictDocuments
from memory.errors import StoreUnavailable
from models.engine import ClipTokens, LeadIn
from models.errors import ModelServerAway, WeightsSwapped
from models.schemas import Note, Plan
from services import told_weights
from services.doctor import Health, examine
from services.errors import ModelUnavailable
from services.locks import Service
from services.promoted import Promotion, Promotions, read_promotions, served_model, write_promotions
from services.registry import NewStream
from services.requests import Answered
from services.resident import ask_service
from services.run import run_alone
from services.settings import Settings
from services.told_weights import STALE, ToldWeights, WeightsBook, until_changed
from services.up import Running, run_service
from services.weights import Turnout, Weights
from services.wiring import WatchingEngine, now_at, opened
from streaming.messages import Answer, ClipNote
from tests.services.asking import ask_request, listens, until
from tests.services.films import film, story
from tests.services.scripted_engine import LAYOUT, ScriptedEngine

AT = datetime(2025, 3, 1, tzinfo=UTC)
A, B = "a@1", "b@2"


class Signing(ScriptedEngine):
    """Puts its name under what it writes; while it is `held`, it makes no plan."""

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id=model_id)
        self.is_asked, self.held = threading.Event(), threading.Event()
        self.held.set()

    def describe(
        self, clip: ClipTokens, *, previous: Sequence[str], lead_in: LeadIn | None = None
    ) -> Note:
        threading.Event().wait(0.02)
        note = super().describe(clip, previous=previous, lead_in=lead_in)
        return note.model_copy(update={"text": f"{note.text} {self.model_id}"})

    def plan(self, question: str) -> Plan:
        self.is_asked.set()
        assert self.held.wait(60)
        return super().plan(question)

    def answer(
        self, question: str, *, findings: Sequence[str], clips: Sequence[ClipTokens]
    ) -> Iterator[str]:
        yield self.model_id


def serve_from_now_on(settings: Settings, model_id: str) -> Promotion:
    earlier = read_promotions(settings).promotions
    promotion = Promotion(model_id=model_id, promoted_at=AT + timedelta(minutes=len(earlier)))
    write_promotions(settings, Promotions(promotions=(*earlier, promotion)))
    return promotion


@contextmanager
def working(work: Callable[[threading.Event], None]) -> Generator[None]:
    """A service in a thread, which is to end well."""
    stop, failed = threading.Event(), list[Exception]()

    def guarded() -> None:
        try:
            work(stop)
        except Exception as error:  # noqa: BLE001 - the test raises it
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told_weights, "LOOK_EVERY_S", 0.02)


@pytest.fixture
def engines(settings: Settings) -> dict[str, Signing]:
    """Of which A serves."""
    settings.data.mkdir(exist_ok=True)
    serve_from_now_on(settings, A)
    return {model_id: Signing(model_id) for model_id in (A, B)}


def loading(engines: dict[str, Signing]) -> Callable[[Settings], Signing]:
    return lambda settings: engines[served_model(settings).name]


def told(settings: Settings) -> list[ToldWeights]:
    with opened(settings) as stores:
        return WeightsBook(stores.record.documents, now_at=now_at).all()


def serves(settings: Settings, model_id: str) -> Callable[[], bool]:
    return lambda: [one.model_id for one in told(settings)] == [model_id]


def asked(settings: Settings) -> Answer:
    answered = ask_service(settings, ask_request(), on_text=lambda piece: None)
    assert isinstance(answered, Answered), "no question is dropped"
    answer = answered.answer
    assert answer.text == answer.model_id, "an answer says who wrote it"
    return answer


def notes_of(settings: Settings, name: str) -> list[ClipNote]:
    with opened(settings) as stores:
        return [note for note in stores.record.clips() if note.span.stream_id == name]


def test_a_service_that_works_changes_over_between_two_clips_and_two_questions(
    settings: Settings, engines: dict[str, Signing], tmp_path: Path
) -> None:
    path = film(tmp_path / "long.mp4", story(("dark", 900), ("bright", 900)), fps=1)
    with opened(settings) as stores:
        stores.registry.add(NewStream("door", str(path)))
    running = Running(settings, loading(engines))
    engines[A].held.clear()
    answers: list[Answer] = []
    with working(lambda stop: run_service(running, stop)):
        until(lambda: listens(settings))
        until(lambda: len(notes_of(settings, "door")) > 2)
        asking = threading.Thread(target=lambda: answers.append(asked(settings)))
        asking.start()
        assert engines[A].is_asked.wait(60)
        serve_from_now_on(settings, B)
        until(serves(settings, B))
        engines[A].held.set()
        asking.join()
        answers += [asked(settings) for _ in range(3)]
        until(lambda: notes_of(settings, "door")[-1].model_id == B)

    assert [answer.model_id for answer in answers] == [A, B, B, B]
    notes = notes_of(settings, "door")
    assert all(note.text.endswith(note.model_id) for note in notes)
    writers = [note.model_id for note in notes]
    assert writers == sorted(writers)
    assert set(writers) == {A, B}
    assert told(settings) == [], "who ends says nothing more"


def test_a_question_that_finds_other_weights_in_the_servers_is_answered_by_these(
    settings: Settings, engines: dict[str, Signing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told_weights, "LOOK_EVERY_S", 600)
    refusals = list[str]()

    def swapped(question: str) -> Plan:
        refusals.append(question)
        raise WeightsSwapped("http://gpu-1:30000", expected=A, got=B)

    with working(lambda stop: run_alone(Service.ANSWER, settings, loading(engines), stop)):
        until(lambda: listens(settings))
        monkeypatch.setattr(engines[A], "plan", swapped)
        with pytest.raises(ModelServerAway, match="the weights b@2 now"):
            asked(settings)
        serve_from_now_on(settings, B)
        assert asked(settings).model_id == B
    assert len(refusals) == 2


@pytest.mark.parametrize("service", [Service.ANALYSE, Service.ANSWER, Service.ALERTS])
def test_each_service_changes_over_and_back(
    settings: Settings, engines: dict[str, Signing], service: Service
) -> None:
    first = read_promotions(settings)
    with working(lambda stop: run_alone(service, settings, loading(engines), stop)):
        until(serves(settings, A))
        serve_from_now_on(settings, B)
        until(serves(settings, B))
        write_promotions(settings, first)
        until(serves(settings, A))
        if service is Service.ANSWER:
            until(lambda: listens(settings))
            assert asked(settings).model_id == A


def test_what_cannot_be_loaded_leaves_the_old_weights_and_says_so_once(
    settings: Settings, engines: dict[str, Signing], caplog: pytest.LogCaptureFixture
) -> None:
    def load(settings: Settings) -> Signing:
        if served_model(settings).name == "broken":
            raise ModelUnavailable("broken", reason="it is damaged")
        return loading(engines)(settings)

    caplog.set_level(logging.ERROR)
    before = read_promotions(settings)
    with working(lambda stop: run_service(Running(settings, load), stop)):
        until(lambda: listens(settings))
        promotion = serve_from_now_on(settings, "broken")
        until(lambda: bool(told(settings)) and told(settings)[0].refused is not None)
        with opened(settings) as stores:
            book = WeightsBook(stores.record.documents, now_at=now_at)
            (seen,) = until_changed(book, promotion, within_s=0)
        assert seen.refused == str(ModelUnavailable("broken", reason="it is damaged"))
        assert asked(settings).model_id == A
        (check,) = [check for check in examine(settings) if check.name == "weights of up"]
        assert check.health is Health.WARNING
        assert "it is damaged" in check.found
        threading.Event().wait(0.2)
        write_promotions(settings, before)
        until(lambda: told(settings)[0].refused is None)

    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert lines == [f"a@1 goes on serving: {seen.refused}"]


def looked(settings: Settings, load: Callable[[Settings], ScriptedEngine]) -> Weights[None]:
    return Weights(settings, load, lambda engine: None, lambda turnout: None)


def test_weights_that_look_at_streams_in_another_way_wait_for_a_restart(bare: Settings) -> None:
    wide = ScriptedEngine(model_id=B)
    wide.layout = LAYOUT.model_copy(update={"clip_length_s": 20.0})
    wide.layout_id = wide.layout.layout_id
    turnouts: list[Turnout] = []
    weights = Weights(
        *(bare, lambda settings: wide if read_promotions(settings).promotions else Signing(A)),
        *(lambda engine: None, turnouts.append),
    )
    serve_from_now_on(bare, B)
    weights.look()
    weights.look()

    assert weights.engine().model_id == A
    assert len(turnouts) == 2
    assert "restart the services" in str(turnouts[1].refused)


def test_a_promotion_that_cannot_be_read_changes_nothing(
    bare: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    weights = looked(bare, lambda settings: Signing(A))
    bare.promotions_path.write_text("{")
    for _ in range(3):
        weights.look()

    assert weights.engine().model_id == A
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1


def test_what_is_away_just_now_is_tried_again(bare: Settings) -> None:
    away = [True, True]

    def belonging(engine: WatchingEngine) -> str:
        if engine.model_id == B and away:
            away.pop()
            raise StoreUnavailable("record", retry_after_s=1, detail="locked")
        return f"index of {engine.model_id}"

    weights = Weights(
        *(bare, lambda settings: Signing(B if read_promotions(settings).promotions else A)),
        *(belonging, lambda turnout: None),
    )
    serve_from_now_on(bare, B)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            weights.look()
        assert (weights.now.engine.model_id, weights.now.other) == (A, "index of a@1")
    weights.look()

    assert (weights.now.engine.model_id, weights.now.other) == (B, "index of b@2")


def test_nobody_believes_a_process_that_is_gone() -> None:
    now = [AT]
    documents = DictDocuments()
    book = WeightsBook(documents, now_at=lambda: now[0])
    promotion = Promotion(model_id=B, promoted_at=AT)
    book.say("up@here:1", "up", Turnout(None, ScriptedEngine(model_id=A)))
    now[0] += STALE
    book.say("up@here:2", "up", Turnout(promotion, ScriptedEngine(model_id=B)))
    assert [one.model_id for one in book.all()] == [A, B]
    now[0] += timedelta(seconds=1)

    assert [one.model_id for one in until_changed(book, promotion, within_s=60)] == [B]
    book.sweep()
    assert list(documents.all(told_weights.KIND)) == ["up@here:2"]
