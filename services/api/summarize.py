"""What happened in a time, in a page: what `longwatch summarize` says."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from memory.summaries import Level
from services.api.access import Viewer
from services.api.given import GivenHere
from services.moments import parse_bounds
from services.summaries.reading import SpanSummary, summaries

routes = APIRouter(tags=["questions"])


class Summarized(BaseModel):
    """A summary for each stream; with a level, one for each minute, hour or day of it."""

    summaries: list[SpanSummary]


@routes.get("/v1/summarize", summary="What was noted in a time, how often and when")
def summarize(
    given: GivenHere,
    caller: Viewer,
    stream: Annotated[tuple[str, ...], Query(description="Only this one; may be repeated.")] = (),
    since: Annotated[str | None, Query(description="0:10:00, 2h, 2025-03-01T14:00")] = None,
    until: str | None = None,
    level: Level | None = None,
) -> Summarized:
    stores, now_at = given.stores, given.now_at()
    streams = caller.within(stream, stores.registry.names)
    bounds = parse_bounds(since, until, now_at=now_at)
    return Summarized(summaries=summaries(stores, streams, bounds, level=level, now_at=now_at))
