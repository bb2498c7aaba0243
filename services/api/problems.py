"""Errors as problem details (RFC 9457): the one table that says with which status.

`kind` is the name of the error, as `--json` of the commands tells it.
"""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from memory import errors as memory
from models import errors as models
from services import errors as services
from services.api import errors as api
from services.console import OURS
from services.health import PROBLEM, problem
from streaming import errors as streaming

RETRY_S = 5

UNSAID = "something failed that should not; the log says more"
NO_RULE = "no such rule, or this key may not see it; see /v1/rules"
MODEL_AWAY = "the model cannot be asked just now; footage is still captured: ask again later"
GONE = "no such stream, or this key may not see it; see /v1/streams"

STATUS_OF: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (api.KeyRefused, HTTPStatus.UNAUTHORIZED),
    (api.NotAllowed, HTTPStatus.FORBIDDEN),
    (api.TooManyRequests, HTTPStatus.TOO_MANY_REQUESTS),
    (api.NoSuchClip, HTTPStatus.NOT_FOUND),
    (api.NoSuchFile, HTTPStatus.NOT_FOUND),
    (api.BadForm, HTTPStatus.UNPROCESSABLE_ENTITY),
    (api.UnknownModel, HTTPStatus.NOT_FOUND),
    (api.UnknownVideo, HTTPStatus.UNPROCESSABLE_ENTITY),
    (api.AnswersAway, HTTPStatus.SERVICE_UNAVAILABLE),
    (services.AnswerBrokenOff, HTTPStatus.SERVICE_UNAVAILABLE),
    (services.BadRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (services.QuestionError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (services.TimeError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (services.NoSuchStream, HTTPStatus.NOT_FOUND),
    (services.StreamNameTaken, HTTPStatus.CONFLICT),
    (services.BadStreamName, HTTPStatus.UNPROCESSABLE_ENTITY),
    (services.NoSuchRule, HTTPStatus.NOT_FOUND),
    (services.RuleNameTaken, HTTPStatus.CONFLICT),
    (services.FeedbackError, HTTPStatus.NOT_FOUND),
    (services.BadRule, HTTPStatus.UNPROCESSABLE_ENTITY),
    (services.WebhookUnsigned, HTTPStatus.UNPROCESSABLE_ENTITY),
    (services.NothingStored, HTTPStatus.NOT_FOUND),
    (services.ExportError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (memory.UnknownStream, HTTPStatus.NOT_FOUND),
    (memory.TokensMissing, HTTPStatus.NOT_FOUND),
    (memory.StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (memory.StoreFull, HTTPStatus.SERVICE_UNAVAILABLE),
    (memory.DiskFull, HTTPStatus.SERVICE_UNAVAILABLE),
    (models.ModelServerAway, HTTPStatus.SERVICE_UNAVAILABLE),
    (streaming.FootageMissing, HTTPStatus.NOT_FOUND),
    (streaming.FootageFull, HTTPStatus.SERVICE_UNAVAILABLE),
    (streaming.FootageUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (streaming.SourceError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (streaming.MediaError, HTTPStatus.UNPROCESSABLE_ENTITY),
)

log = logging.getLogger(__name__)


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    kind: str | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Problem details", "content": {PROBLEM: {}}, "model": Problem},
    "5XX": {"description": "Problem details", "content": {PROBLEM: {}}, "model": Problem},
}


def status_of(error: Exception) -> HTTPStatus:
    kinds = (status for kind, status in STATUS_OF if isinstance(error, kind))
    return next(kinds, HTTPStatus.INTERNAL_SERVER_ERROR)


def detail_of(error: Exception) -> str:
    """What may be told of an error: no paths, no addresses, no names of other streams."""
    if status_of(error) is HTTPStatus.INTERNAL_SERVER_ERROR:
        return UNSAID
    if isinstance(error, services.NoSuchStream | memory.UnknownStream):
        return GONE
    if isinstance(error, services.NoSuchRule):
        return NO_RULE
    if isinstance(error, models.ModelServerAway):
        return MODEL_AWAY
    if isinstance(error, services.OutputUnusable):
        return error.reason
    return str(error)


def response_of(error: Exception) -> Response:
    status = status_of(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s: %s", type(error).__name__, error, exc_info=error)
    headers: dict[str, str] = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="longwatch"'
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = str(getattr(error, "retry_after_s", RETRY_S))
    return replied(status, detail_of(error), headers, kind=type(error).__name__)


def replied(
    status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    reply = problem(status, detail, **more)
    return Response(reply.body, reply.status, headers, reply.content_type)


def register(app: FastAPI) -> None:
    """Have every error of the app told as problem details."""

    async def ours(request: Request, error: Exception) -> Response:
        return response_of(error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return replied(HTTPStatus(error.status_code), str(error.detail), dict(error.headers or {}))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return replied(HTTPStatus.UNPROCESSABLE_ENTITY, _first_of(error), kind="BadRequest")

    for kind in OURS:
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, ours)


def _first_of(error: RequestValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"
