"""Serve the app over HTTP, until told to stop."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from services import serving, uploads
from services.api.app import app_of
from services.api.errors import KeyNeeded
from services.api.given import Given
from services.api.keys import KeyRing
from services.api.limits import RateLimiter
from services.health import Face
from services.metrics import Budget
from services.serving import bound, url_of
from services.settings import Settings
from services.wiring import Stores, now_at
from streaming.clock import WallClock

DEFAULT_ADDRESS = ("127.0.0.1", 8080)


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
    limiter = given.limiter
    given.face.metrics.budget_asked(Budget.REQUESTS, limiter.used, allowed=limiter.burst)
    uploads.sweep(given.stores.settings)
    serving.serve(app_of(given), listening, given.stop, on_listening=on_listening)


def is_local(listening: socket.socket) -> bool:
    """Whether nobody but this machine can reach it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback
