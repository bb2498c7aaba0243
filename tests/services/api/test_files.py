"""Recordings are uploaded with OpenAI's own client, and are then streams like any other."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import openai
import pytest

from services import uploads
from services.api import limits
from services.api.files import FilePage
from services.api.form import MAX_FIELD_BYTES
from services.api.keys import Role
from services.forget import forget_span
from services.settings import Settings
from services.wiring import opened
from streaming.messages import NS_PER_S, Span
from tests.services.api.serving import api
from tests.services.api.test_questions import BRIGHT_NS, QUESTION, openai_of, starts_of, user
from tests.services.conftest import serve

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n%s\n#EXT-X-ENDLIST\n"


def upload(client: httpx2.Client, data: bytes, called: str, **fields: str) -> httpx2.Response:
    return client.post("/v1/files", files={"file": (called, data)}, data=fields)


def left_in(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.uploads_path.glob("*"))


def test_an_uploaded_film_is_watched_and_asked_about(bare: Settings, light_film: Path) -> None:
    with api(bare, answers=False) as client, openai_of(client) as asking:
        made = asking.files.create(file=light_film, purpose="user_data")
        assert (made.id, made.filename, made.status) == ("light", "light.mp4", "uploaded")
        assert made.bytes == light_film.stat().st_size
        assert asking.files.content("light").content == light_film.read_bytes()
        assert client.get("/v1/streams/light").status_code == 200

    serve(bare)
    with api(bare) as client, openai_of(client) as asking:
        assert asking.files.retrieve("light").status == "processed"
        film = {"type": "video_url", "video_url": {"url": f"stream:{made.id}"}}
        told = asking.chat.completions.create(
            model="longwatch", messages=user([{"type": "text", "text": QUESTION}, film])
        )
        assert starts_of(told) == BRIGHT_NS

        assert asking.files.delete("light").deleted
        assert client.get("/v1/streams/light").status_code == 404
        with pytest.raises(openai.NotFoundError):
            asking.files.retrieve("light")
    assert left_in(bare) == []


def test_what_is_forgotten_is_not_left_in_the_upload(bare: Settings, light_film: Path) -> None:
    with api(bare, answers=False) as client:
        upload(client, light_film.read_bytes(), "light.mp4")
        serve(bare)
        with opened(bare) as stores:
            forget_span(stores, Span(stream_id="light", start_ns=0, end_ns=20 * NS_PER_S))
        assert client.get("/v1/files/light/content").status_code == 404
        assert client.get("/v1/streams/light").json()["clips"] == 3
    assert left_in(bare) == []


def test_many_files_come_in_pages(bare: Settings, light_film: Path) -> None:
    data = light_film.read_bytes()
    with api(bare, answers=False) as client, openai_of(client) as asking:
        for number in range(3):
            assert upload(client, data, "x.mp4", name=f"film-{number}").status_code == 201
        client.post("/v1/streams", json={"name": "film-9", "url": "rtsp://192.0.2.1/"})
        page = FilePage.model_validate(client.get("/v1/files", params={"limit": 2}).json())
        assert [one.id for one in page.data] == ["film-0", "film-1"]
        assert page.has_more
        seen = [one.id for one in asking.files.list(limit=2)]
        assert client.get("/v1/files/film-9").status_code == 404, "a camera is no file"

    assert seen == ["film-0", "film-1", "film-2"]


@pytest.mark.parametrize(
    ("name", "data", "status", "kind"),
    [
        ("film.mp4", b"", 422, "UnreadableMedia"),
        ("film.mp4", b"no film at all" * 1000, 422, "UnreadableMedia"),
        ("film.mp4", PLAYLIST % b"/etc/passwd", 422, "UnreadableMedia"),
        ("film.m3u8", PLAYLIST % b"http://192.0.2.1/film.ts", 422, "UnreadableMedia"),
        ("film.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", 422, "UnreadableMedia"),
        ("...", b"", 422, "BadForm"),
    ],
)
def test_what_holds_no_pictures_of_its_own_is_refused(
    bare: Settings, name: str, data: bytes, status: int, kind: str
) -> None:
    with api(bare, answers=False) as client:
        reply = upload(client, data, name)
        assert (reply.status_code, reply.json()["kind"]) == (status, kind)
        assert str(bare.data) not in reply.text
        assert client.get("/v1/streams").json()["streams"] == []
    assert left_in(bare) == []


def test_a_name_leads_nowhere_else(bare: Settings, light_film: Path) -> None:
    data = light_film.read_bytes()
    with api(bare, answers=False) as client:
        made = upload(client, data, "../../Front Door.MP4").json()
        assert (made["id"], left_in(bare)) == ("front-door", ["front-door.mp4"])
        for name in ("../x", "/x", "a/b", "X"):
            refused = upload(client, data, "x.mp4", name=name)
            assert (refused.status_code, refused.json()["kind"]) == (422, "BadStreamName")
        taken = upload(client, data, "x.mp4", name="front-door")
        assert (taken.status_code, taken.json()["kind"]) == (409, "StreamNameTaken")
    assert left_in(bare) == ["front-door.mp4"]


def test_who_may_not_add_a_stream_uploads_nothing(
    settings: Settings, make_key: Callable[..., dict[str, str]], light_film: Path
) -> None:
    viewer, porter = make_key(Role.VIEWER), make_key(Role.OPERATOR, "cam", "yard")
    data = light_film.read_bytes()
    with api(settings, answers=False) as client:

        def status(headers: dict[str, str], name: str) -> int:
            files = {"file": ("x.mp4", data)}
            return client.post(
                "/v1/files", headers=headers, files=files, data={"name": name}
            ).status_code

        assert status({}, "yard") == 401
        assert status(viewer, "yard") == 403
        assert status(porter, "door") == 403
        assert status(porter, "yard") == 201
        assert client.delete("/v1/files/yard", headers=porter).status_code == 403
        other = make_key(Role.ADMIN, "cam")
        assert client.get("/v1/files/yard", headers=other).status_code == 404
        assert client.get("/v1/files/yard/content", headers=other).status_code == 404
        assert client.delete("/v1/files/yard", headers=other).status_code == 404
        assert client.get("/v1/files", headers=other).json()["data"] == []


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        ("application/json", b"{}", "not multipart/form-data"),
        ("multipart/form-data", b"x", "not multipart/form-data"),
        ("multipart/form-data; boundary=b", b"x", "no form"),
        ("multipart/form-data; boundary=b", b"--b\r\n", "breaks off"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", ""),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n'
            + b"x" * (MAX_FIELD_BYTES + 1)
            + b"\r\n--b--\r\n",
            "more than 1,024 bytes",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
            "no part named 'file'",
        ),
    ],
)
def test_a_form_that_cannot_be_used_says_why(
    client: httpx2.Client, content_type: str, body: bytes, why: str
) -> None:
    reply = client.post("/v1/files", content=body, headers={"Content-Type": content_type})

    assert (reply.status_code, reply.json()["kind"]) == (422, "BadForm")
    assert why in reply.json()["detail"]


def test_an_upload_takes_no_more_than_there_is_room_for(
    bare: Settings, light_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = light_film.read_bytes()
    with api(bare, answers=False) as client:
        monkeypatch.setattr(limits, "MAX_UPLOAD_BYTES", 1000)
        assert upload(client, data, "light.mp4").status_code == 413
        monkeypatch.undo()
        monkeypatch.setattr(uploads.write, "__kwdefaults__", {"reserve_bytes": 2**60})
        full = upload(client, data, "light.mp4")
        assert (full.status_code, full.json()["kind"]) == (503, "DiskFull")
    assert left_in(bare) == []


def test_what_a_killed_process_left_is_swept_away(bare: Settings) -> None:
    bare.uploads_path.mkdir()
    (bare.uploads_path / f"{uploads.ASIDE}x").touch()
    with api(bare, answers=False):
        assert left_in(bare) == []
