"""Recordings, uploaded as OpenAI's clients upload files; each is a stream, and watched as one.

The id of a file is the name of its stream, so that `stream:ID` may be asked about.
"""

import asyncio
import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import FileResponse, Response

from memory.values import StreamSpec
from services import uploads
from services.api.access import Admin, Caller, Operator, Viewer
from services.api.errors import BadForm, NoSuchFile, NotAllowed
from services.api.form import FILE, Form
from services.api.given import Given, GivenHere
from services.api.limits import UPLOADS
from services.registry import LONGEST_NAME, NAME
from services.streams import StreamRow, stream_row
from streaming.progress import StreamState

PURPOSE = "user_data"
FORM = "multipart/form-data"

routes = APIRouter(prefix=UPLOADS, tags=["files"])


class File(BaseModel):
    """An uploaded recording. `status`: `processed` when all of it is remembered."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str = PURPOSE
    status: Literal["uploaded", "processed", "error"]

    @classmethod
    def of(cls, row: StreamRow, path: Path) -> Self:
        return cls(
            id=row.spec.stream_id,
            bytes=path.stat().st_size,
            created_at=int(row.spec.added_at.timestamp()),
            filename=path.name,
            status=_status_of(row),
        )


class FilePage(BaseModel):
    """Some files, by name. Ask with `last_id` as `after` for more."""

    object: Literal["list"] = "list"
    data: list[File]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": [FILE],
                    "properties": {
                        FILE: {"type": "string", "format": "binary"},
                        "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
                        "purpose": {"type": "string"},
                    },
                }
            }
        },
    }
}


@routes.post("", status_code=201, summary="Upload a recording, and watch it", openapi_extra=UPLOAD)
async def upload_file(request: Request, given: GivenHere, caller: Operator) -> File:
    with uploads.incoming(given.stores.settings) as file:
        form = Form(request.headers.get("content-type", ""), partial(uploads.write, file))
        async for data in request.stream():
            await asyncio.to_thread(form.feed, data)
        form.close()
        name = form.fields.get("name") or name_of(form.file_name or "")
        if not caller.may_see(name):
            raise NotAllowed(f"add a stream named {name!r}")
        spec = await asyncio.to_thread(uploads.keep, file, name, given.stores.registry)
    return await asyncio.to_thread(_file, given, spec)


@routes.get("", summary="The recordings that were uploaded")
def list_files(
    given: GivenHere,
    caller: Viewer,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: str = "",
) -> FilePage:
    specs = sorted(given.stores.record.streams(), key=lambda spec: spec.stream_id)
    left = [
        spec
        for spec in specs
        if spec.stream_id > after
        and caller.may_see(spec.stream_id)
        and _upload_of(given, spec) is not None
    ]
    page = [_file(given, spec) for spec in left[:limit]]
    return FilePage(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(left) > limit,
    )


@routes.get("/{name}", summary="One recording")
def get_file(name: str, given: GivenHere, caller: Viewer) -> File:
    return _file(given, _spec(name, given, caller))


@routes.get(
    "/{name}/content",
    summary="A recording as it was uploaded",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def get_content(name: str, given: GivenHere, caller: Viewer) -> Response:
    path = _upload_of(given, _spec(name, given, caller))
    assert path is not None
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


@routes.delete("/{name}", summary="Forget a recording, and all that was remembered of it")
def delete_file(name: str, given: GivenHere, caller: Admin) -> DeletedFile:
    from services.forget import forget_whole  # it brings FAISS along

    forget_whole(given.stores, _spec(name, given, caller).stream_id)
    return DeletedFile(id=name)


def name_of(file_name: str) -> str:
    """What a stream is called after a file: `Front Door.MP4` becomes `front-door`."""
    stem = PurePosixPath(file_name.replace("\\", "/")).stem.lower()
    name = re.sub(r"[^a-z0-9_]+", "-", stem).strip("-_")[:LONGEST_NAME]
    if not NAME.fullmatch(name):
        raise BadForm("the file has no name that a stream may have; give one as: name")
    return name


def _spec(name: str, given: Given, caller: Caller) -> StreamSpec:
    """The stream of an upload that the caller may see, or `NoSuchFile`."""
    for spec in given.stores.record.streams():
        if spec.stream_id == name and caller.may_see(name) and _upload_of(given, spec):
            return spec
    raise NoSuchFile(name)


def _upload_of(given: Given, spec: StreamSpec) -> Path | None:
    path = uploads.path_of(given.stores.settings, spec)
    return path if path is not None and path.is_file() else None


def _file(given: Given, spec: StreamSpec) -> File:
    path = _upload_of(given, spec)
    if path is None:
        raise NoSuchFile(spec.stream_id)
    return File.of(stream_row(given.stores, spec), path)


def _status_of(row: StreamRow) -> Literal["uploaded", "processed", "error"]:
    if row.state == StreamState.FAILED:
        return "error"
    is_seen = row.progress.remembered_ns >= row.progress.captured_ns
    return "processed" if row.state == StreamState.ENDED and is_seen else "uploaded"
