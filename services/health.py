"""The HTTP face of a process for whoever looks after it: is it alive, ready, and how it does.

    /v1/live    200 while the process runs
    /v1/ready   200 when it can work, else 503 with the reason
    /metrics    Prometheus' text format

Errors are problem details (RFC 9457). One request a connection; no client is waited for longer
than `REQUEST_S`, nor are there more than `MAX_CLIENTS`, so whoever is rude keeps the port busy for
a moment, and never the service. Nothing secret is told, and nothing can be changed.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

from services.errors import AddressUnusable, reason_of
from services.metrics import Metrics
from services.readiness import Readiness

MAX_CLIENTS = 16
MAX_HEAD_BYTES = 8 * 1024
REQUEST_S = 5.0  # from connecting to the end of the reply
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
        self._service = service
        self._metrics = metrics
        self._readiness = readiness

    def reply(self, method: str, path: str) -> Reply:
        if method not in ("GET", "HEAD"):
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, f"only GET and HEAD, not {method[:20]}")
        route = {LIVE: self._live, READY: self._ready, METRICS: self._measured}.get(
            path.partition("?")[0]
        )
        if route is None:
            return problem(HTTPStatus.NOT_FOUND, f"there are {LIVE}, {READY} and {METRICS}")
        return route()

    def _live(self) -> Reply:
        return self._state("live")

    def _ready(self) -> Reply:
        why_not = self._readiness.why_not()
        if why_not is not None:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, why_not)
        return self._state("ready")

    def _measured(self) -> Reply:
        return Reply(HTTPStatus.OK, PROMETHEUS, self._metrics.exposition())

    def _state(self, state: str) -> Reply:
        body = json.dumps({"service": self._service, "state": state}).encode()
        return Reply(HTTPStatus.OK, JSON, body)


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
    taken = bound(*address, option="--health")
    server = _Server(face, taken)
    thread = threading.Thread(target=server.run, name="health", daemon=True)
    thread.start()
    try:
        host, port = taken.getsockname()[:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        server.stop.set()
        thread.join(REQUEST_S)


def bound(host: str, port: int, *, option: str) -> socket.socket:
    """A socket that listens there; `option` is what named the address.

    Raises:
        AddressUnusable
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(where)
            taken.listen(MAX_CLIENTS)
        except BaseException:
            taken.close()
            raise
    except OSError as error:
        reason = reason_of(error)
        raise AddressUnusable(f"{host}:{port}", option=option, reason=reason) from error
    return taken


class _Server:
    def __init__(self, face: Face, taken: socket.socket) -> None:
        self.stop = threading.Event()
        self._face = face
        self._taken = taken
        self._clients = 0

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._on_client, sock=self._taken, limit=MAX_HEAD_BYTES)
        await asyncio.to_thread(self.stop.wait)
        server.close()

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= MAX_CLIENTS:
                async with asyncio.timeout(REQUEST_S):
                    await self._exchange(reader, writer)
        except OSError:
            pass  # it does not read, does not write, or has gone: nobody is left to be told
        finally:
            self._clients -= 1
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)  # `drain` waits until all of it is sent
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, version = head.split("\r\n", 1)[0].split(" ")
            if not version.startswith("HTTP/1."):
                raise ValueError(version)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            method, reply = "GET", problem(HTTPStatus.BAD_REQUEST, "not a request that is HTTP/1")
        else:
            reply = await asyncio.to_thread(self._face.reply, method, path)
        head = (
            f"HTTP/1.1 {reply.status.value} {reply.status.phrase}\r\n"
            f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + (b"" if method == "HEAD" else reply.body))
        await writer.drain()
        writer.write_eof()
        await reader.read(1)  # the client closes first, so that nothing of the reply is lost
