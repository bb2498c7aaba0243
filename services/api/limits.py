"""What one client may cost: requests a second, and how long anybody is waited for."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.errors import TooManyRequests
from streaming.messages import NS_PER_S

REQUESTS_A_SECOND = 20.0
BURST = 60
BODY_S = 10.0  # for the body of a request to come
SEND_S = 30.0  # for a piece of a reply to be taken
MAX_BODY_BYTES = 256 * 1024

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_ns: int


class RateLimiter:
    """A token bucket for each key."""

    def __init__(
        self,
        *,
        monotonic_ns: Callable[[], int],
        per_s: float = REQUESTS_A_SECOND,
        burst: int = BURST,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._per_s = per_s
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}
        self._changing = threading.Lock()

    def take(self, name: str) -> None:
        """Count a request.

        Raises:
            TooManyRequests
        """
        now_ns = self._monotonic_ns()
        with self._changing:
            bucket = self._buckets.setdefault(name, _Bucket(self._burst, now_ns))
            filled = bucket.tokens + (now_ns - bucket.filled_ns) / NS_PER_S * self._per_s
            bucket.tokens, bucket.filled_ns = min(self._burst, filled), now_ns
            if bucket.tokens < 1:
                raise TooManyRequests(retry_after_s=ceil((1 - bucket.tokens) / self._per_s))
            bucket.tokens -= 1


class Impatience:
    """Lets go of clients that send their request, or take the reply, too slowly."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_whole = False
        too_slow = False

        async def receive_soon() -> Message:
            nonlocal is_whole
            if is_whole:
                return await receive()
            try:
                async with asyncio.timeout(BODY_S):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"no more of the request came in {BODY_S:g} s") from None
            is_whole = not message.get("more_body", False)
            return message

        async def send_soon(message: Message) -> None:
            nonlocal too_slow
            try:
                async with asyncio.timeout(SEND_S):
                    await send(message)
            except TimeoutError:
                too_slow = True
                raise

        try:
            await self._app(scope, receive_soon, send_soon)
        except TimeoutError:
            if not too_slow:
                raise
            log.info("a client was let go: it does not read")
