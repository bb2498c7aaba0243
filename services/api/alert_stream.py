"""What rules raise, as it is raised: server-sent events, which go on where a client was cut off.

Each event has the name that the record gave to it as its id. Whoever comes with `Last-Event-ID`, as
clients of such events do by themselves, is told all that was written after it, once.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.alerts.book import RuleBook
from services.api.access import Caller, Viewer, known_caller
from services.api.chat import EVENT_HEADERS, EVENTS
from services.api.errors import KeyRefused, TooManyRequests
from services.api.given import Given, GivenHere
from services.console import OURS
from services.wiring import rules_of
from streaming.messages import Alert

LOOK_EVERY_S = 0.5
LOOKS_A_PING = 30  # a line that says nothing, so that who has gone is noticed
LONGEST_S = 3600.0  # then clients come again, as after any other cut
RETRY_MS = 1000
RETRY_S = 5
MOST_FOLLOWERS = 32

routes = APIRouter(prefix="/v1/alerts", tags=["alerts"])
log = logging.getLogger(__name__)

_following = threading.BoundedSemaphore(MOST_FOLLOWERS)


class AlertEvents(StreamingResponse):
    """Server-sent events, for so many at once."""

    media_type = EVENTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _following.acquire(blocking=False):
            raise TooManyRequests(retry_after_s=RETRY_S)
        try:
            await super().__call__(scope, receive, send)
        finally:
            _following.release()


@dataclass(frozen=True, slots=True)
class Follower:
    """Somebody who listens, what they want to know, and what they may."""

    request: Request
    given: Given
    caller: Caller
    streams: tuple[str, ...]
    rule: str | None

    def news(self, book: RuleBook, after: str) -> dict[str, Alert]:
        """What was written after a message.

        Raises:
            KeyRefused, KeysDamaged, StoreError
        """
        if known_caller(self.request, self.given) != self.caller:
            raise KeyRefused
        return book.told(after=after)

    def wants(self, alert: Alert) -> bool:
        stream_id = alert.span.stream_id
        return (
            self.caller.may_see(stream_id)
            and (not self.streams or stream_id in self.streams)
            and self.rule in (None, alert.rule)
        )


@routes.get(
    "/stream",
    summary="Alerts as they are raised, as server-sent events",
    response_class=AlertEvents,
    responses={200: {"content": {EVENTS: {}}}},
)
def stream_alerts(
    request: Request,
    given: GivenHere,
    caller: Viewer,
    stream: Annotated[tuple[str, ...], Query(description="Only this one; may be repeated.")] = (),
    rule: Annotated[str | None, Query(description="Only those of this rule.")] = None,
    last_event_id: Annotated[
        str | None,
        Header(description="After which event to go on.", pattern=r"^[0-9]{20}:[ -~]{1,300}$"),
    ] = None,
) -> AlertEvents:
    for name in stream:
        caller.must_see(name)
    book = rules_of(given.stores)
    after = book.last_told() if last_event_id is None else last_event_id
    follower = Follower(request, given, caller, stream, rule)
    return AlertEvents(_events(follower, book, after), headers=EVENT_HEADERS)


async def _events(follower: Follower, book: RuleBook, after: str) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    for look in range(1, round(LONGEST_S / LOOK_EVERY_S)):
        try:
            news = await asyncio.to_thread(follower.news, book, after)
        except OURS as error:
            log.info("who follows alerts is cut off: %s", error)
            return
        for name, alert in news.items():
            if follower.wants(alert):
                yield f"id: {name}\ndata: {alert.model_dump_json()}\n\n"
            after = name
        if look % LOOKS_A_PING == 0:
            yield ":\n\n"
        if follower.given.stop.is_set():
            return
        await asyncio.sleep(LOOK_EVERY_S)
