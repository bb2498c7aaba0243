"""A reply that is a file, or ranges of it, held for as long as it is being sent."""

from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from services.api.problems import replied

CACHING = "private, no-cache"  # what was forgotten is to be gone from browsers, too


class HeldFile(FileResponse):
    """Sends a file, and then closes what held it."""

    def __init__(
        self, path: Path, held: ExitStack, *, media_type: str, tag: str, made_at: datetime
    ) -> None:
        """`tag` says which content it is, and `made_at` since when it is that."""
        super().__init__(
            path,
            media_type=media_type,
            headers={
                "ETag": f'"{tag}"',
                "Last-Modified": format_datetime(made_at.astimezone(UTC), usegmt=True),
                "Cache-Control": CACHING,
            },
        )
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            refused: list[Message] = []

            async def send_what_is_good(message: Message) -> None:
                if refused or message.get("status", 200) >= HTTPStatus.BAD_REQUEST:
                    refused.append(message)
                else:
                    await send(message)

            await super().__call__(scope, receive, send_what_is_good)
            if refused:  # a range that is none, or none of this file
                await _as_problem(refused)(scope, receive, send)


def _as_problem(refused: list[Message]) -> Response:
    status = HTTPStatus(refused[0]["status"])
    told = Headers(raw=refused[0]["headers"])
    headers = {"Content-Range": told["content-range"]} if "content-range" in told else {}
    return replied(status, "the Range header names no bytes of this file", headers)
