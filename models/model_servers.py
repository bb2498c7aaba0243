"""HTTP to the servers that run a model: who is asked, how often, how long, and what errors mean.

Requests with the same key go to the same server, which has read the beginning of their prompt
before (rendezvous hashing: where a server comes or goes, only its own share moves). One that does
not answer is asked last for a while; when none does, all are tried again a few times, and then
it is the caller's turn to wait.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeVar, cast

import httpx2

from models.errors import (
    ModelError,
    ModelServerAway,
    ModelServerDenied,
    ModelServerFailed,
    PromptTooLong,
    RequestRefused,
    WeightsSwapped,
)

AVOIDED_NS = 10_000_000_000  # how long one that did not answer is asked last
AT_ONCE = 32  # requests to each server; those beyond wait for their turn
DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
LAST_EVENT = "[DONE]"
TOO_LONG = ("context", "too long", "exceed")
MOST_REASON_CHARS = 300

Json = dict[str, Any]
T = TypeVar("T")
Check = Callable[[str, Json], None]
"""Looks at what a server of some URL says."""


def accept(url: str, said: Json) -> None:
    """Whoever says it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long servers are waited for, by which clock.

    waits_s   before all of them are tried again
    read_s    for the next bytes of a reply, which may be the whole of it
    """

    waits_s: tuple[float, ...] = (0.2, 1.0, 3.0)
    connect_s: float = 5.0
    read_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    monotonic_ns: Callable[[], int] = time.monotonic_ns


class ModelServers:
    """Servers that run the same model. Errors: `models.errors.ModelServerError`, `PromptTooLong`.

    `urls` are what paths are put after. The key is sent as a bearer's token, and told nobody.
    `denied` are the statuses that say that a person has to do something.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key: str | None = None,
        denied: Collection[int] = DENIED,
        patience: Patience = Patience(),
    ) -> None:
        self.urls = tuple(url.rstrip("/") for url in urls)
        self._denied = frozenset(denied)
        self._patience = patience
        self._avoided_until_ns = dict.fromkeys(self.urls, 0)
        self._slots = threading.BoundedSemaphore(AT_ONCE * len(self.urls))
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(patience.read_s, connect=patience.connect_s),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=AT_ONCE),
        )

    def close(self) -> None:
        self._client.close()

    def post(self, path: str, body: Json, *, key: str, check: Check = accept) -> Json:
        """The reply to a request, from the server that `key` leads to.

        `check` may raise `WeightsSwapped`; then another server is asked.
        """

        def reply(url: str) -> Json:
            said = _object_in(url, self._sent(url, path, body, stream=False))
            check(url, said)
            return said

        with self._slots:
            return self._answered(key, reply)

    def stream(self, path: str, body: Json, *, key: str, check: Check = accept) -> Generator[Json]:
        """The events of a reply as they come; `check` sees the first one.

        What breaks off in between is `ModelServerAway`.
        """

        def begun(url: str) -> tuple[list[Json], Generator[Json]]:
            events = self._events(url, self._sent(url, path, body, stream=True))
            first = list(islice(events, 1))
            try:
                for event in first:
                    check(url, event)
            except WeightsSwapped:
                events.close()
                raise
            return first, events

        with self._slots:
            first, events = self._answered(key, begun)
            with closing(events):
                yield from first
                yield from events

    def _sent(self, url: str, path: str, body: Json, *, stream: bool) -> httpx2.Response:
        request = self._client.build_request("POST", url + path, json=body)
        response = self._client.send(request, stream=stream)
        self._refuse(url, response)
        return response

    def get(self, path: str, url: str) -> Json:
        """What one server says of itself, asked once."""
        try:
            response = self._client.get(url + path, timeout=self._patience.connect_s)
            self._refuse(url, response)
        except httpx2.HTTPError as error:
            raise ModelServerAway(url, reason=_said(error)) from error
        return _object_in(url, response)

    def order_for(self, key: str) -> list[str]:
        """The servers in the order in which a request is brought to them."""
        now_ns = self._patience.monotonic_ns()
        return sorted(
            self.urls,
            key=lambda url: (self._avoided_until_ns[url] > now_ns, _distance(url, key)),
        )

    def _events(self, url: str, response: httpx2.Response) -> Generator[Json]:
        try:
            for event in httpx2.EventSource(response):
                if event.data == LAST_EVENT:
                    return
                told = json.loads(event.data)
                if not isinstance(told, dict):
                    raise ValueError("an event is no JSON object")
                if error := told.get("error"):
                    raise self._broken_off(url, error)
                yield told
        except (httpx2.HTTPError, ValueError) as error:
            self._avoid(url)
            raise ModelServerAway(url, reason=f"it broke off: {_said(error)}") from error
        finally:
            response.close()

    def _answered(self, key: str, ask: Callable[[str], T]) -> T:
        """The answer of the first server that has one."""
        failure = None
        for wait_s in (0.0, *self._patience.waits_s):
            if wait_s:
                self._patience.sleep(wait_s)
            for url in self.order_for(key):
                try:
                    return ask(url)
                except WeightsSwapped as error:
                    self._avoid(url)
                    failure = error
                except httpx2.HTTPError as error:
                    self._avoid(url)
                    kind = ModelServerFailed if _is_failure(error) else ModelServerAway
                    failure = kind(url, reason=_said(error))
                    if isinstance(error, httpx2.ReadTimeout):
                        raise failure from error  # it may still work at it: no second one
        assert failure is not None, "there is a server"
        raise failure

    def _avoid(self, url: str) -> None:
        self._avoided_until_ns[url] = self._patience.monotonic_ns() + AVOIDED_NS

    def _refuse(self, url: str, response: httpx2.Response) -> None:
        """Raise what the status of a response means, if that is no reply.

        Raises:
            httpx2.HTTPStatusError: it may be another one soon.
            PromptTooLong, ModelServerDenied, RequestRefused
        """
        if response.is_success:
            return
        with closing(response):
            response.read()
            reason = _reason(response)
        status = response.status_code
        if (refusal := self._refusal(url, status, reason)) is not None:
            raise refusal
        raise httpx2.HTTPStatusError(
            f"{status}: {reason}", request=response.request, response=response
        )

    def _broken_off(self, url: str, error: Any) -> ModelError:  # noqa: ANN401 - any JSON
        """What an error in the middle of a stream means."""
        status = error.get("code") if isinstance(error, dict) else None
        reason = _innermost(error)
        refusal = self._refusal(url, status, reason) if isinstance(status, int) else None
        failed = isinstance(status, int) and status >= HTTPStatus.INTERNAL_SERVER_ERROR
        kind = ModelServerFailed if failed else ModelServerAway
        return refusal or kind(url, reason=f"it broke off: {reason}")

    def _refusal(self, url: str, status: int, reason: str) -> ModelError | None:
        """What a status means that stays the same; None of one that may pass."""
        if status in self._denied:
            return ModelServerDenied(url, status=status, reason=reason)
        if status in PASSING or not 400 <= status < 500:
            return None
        numbers = [int(number) for number in re.findall(r"\d+", reason)]
        if any(word in reason.lower() for word in TOO_LONG) and len(numbers) > 1:
            return PromptTooLong(max(numbers), min(number for number in numbers if number))
        return RequestRefused(url, status=status, reason=reason)


def _is_failure(error: httpx2.HTTPError) -> bool:
    """Whether a server said that something is wrong with it."""
    return isinstance(error, httpx2.HTTPStatusError) and error.response.is_server_error


def _object_in(url: str, response: httpx2.Response) -> Json:
    try:
        said = response.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ModelServerAway(url, reason="its reply is no JSON object")
    return cast(Json, said)


def _reason(response: httpx2.Response) -> str:
    """What the server says in whatever form; OpenAI's is `{"error": {"message": ...}}`."""
    try:
        said = response.json()
    except ValueError:
        return response.text[:MOST_REASON_CHARS] or response.reason_phrase
    return _innermost(said) or response.reason_phrase


def _innermost(said: Any) -> str:  # noqa: ANN401 - any JSON
    while isinstance(said, dict):
        said = next((said[name] for name in ("error", "message", "detail") if name in said), "")
    return str(said)[:MOST_REASON_CHARS]


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _distance(url: str, key: str) -> bytes:
    return hashlib.sha256(f"{url} {key}".encode()).digest()
