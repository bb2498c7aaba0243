"""The app: all routes, and what holds for each of them."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from services.api import (
    alert_stream,
    alerts,
    chat,
    clips,
    files,
    footage,
    health,
    marks,
    problems,
    rules,
    search,
    streams,
    summarize,
)
from services.api.given import Given
from services.api.limits import ClientLimits
from services.api.measured import Measured

DESCRIPTION = "Ask what was seen, look for it, play it, and say what is watched."
VERSION = "1"
PARTS = (
    *(health, streams, files, search, summarize, clips, footage, chat, marks, rules, alerts),
    alert_stream,
)


def app_of(given: Given | None = None) -> FastAPI:
    """The app; without what it works with, it can only say what it offers."""
    app = FastAPI(
        title="Longwatch",
        description=DESCRIPTION,
        version=VERSION,
        docs_url=None,  # their pages load scripts of others
        redoc_url=None,
        redirect_slashes=False,
        responses=problems.RESPONSES,
    )
    app.state.given = given
    app.add_middleware(ClientLimits)
    app.add_middleware(Measured)
    if given is not None and given.stores.settings.cors_origins is not None:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=given.stores.settings.cors_origins.split(","),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Last-Event-ID", "Range"],
            expose_headers=["Content-Range", "Location", "Retry-After"],
        )
    problems.register(app)
    for part in PARTS:
        app.include_router(part.routes)
    return app
