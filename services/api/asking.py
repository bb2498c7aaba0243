"""Ask the service that answers, and hear its words as they come, without holding up the others.

The API loads no model: whoever runs `longwatch up` or `longwatch run answer` on the data directory
answers, through its socket, as it answers the commands. When a client goes away, the socket is
closed, which takes the question back.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import Request as HttpRequest

from services.api.errors import AnswersAway
from services.errors import AnswerBrokenOff
from services.requests import REPLY, Declined, Failed, Reply, Request, Result, Said, refuse_early
from services.resident import SILENCE_S, address_of, line_of
from services.settings import Settings

RETRY_S = 5
MAX_REPLY_BYTES = 64 * 1024 * 1024

T = TypeVar("T")

Heard = str | Result
"""A piece of an answer, or all of it: the last that is heard."""

log = logging.getLogger(__name__)


async def heard(settings: Settings, request: Request) -> AsyncGenerator[Heard]:
    """The words of the answer, and then the answer.

    Raises:
        AnswersAway, AnswerBrokenOff, and what `services.requests.respond` raises.
    """
    refuse_early(request)
    spoke = False
    async with aclosing(_replies(settings, request)) as replies:
        async for reply in replies:
            match reply:
                case Said(text=text):
                    spoke = True
                    yield text
                case Failed():
                    raise reply.as_raised()
                case Declined():
                    raise AnswersAway(retry_after_s=RETRY_S)
                case _:
                    yield reply
                    return
    raise AnswerBrokenOff if spoke else AnswersAway(retry_after_s=RETRY_S)


async def result_of(settings: Settings, request: Request, client: HttpRequest) -> Result:
    """The answer alone.

    Raises:
        as `heard`, and `while_there`
    """

    async def last() -> Result:
        async with aclosing(heard(settings, request)) as pieces:
            async for what in pieces:
                if not isinstance(what, str):
                    return what
        raise AssertionError("the last that is heard is the result")

    return await while_there(client, last())


async def while_there(client: HttpRequest, wanted: Awaitable[T]) -> T:
    """What is waited for, unless the client goes away before it is there.

    Raises:
        AnswerBrokenOff: nobody will read it.
    """
    waiting, leaving = asyncio.ensure_future(wanted), asyncio.create_task(_left(client))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise AnswerBrokenOff
    finally:
        waiting.cancel()
        leaving.cancel()


async def _left(client: HttpRequest) -> None:
    """Return when a client that has sent its request has gone."""
    while (await client.receive())["type"] != "http.disconnect":
        pass


async def _replies(settings: Settings, request: Request) -> AsyncGenerator[Reply]:
    """The replies of a service, up to where it breaks off; none where there is no service."""
    try:
        with address_of(settings.socket_path) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=MAX_REPLY_BYTES)
    except OSError as error:
        log.debug("no service replies: %s", error)
        return
    try:
        writer.write(line_of(request))
        while line := await _next_line(reader):
            yield REPLY.validate_json(line)
    except (OSError, ValueError) as error:  # ValueError: words that are no text, or no reply
        log.debug("the service breaks off: %s", error)
    finally:
        writer.transport.abort()


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(SILENCE_S):
        return await reader.readline()
