"""A service that runs answers: both ends of the socket in its data directory.

A Unix domain socket that only its owner may open. A client sends one request and reads replies up
to the last; each is one line of JSON, and an object with a `kind`:

    client   {"kind": "ask/2", "text": "...", "asked_at": "2025-03-01T14:00:00+01:00"}, or
             {"kind": "search/1", ..., "limit": 10}, or {"kind": "back_test/1", ..., "rule": {...}};
             also "streams", "since", "until", "model"; "earlier": what a conversation said before
    service  {"kind": "said/1", "text": "..."}   words of the answer, as they are written; of a
             back-test, how far it has come
             and then one of these, which is the last:
             {"kind": "answered/1", "answer": {"kind": "answer/1", ...}, "usage": {...}}
             {"kind": "found_clips/1", "clips": [...]}
             {"kind": "back_tested/1", "alerts": [...], ...}
             {"kind": "failed/1", "error": "NoSuchStream", "message": "..."}
             {"kind": "declined/1", "reason": "..."}   the client is to see for itself

Whoever closes its side takes its request back: what waits is not begun, and what is being written
ends with its next word. As many questions are answered together as the model takes
(`services.turns`), in threads that no client can keep waiting; and no client is waited for longer
than the limits below. Back-tests, which may take long, have a thread of their own.
"""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from memory.errors import StoreError
from services.console import OURS
from services.errors import AnswerBrokenOff, AnswerFailed, BadRequest
from services.requests import (
    REPLY,
    REQUEST,
    BackTestRequest,
    Declined,
    Failed,
    OnText,
    Reply,
    Request,
    Result,
    Said,
    model_of,
)
from services.settings import Settings
from services.wiring import now_at
from streaming.messages import Message

MAX_CLIENTS = 256
MAX_WAITING = 15  # questions beyond those that are being answered
MAX_BACK_TESTS = 2  # of which one runs
MAX_REQUEST_BYTES = 256 * 1024
REQUEST_S = 5.0  # for a request to come
SEND_S = 10.0  # for a reply to be read
GREET_S = 0.1  # for whoever came just before a stop to be told of it
SILENCE_S = 120.0  # after which a client believes that the service hangs
TOO_MANY = "too many questions at once"
ADDRESS_BYTES = 107  # what fits into the address of a socket

log = logging.getLogger(__name__)

Tell = Callable[[Reply], None]
Respond = Callable[[Request, OnText], Result]


