"""The API in this process, on a memory, and the service that answers its questions beside it."""

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import httpx2

from services import requests
from services.api.limits import REQUESTS_A_SECOND, RateLimiter
from services.api.server import given_to_routes, serve, taken
from services.health import Face
from services.metrics import Metrics
from services.readiness import Readiness
from services.requests import OnText, Request, Result
from services.serving import url_of
from services.settings import Settings
from services.wiring import open_index, opened, wall_clock
from tests.services.asking import PATIENCE_S, serving
from tests.services.scripted_engine import ScriptedEngine

LOCAL = ("127.0.0.1", 0)


@contextmanager
def api(
    settings: Settings,
    *,
    answers: bool = True,
    engine: ScriptedEngine | None = None,
    per_s: float = REQUESTS_A_SECOND,
) -> Generator[httpx2.Client]:
    """A client of the API, which listens meanwhile, and of which it may ask so often."""
    clock, metrics, stop, listens = (
        wall_clock(),
        Metrics("api"),
        threading.Event(),
        threading.Event(),
    )
    readiness = Readiness(metrics, monotonic_ns=clock.monotonic_ns)
    face = Face("api", metrics, readiness)
    with ExitStack() as stack:
        if answers:
            stack.enter_context(answering(settings, engine or ScriptedEngine()))
        stores = stack.enter_context(opened(settings, make=True))
        listening = stack.enter_context(taken(LOCAL, settings))
        given = replace(
            given_to_routes(stores, face, clock, listening, stop),
            limiter=RateLimiter(monotonic_ns=clock.monotonic_ns, per_s=per_s),
        )

        def run() -> None:
            readiness.has("service")
            serve(given, listening, on_listening=listens.set)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert listens.wait(PATIENCE_S)
            with httpx2.Client(
                base_url=url_of(listening), timeout=PATIENCE_S, trust_env=False
            ) as client:
                yield client
        finally:
            stop.set()
            thread.join(PATIENCE_S)
        assert not thread.is_alive()


@contextmanager
def answering(settings: Settings, engine: ScriptedEngine) -> Generator[None]:
    """`longwatch run answer`, with the scripted engine, in a thread of this process."""
    with opened(settings, make=True) as stores:
        vectors = open_index(stores, engine)

        def respond(request: Request, on_text: OnText) -> Result:
            return requests.respond(request, stores, engine, vectors.index, on_text=on_text)

        with serving(settings, respond):
            yield
