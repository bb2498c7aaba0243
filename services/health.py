"""The HTTP face of a process for whoever looks after it: is it alive, ready, and how it does.

    /v1/live    200 while the process runs
    /v1/ready   200 when it can work, with what is not as was wanted; else 503 with the reason
    /metrics    Prometheus' text format

Errors are problem details (RFC 9457). Nothing secret is told, and nothing can be changed.
"""

import asyncio
import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

from services.metrics import Metrics
from services.readiness import Readiness
from services.serving import STOP_S, App, Message, Receive, Send, bound, serve, url_of

LIVE, READY, METRICS = "/v1/live", "/v1/ready", "/metrics"
JSON, PROBLEM = "application/json", "application/problem+json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Reply(NamedTuple):
    status: HTTPStatus
    content_type: str
    body: bytes


class Face:
    """What is replied to a request, given its method and path. Knows no sockets."""

    def __init__(self, service: str, metrics: Metrics, readiness: Readiness) -> None:
        self.service = service
        self.metrics = metrics
        self._readiness = readiness

    def reply(self, method: str, path: str) -> Reply:
        if method not in ("GET", "HEAD"):
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, f"only GET and HEAD, not {method[:20]}")
        route = {LIVE: self._live, READY: self._ready, METRICS: self._measured}.get(path)
        if route is None:
            return problem(HTTPStatus.NOT_FOUND, f"there are {LIVE}, {READY} and {METRICS}")
        return route()

    def _live(self) -> Reply:
        return self._state("live")

    def _ready(self) -> Reply:
        why_not = self._readiness.why_not()
        if why_not is not None:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, why_not)
        return self._state("ready", self._readiness.warnings())

    def _measured(self) -> Reply:
        return Reply(HTTPStatus.OK, PROMETHEUS, self.metrics.exposition())

    def _state(self, state: str, warnings: Mapping[str, str] | None = None) -> Reply:
        told: dict[str, object] = {"service": self.service, "state": state}
        if warnings:
            told["warnings"] = dict(warnings)
        return Reply(HTTPStatus.OK, JSON, json.dumps(told).encode())


def problem(status: HTTPStatus, detail: str, **more: Any) -> Reply:
    """Problem details, with `more` members of ours."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **more,
    }
    return Reply(status, PROBLEM, json.dumps(body).encode())


@contextmanager
def listening(address: tuple[str, int] | None, face: Face) -> Generator[str | None]:
    """Reply to requests in a thread meanwhile; gives the URL. Without an address, do nothing.

    Raises:
        AddressUnusable: nothing can listen there.
    """
    if address is None:
        yield None
        return
    stop = threading.Event()
    with bound(*address, option="--health") as taken:
        url = url_of(taken)
        thread = threading.Thread(
            target=serve, args=(app_of(face), taken, stop), name="health", daemon=True
        )
        thread.start()
        try:
            yield url
        finally:
            stop.set()
            thread.join(STOP_S)


def app_of(face: Face) -> App:
    """The face as an ASGI app."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        reply = await asyncio.to_thread(face.reply, scope["method"], scope["path"])
        told = {
            "Content-Type": reply.content_type,
            "Content-Length": str(len(reply.body)),
            "Cache-Control": "no-store",
        }
        headers = [(name.encode(), value.encode()) for name, value in told.items()]
        await send(
            {"type": "http.response.start", "status": reply.status.value, "headers": headers}
        )
        await send({"type": "http.response.body", "body": reply.body})

    return app
