"""What is watched, by HTTP: listed, added, refused and forgotten, as the commands do."""

import json
from pathlib import Path

import httpx2
import pytest

from services.api.streams import Stream, StreamPage
from services.registry import NewStream
from services.settings import Settings
from services.wiring import opened
from tests.services.api.serving import api
from tests.services.test_cli import as_json, run

CAMERA = {"name": "door", "url": "rtsp://user:geheim@192.0.2.1/stream?token=ganzgeheim"}


def test_a_stream_is_what_the_command_says_it_is(client: httpx2.Client, shared: Settings) -> None:
    (listed,) = as_json(run(shared, "streams", "--json"))

    page = StreamPage.model_validate(client.get("/v1/streams").json())
    assert page == StreamPage(streams=[Stream(**listed)], next_after=None)
    assert Stream.model_validate(client.get("/v1/streams/cam").json()) == page.streams[0]
    assert listed["state"] == "ended"
    assert listed["clips"] == 5


def test_a_camera_is_added_once_and_its_password_told_to_nobody(settings: Settings) -> None:
    with api(settings, answers=False) as client:
        added = client.post("/v1/streams", json=CAMERA | {"when_behind": "thin"})
        again = client.post("/v1/streams", json=CAMERA)
        listed = client.get(added.headers["location"])

    assert (added.status_code, again.status_code) == (201, 409)
    assert again.json()["kind"] == "StreamNameTaken"
    assert added.json() == listed.json()
    assert added.json()["when_behind"] == "thin"
    assert "geheim" not in added.text + again.text
    with opened(settings) as stores:
        assert stores.registry.url_of(stores.registry.stream("door")) == CAMERA["url"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"name": "x", "url": "file:///etc/passwd"}, "SchemeNotAllowed"),
        ({"name": "x", "url": "/etc/passwd"}, "SchemeNotAllowed"),
        ({"name": "x", "url": "FILE:///etc/passwd"}, "SchemeNotAllowed"),
        ({"name": "x", "url": "/dev/video0"}, "SchemeNotAllowed"),
        ({"name": "x", "url": "concat:http://a/b|/etc/passwd"}, "SchemeNotAllowed"),
        ({"name": "x", "url": "gopher://u:geheim@h/"}, "SchemeNotAllowed"),
        ({"name": "x", "url": "rtsp://"}, "BadSourceUrl"),
        ({"name": "x", "url": "http://h/\n"}, "BadSourceUrl"),
        ({"name": "X!", "url": "rtsp://h/"}, "BadRequest"),
        ({"name": "x"}, "BadRequest"),
        ({"name": "x", "url": "rtsp://h/", "is_backfill": True}, "BadRequest"),
        ({"name": "x", "url": "\ud800"}, "BadRequest"),
        ([], "BadRequest"),
    ],
)
def test_what_cannot_be_a_camera_is_refused_by_name(
    client: httpx2.Client, body: object, kind: str
) -> None:
    sent = json.dumps(body).encode()
    reply = client.post("/v1/streams", content=sent, headers={"Content-Type": "application/json"})

    assert (reply.status_code, reply.json()["kind"]) == (422, kind)
    assert reply.headers["content-type"] == "application/problem+json"
    assert "geheim" not in reply.text


def test_many_streams_come_in_pages(settings: Settings) -> None:
    with opened(settings) as stores:
        for number in range(7):
            stores.registry.add(NewStream(f"door-{number}", "rtsp://192.0.2.1/"))
    seen: list[str] = []
    after: str | None = ""
    with api(settings, answers=False) as client:
        while after is not None:
            page = client.get("/v1/streams", params={"limit": 3, "after": after}).json()
            assert len(page["streams"]) <= 3
            seen += [stream["name"] for stream in page["streams"]]
            after = page["next_after"]

    assert seen == ["cam", *(f"door-{number}" for number in range(7))]


def test_a_forgotten_stream_leaves_nothing_to_see(settings: Settings) -> None:
    with api(settings) as client:
        (clip, *_) = client.get("/v1/search", params={"q": "light"}).json()["clips"]
        gone = client.delete("/v1/streams/cam").json()
        for path in ("/v1/streams/cam", clip["video"], clip["thumbnail"]):
            assert client.get(path).status_code == 404
        assert client.delete("/v1/streams/cam").status_code == 404

    assert (gone["stream"], gone["clips"]) == ("cam", 5)
    assert gone["size_bytes"] > 0
    assert not list(Path(settings.footage).rglob("*.mp4"))
