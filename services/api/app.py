"""The app: all routes, and what holds for each of them."""

from fastapi import FastAPI

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
    problems.register(app)
    for part in PARTS:
        app.include_router(part.routes)
    return app
