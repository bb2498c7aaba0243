"""Ask the service that answers, and hear its words as they come, without holding up the others.

The API loads no model: whoever runs `longwatch up` or `longwatch run answer` on the data directory
answers, through its socket, as it answers the commands.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

from services.api.errors import AnswersAway
from services.requests import BackTestRequest, Request, Result, refuse_early
from services.resident import MAX_CLIENTS, ask_service
from services.settings import Settings

RETRY_S = 5

Heard = str | Result
"""A piece of an answer, or all of it: the last that is heard."""

MOST_BACK_TESTS = 2  # that run or wait, so that they leave room for questions

_asking = threading.BoundedSemaphore(MAX_CLIENTS - MOST_BACK_TESTS)
_trying = threading.BoundedSemaphore(MOST_BACK_TESTS)


async def heard(settings: Settings, request: Request) -> AsyncIterator[Heard]:
    """The words of the answer, and then the answer.

    Raises:
        AnswersAway, AnswerBrokenOff, and what `services.requests.respond` raises.
    """
    refuse_early(request)
    slot = _trying if isinstance(request, BackTestRequest) else _asking
    if not slot.acquire(blocking=False):
        raise AnswersAway(retry_after_s=RETRY_S)
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[Heard | Exception] = asyncio.Queue()

    def tell(what: Heard | Exception) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it whoever listened
            loop.call_soon_threadsafe(came.put_nowait, what)

    def ask() -> None:
        try:
            tell(ask_service(settings, request, on_text=tell) or AnswersAway(retry_after_s=RETRY_S))
        except Exception as error:  # noqa: BLE001 - the top of a thread; whoever listens raises it
            tell(error)
        finally:
            slot.release()

    threading.Thread(target=ask, name="ask", daemon=True).start()
    while isinstance(what := await came.get(), str):
        yield what
    if isinstance(what, Exception):
        raise what
    yield what


async def result_of(settings: Settings, request: Request) -> Result:
    """The answer alone.

    Raises:
        as `heard`
    """
    async for what in heard(settings, request):
        if not isinstance(what, str):
            return what
    raise AssertionError("the last that is heard is the result")
