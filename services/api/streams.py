"""What is watched: see it, add to it, forget it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict
from starlette.responses import Response

from memory.values import WhenBehind
from services.api.access import Admin, Operator, Viewer
from services.api.errors import NotAllowed
from services.api.given import GivenHere
from services.api.text import Text
from services.registry import NewStream
from services.showing import forgotten_json
from services.streams import stream_row
from streaming.errors import SchemeNotAllowed
from streaming.messages import StreamId
from streaming.sources import SCHEMES, parse_source, redact

FROM_ELSEWHERE = tuple(name for name in SCHEMES if name not in ("file", "v4l2"))
"""What may be added from outside: neither files nor devices of this machine."""

routes = APIRouter(prefix="/v1/streams", tags=["streams"])


class Stream(BaseModel):
    """A stream, and how well it is watched. `url` is without its credentials."""

    name: str
    url: str
    realtime: bool
    state: str
    detail: str
    epoch_at: AwareDatetime | None
    captured_ns: int
    remembered_ns: int
    clips: int
    gaps: int
    skipped_ns: int
    when_behind: WhenBehind | None
    counters: dict[str, int]
    updated_at: AwareDatetime | None


class StreamPage(BaseModel):
    """Some streams, by name. `next_after`: ask with it as `after` for more; null: no more."""

    streams: list[Stream]
    next_after: str | None


class StreamToAdd(BaseModel):
    """A camera: an RTSP, RTMP or HTTP URL."""

    model_config = ConfigDict(extra="forbid")

    name: StreamId
    url: Text
    when_behind: WhenBehind | None = None


class Forgotten(BaseModel):
    """What was deleted."""

    stream: str
    clips: int
    events: int
    segments: int
    gaps: int
    footage_files: int
    token_files: int
    vectors: int
    size_bytes: int


@routes.get("", summary="What is watched, and how well")
def list_streams(
    given: GivenHere,
    caller: Viewer,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: str = "",
) -> StreamPage:
    specs = [one for one in given.stores.record.streams() if caller.may_see(one.stream_id)]
    left = sorted((one for one in specs if one.stream_id > after), key=lambda spec: spec.stream_id)
    page = left[:limit]
    return StreamPage(
        streams=[Stream(**stream_row(given.stores, spec).as_json()) for spec in page],
        next_after=page[-1].stream_id if len(left) > limit else None,
    )


@routes.post("", status_code=201, summary="Watch a camera")
def add_stream(new: StreamToAdd, response: Response, given: GivenHere, caller: Operator) -> Stream:
    if not caller.may_see(new.name):
        raise NotAllowed(f"add a stream named {new.name!r}")
    address = parse_source(new.url)
    if address.scheme not in FROM_ELSEWHERE:
        raise SchemeNotAllowed(redact(new.url), scheme=address.scheme, allowed=FROM_ELSEWHERE)
    spec = given.stores.registry.add(NewStream(new.name, new.url, when_behind=new.when_behind))
    response.headers["Location"] = f"{routes.prefix}/{spec.stream_id}"
    return Stream(**stream_row(given.stores, spec).as_json())


@routes.get("/{name}", summary="One stream")
def get_stream(name: str, given: GivenHere, caller: Viewer) -> Stream:
    caller.must_see(name)
    return Stream(**stream_row(given.stores, given.stores.registry.stream(name)).as_json())


@routes.delete("/{name}", summary="Forget a stream, and all that was remembered of it")
def delete_stream(name: str, given: GivenHere, caller: Admin) -> Forgotten:
    from services.forget import forget_whole  # it brings FAISS along

    caller.must_see(name)
    told: dict[str, Any] = forgotten_json(forget_whole(given.stores, name))
    return Forgotten(**told)
