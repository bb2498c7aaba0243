"""Serve the app over HTTP, until told to stop."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.api.app import app_of
from services.api.errors import KeyNeeded
from services.api.given import Given
from services.api.keys import KeyRing
from services.api.limits import RateLimiter
from services.health import Face, bound
from services.settings import Settings
from services.wiring import Stores, now_at
from streaming.clock import WallClock

DEFAULT_ADDRESS = ("127.0.0.1", 8080)
MAX_CLIENTS = 128
REQUEST_S = 10.0  # for the head of a request to come, also of the next one on a connection
STOP_S = 10  # for replies that are being sent


@contextmanager
def taken(address: tuple[str, int], settings: Settings) -> Generator[socket.socket]:
    """A socket that listens there, if it may.

    Raises:
        KeyNeeded, AddressUnusable, KeysDamaged
    """
    with bound(*address, option="--listen") as listening:
        if not is_local(listening) and not KeyRing(settings.keys_path).grants():
            raise KeyNeeded(url_of(listening))
        yield listening


def given_to_routes(
    stores: Stores,
    face: Face,
    clock: WallClock,
    listening: socket.socket,
    stop: threading.Event,
) -> Given:
    return Given(
        stores=stores,
        keys=KeyRing(stores.settings.keys_path),
        limiter=RateLimiter(monotonic_ns=clock.monotonic_ns),
        face=face,
        is_local=is_local(listening),
        now_at=now_at,
        stop=stop,
    )


def serve(
    given: Given,
    listening: socket.socket,
    *,
    on_listening: Callable[[], None] = lambda: None,
) -> None:
    """Reply until told to stop; then finish what is being replied."""
    config = uvicorn.Config(
        app_of(given),
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
    _Server(config, given.stop, on_listening).run(sockets=[listening])


def is_local(listening: socket.socket) -> bool:
    """Whether nobody but this machine can reach it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
