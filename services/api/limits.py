"""What one client may cost: requests a second, and bodies of requests."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.errors import TooManyRequests
from streaming.messages import NS_PER_S

REQUESTS_A_SECOND = 20.0
BURST = 60
BODY_S = 10.0  # for the body of a request to come
MAX_BODY_BYTES = 256 * 1024
UPLOADS = "/v1/files"
MAX_UPLOAD_BYTES = 8 * 2**30


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
        self.burst = burst
        self._per_s = per_s
        self._buckets: dict[str, _Bucket] = {}
        self._changing = threading.Lock()

    def take(self, name: str) -> None:
        """Count a request.

        Raises:
            TooManyRequests
        """
        now_ns = self._monotonic_ns()
        with self._changing:
            bucket = self._buckets.setdefault(name, _Bucket(self.burst, now_ns))
            bucket.tokens, bucket.filled_ns = self._left(bucket, now_ns), now_ns
            if bucket.tokens < 1:
                raise TooManyRequests(retry_after_s=ceil((1 - bucket.tokens) / self._per_s))
            bucket.tokens -= 1

    def used(self) -> float:
        """How much of its burst the key has used up just now that has used most."""
        now_ns = self._monotonic_ns()
        with self._changing:
            left = [self._left(bucket, now_ns) for bucket in self._buckets.values()]
        return self.burst - min(left, default=self.burst)

    def _left(self, bucket: _Bucket, now_ns: int) -> float:
        filled = bucket.tokens + (now_ns - bucket.filled_ns) / NS_PER_S * self._per_s
        return min(self.burst, filled)


class ClientLimits:
    """Refuses bodies that are too large or too slow."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = _Body(scope, receive).next
        await self._app(scope, receive, send)


class _Body:
    """The body of a request, as it comes."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        told = Headers(scope=scope).get("content-length", "")
        self._told_bytes = int(told) if told.isdigit() else 0
        self._came_bytes = 0
        self._is_whole = False
        is_upload = (scope["method"], scope["path"]) == ("POST", UPLOADS)
        self._most_bytes = MAX_UPLOAD_BYTES if is_upload else MAX_BODY_BYTES
        self._receive = receive

    async def next(self) -> Message:
        if self._is_whole:
            return await self._receive()
        self._check_size()
        try:
            async with asyncio.timeout(BODY_S):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"no more of the request came in {BODY_S:g} s") from None
        self._is_whole = not message.get("more_body", False)
        self._came_bytes += len(message.get("body", b""))
        self._check_size()
        return message

    def _check_size(self) -> None:
        if max(self._told_bytes, self._came_bytes) > self._most_bytes:
            raise HTTPException(413, f"a request has at most {self._most_bytes:,} bytes")