class Resident:
    """Replies to requests through the socket of a data directory that this process holds.

    `at_once`: how many questions are answered together.
    """

    def __init__(
        self,
        settings: Settings,
        respond: Respond,
        *,
        at_once: int = 1,
        on_listening: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._respond = respond
        self._on_listening = on_listening
        self._stop = threading.Event()
        self._clients: set[asyncio.Task[None]] = set()
        self._answering = BoundedPool("answer", at_once=at_once, most=at_once + MAX_WAITING)
        self._trying = BoundedPool("back-test", at_once=1, most=MAX_BACK_TESTS)

    def run(self, stop: threading.Event) -> None:
        """Reply until `stop` is set; then finish the answer that is being given, and no other."""
        self._stop = stop
        path = self._settings.socket_path
        try:
            listening = _listening(path)
        except OSError as error:
            log.warning("questions load the model for themselves: %s: %s", path, error)
            return
        try:
            asyncio.run(self._serve(listening))
        finally:
            listening.close()
            path.unlink(missing_ok=True)

    async def _serve(self, listening: socket.socket) -> None:
        server = await asyncio.start_unix_server(
            self._on_client, sock=listening, limit=MAX_REQUEST_BYTES
        )
        self._on_listening()
        await asyncio.to_thread(self._stop.wait)
        self._settings.socket_path.unlink(missing_ok=True)  # from here on nobody comes
        await asyncio.to_thread(self._answering.close)
        await asyncio.to_thread(self._trying.close)
        await asyncio.sleep(GREET_S)
        if self._clients:
            await asyncio.wait(self._clients, timeout=SEND_S)
        server.close()

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        writer.transport.set_write_buffer_limits(0)  # `drain` waits until all of it is sent
        try:
            await self._reply_to(reader, writer)
        except (TimeoutError, ConnectionError) as error:
            log.info("a client was let go: %s", str(error) or "it does not read")
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _reply_to(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) > MAX_CLIENTS:
            await _send(writer, Declined(reason=TOO_MANY))
            return
        try:
            request = await _request_from(reader)
        except BadRequest as error:
            await _send(writer, Failed.of(error))
            return
        if reason := self._why_not(request):
            await _send(writer, Declined(reason=reason))
            return
        replies: asyncio.Queue[Reply] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(reply: Reply) -> None:
            loop.call_soon_threadsafe(replies.put_nowait, reply)

        def is_gone() -> bool:
            return reader.at_eof() or writer.is_closing()

        pool = self._trying if isinstance(request, BackTestRequest) else self._answering
        if not pool.takes(lambda: self._answer(request, is_gone, tell)):
            await _send(writer, Declined(reason=TOO_MANY))
            return
        while isinstance(reply := await replies.get(), Said):
            await _send(writer, reply)
        await _send(writer, reply)

    def _why_not(self, request: Request) -> str | None:
        """Why the client is to see for itself, if it is."""
        if self._stop.is_set():
            return "the service stops"
        if request.model is not None and not self._serves(request.model):
            return "another model serves"
        if request.asked_at.utcoffset() != now_at().utcoffset():
            return "the service is in another time zone"
        return None

    def _serves(self, model: str) -> bool:
        """Whether a model that was named is the one that serves by now."""
        try:
            return model == model_of(self._settings)
        except StoreError:
            return False

    def _answer(self, request: Request, is_gone: Callable[[], bool], tell: Tell) -> None:
        """Reply, in a thread that answers. `tell` neither waits nor raises."""

        def say(piece: str) -> None:
            is_to_stop = isinstance(request, BackTestRequest) and self._stop.is_set()
            if is_to_stop or is_gone():
                raise AnswerBrokenOff
            tell(Said(text=piece))

        if self._stop.is_set() or is_gone():
            tell(Declined(reason="the service stops, or the question was taken back"))
            return
        try:
            tell(self._respond(request, say))
        except OURS as error:
            tell(Failed.of(error))
        except Exception as error:  # the top of the thread that answers: the next one is served
            log.error("a question failed: %s", error, exc_info=error)
            tell(Failed.of(AnswerFailed(reason=repr(error))))


class BoundedPool:
    """Threads that answer so many requests at once, while others wait, and no more than `most`."""

    def __init__(self, name: str, *, at_once: int, most: int) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._room = threading.BoundedSemaphore(most)

    def takes(self, answer: Callable[[], None]) -> bool:
        """Have a request answered when its turn comes; False where too many wait."""
        if not self._room.acquire(blocking=False):
            return False
        self._threads.submit(answer).add_done_callback(lambda done: self._room.release())
        return True

    def close(self) -> None:
        """Take no more, and wait until all that was taken is answered."""
        self._threads.shutdown()


def ask_service(settings: Settings, request: Request, *, on_text: OnText) -> Result | None:
    """What the service on the data directory replies; None if there is none, or it declines.

    Raises:
        AnswerBrokenOff, and what `services.requests.respond` raises.
    """
    spoke = False
    for reply in _replies(settings.socket_path, request):
        match reply:
            case Said(text=text):
                spoke = True
                on_text(text)
            case Failed():
                raise reply.as_raised()
            case Declined():
                return None
            case _:
                return reply
    if spoke:
        raise AnswerBrokenOff
    return None


def _replies(path: Path, request: Request) -> Iterator[Reply]:
    """The replies of a service, up to where it breaks off; none where there is no service."""
    try:
        with socket.socket(socket.AF_UNIX) as connection, address_of(path) as address:
            connection.settimeout(SILENCE_S)
            connection.connect(address)
            connection.sendall(line_of(request))
            with connection.makefile("rb") as lines:
                replies = map(REPLY.validate_json, lines)
                while (reply := next(replies, None)) is not None:
                    yield reply
    except (OSError, ValueError) as error:  # ValueError: words that are no text, or no reply
        log.debug("no service replies: %s", error)


def _listening(path: Path) -> socket.socket:
    """A socket that nobody else can open, not even while it is being made."""
    path.unlink(missing_ok=True)  # whoever held the data directory before was killed
    listening = socket.socket(socket.AF_UNIX)
    try:
        with address_of(path) as address:
            listening.bind(address)
        path.chmod(0o600)
        listening.listen(MAX_CLIENTS)
    except BaseException:
        listening.close()
        raise
    return listening


@contextmanager
def address_of(path: Path) -> Generator[str]:
    """The path, or where it is too long for an address, a short one by way of its open folder."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def _request_from(reader: asyncio.StreamReader) -> Request:
    try:
        async with asyncio.timeout(REQUEST_S):
            line = await reader.readline()
        return REQUEST.validate_json(line)
    except TimeoutError:
        raise BadRequest(f"no whole line within {REQUEST_S:g} s") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"{where}: {first['msg']}" if where else first["msg"]) from None
    except ValueError:
        raise BadRequest(f"it is longer than {MAX_REQUEST_BYTES:,} bytes") from None


async def _send(writer: asyncio.StreamWriter, reply: Message) -> None:
    writer.write(line_of(reply))
    async with asyncio.timeout(SEND_S):
        await writer.drain()


def line_of(message: Message) -> bytes:
    return message.model_dump_json().encode() + b"\n"
