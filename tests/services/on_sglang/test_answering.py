"""The API before a model server: questions are answered together, and while weights change over."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest

from models.hot_swap import swap
from models.nano.footage import render
from models.nano.world import write_script
from models.sglang_engine import SGLangEngine
from models.transformers_engine import TransformersEngine
from services.promoted import served_model
from services.registry import NewStream
from services.settings import SHIPPED_MODEL, Settings, load_settings
from services.up import Running, run_service
from services.wiring import LoadEngine, model_servers, opened
from tests.services.asking import PATIENCE_S
from tests.services.on_sglang.model_server import CLIP_S, ModelServer
from tests.services.on_sglang.test_hot_swap import changed
from tests.services.processes import until
from tests.services.test_cli import as_json, run
from tests.services.test_weights import working
from tests.services.training.conftest import real_tools
from tests.services.training.test_promote import calm_notes
from tests.streaming.servers import free_port

pytestmark = pytest.mark.timeout(700)  # the first test may wait for the server to start

AT_ONCE = 8
QUESTIONS = (
    "What happened after 0:00:05?",
    "How many times did a person enter?",
    "What happened between 0:00:10 and 0:00:20?",
    "What happened before 0:00:15?",
)


@pytest.fixture(scope="module")
def load() -> Iterator[LoadEngine]:
    """Loads engines as services do, and closes their connections in the end."""
    with ExitStack() as stack:

        def load(settings: Settings) -> SGLangEngine:
            assert settings.model_address is not None
            servers = stack.enter_context(closing(model_servers(settings, settings.model_address)))
            local = TransformersEngine.load(served_model(settings), num_threads=1)
            return SGLangEngine(servers, local)

        yield load


@pytest.fixture(scope="module")
def served(
    model_server: ModelServer, load: LoadEngine, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """A memory of a film whose notes the server wrote, and which is asked over HTTP."""
    folder = tmp_path_factory.mktemp("answering")
    settings = load_settings(
        data=folder / "data",
        tokens_url=model_server.tokens,
        model_url=f"sglang+{model_server.url}",
        listen=f"127.0.0.1:{free_port()}",
    )
    film = folder / "film.mp4"
    script = write_script(4712, duration_s=3 * CLIP_S, pace=3)
    render(script, film, on_progress=lambda share: None)
    with opened(settings, make=True) as stores:
        stores.registry.add(NewStream("yard", str(film)))
    run_service(Running(settings, load, until_idle=True), Event())
    return settings


@pytest.fixture
def api(served: Settings, load: LoadEngine, model_server: ModelServer) -> Iterator[httpx2.Client]:
    """A client of `longwatch up`; the server has its own weights again afterwards."""
    running = Running(served, load)
    with (
        working(lambda stop: run_service(running, stop)),
        httpx2.Client(base_url=f"http://{served.listen}", timeout=PATIENCE_S) as client,
    ):
        until(lambda: answers(client))
        yield client
    swap(model_server.url, SHIPPED_MODEL)


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/v1/search", params={"q": "a person"}).is_success
    except httpx2.TransportError:
        return False


def asked(client: httpx2.Client, question: str) -> dict[str, Any]:
    """What is answered, which must be an answer, without what differs from one time to the next."""
    body = {"messages": [{"role": "user", "content": question}]}
    reply = client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    told = reply.json()
    return {name: told[name] for name in ("model", "choices", "verdict", "value", "evidence")}


def asked_on(client: httpx2.Client, number: int, begun: Event, is_over: Event) -> list[Any]:
    """Each question and its answer, until it is over, and once more."""
    told: list[tuple[str, dict[str, Any]]] = []
    left = len(QUESTIONS)
    while left:
        question = QUESTIONS[(number + len(told)) % len(QUESTIONS)]
        left -= is_over.is_set()
        told.append((question, asked(client, question)))
        begun.set()
    return told


def asked_by_many(pool: ThreadPoolExecutor, client: httpx2.Client, is_over: Event) -> list[Any]:
    """Have many ask, each of whom has had an answer."""
    begun = [Event() for _ in range(AT_ONCE)]
    asking = [
        pool.submit(asked_on, client, number, one, is_over) for number, one in enumerate(begun)
    ]
    for one, each in zip(begun, asking, strict=True):
        until(lambda one=one, each=each: one.is_set() or each.done())
    return asking


def alone(client: httpx2.Client) -> dict[str, dict[str, Any]]:
    return {question: asked(client, question) for question in QUESTIONS}


def test_questions_are_answered_together_as_they_are_alone(
    api: httpx2.Client, model_server: ModelServer
) -> None:
    expected, overlapped = alone(api), Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asking = asked_by_many(pool, api, overlapped)
        try:
            until(lambda: model_server.num_running() > AT_ONCE // 2)
        finally:
            overlapped.set()
        told = [one for each in asking for one in each.result()]

    assert len(told) >= AT_ONCE * len(QUESTIONS)
    assert all(answer == expected[question] for question, answer in told)


def test_a_promotion_drops_no_question_and_is_taken_back(
    api: httpx2.Client, served: Settings, tmp_path: Path
) -> None:
    new = changed("language_model", tmp_path / "new").engine.model_id
    before = alone(api)
    (old,) = {answer["model"] for answer in before.values()}
    changed_over = Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asking = asked_by_many(pool, api, changed_over)
        try:
            held = str(calm_notes(tmp_path))
            promoted = promotion(served, str(tmp_path / "new"), "--set", held)
        finally:
            changed_over.set()
        told = [one for each in asking for one in each.result()]
    after = alone(api)

    assert promoted["model_id"] == new != old
    assert [one["model_id"] for one in promoted["services"]] == [new]
    expected = {old: before, new: after}
    assert {answer["model"] for _, answer in told} == {old, new}
    assert all(answer == expected[answer["model"]][question] for question, answer in told)
    assert [one["model_id"] for one in promotion(served, "--back")["services"]] == [old]
    assert alone(api) == before


def promotion(served: Settings, *arguments: str) -> dict[str, Any]:
    done = run(served, "promote", *arguments, "--json", tools=real_tools(served))
    assert done.exit_code == 0, done.output
    return as_json(done)
