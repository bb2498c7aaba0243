"""Find clips by words and pictures: what `longwatch search` finds."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from services.api.access import Viewer
from services.api.asking import result_of
from services.api.clips import Clip
from services.api.given import GivenHere
from services.requests import FoundClips, SearchRequest

routes = APIRouter(tags=["questions"])


class Found(BaseModel):
    """The clips that resemble the words most, best first."""

    clips: list[Clip]


@routes.get("/v1/search", summary="The clips that resemble a text most")
async def search(  # noqa: PLR0913 - the parameters of a route
    client: Request,
    given: GivenHere,
    caller: Viewer,
    q: Annotated[str, Query(description="What to look for, in a few words.")],
    stream: Annotated[tuple[str, ...], Query(description="Only this one; may be repeated.")] = (),
    since: Annotated[str | None, Query(description="0:10:00, 2h, 2025-03-01T14:00")] = None,
    until: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Found:
    stores = given.stores
    request = SearchRequest(
        text=q,
        streams=await asyncio.to_thread(caller.within, stream, stores.registry.names),
        since=since,
        until=until,
        limit=limit,
        asked_at=given.now_at(),
    )
    found = await result_of(stores.settings, request, client)
    assert isinstance(found, FoundClips)
    return Found(clips=[Clip.of(note) for note in found.clips])
