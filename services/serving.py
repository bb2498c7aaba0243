"""Serve an ASGI app over HTTP with uvicorn, until told to stop.

No client is waited for long, so whoever is rude keeps a connection busy for a moment and never the
service: one that does not speak is let go after `REQUEST_S`, by us, and one that does not take its
reply after `SEND_S`, by the kernel (TCP_USER_TIMEOUT).
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.errors import AddressUnusable, reason_of

MAX_CLIENTS = 128
REQUEST_S = 10.0  # for the head of a request to come, also of the next one on a connection
SEND_S = 30.0
STOP_S = 10  # for replies that are being sent

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


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
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(SEND_S * 1000))
            taken.bind(where)
            taken.listen(MAX_CLIENTS)
        except BaseException:
            taken.close()
            raise
    except OSError as error:
        reason = reason_of(error)
        raise AddressUnusable(f"{host}:{port}", option=option, reason=reason) from error
    return taken


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: App,
    listening: socket.socket,
    stop: threading.Event,
    *,
    on_listening: Callable[[], None] = lambda: None,
) -> None:
    """Reply until `stop` is set; then finish what is being replied."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CLIENTS,
        timeout_graceful_shutdown=STOP_S,
    )
    _Server(config, stop, on_listening).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Stops when an event is set; signals are the command's."""

    def __init__(
        self, config: uvicorn.Config, stop: threading.Event, on_listening: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._stop = stop
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Protocol(H11Protocol):
    """Closes connections on which no whole head of a request comes for long."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._looked_at: object = self
        self._look()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        is_idle = not self.cycle or self.cycle.response_complete
        if is_idle and self._looked_at is self.cycle:
            self.transport.close()
            return
        self._looked_at = self.cycle
        self.loop.call_later(REQUEST_S, self._look)
