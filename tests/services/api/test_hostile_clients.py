"""Whoever is slow, rude or greedy harms nobody but himself."""

import json
import socket
import threading

import httpx2
import pytest

from services import serving
from services.api import limits
from services.requests import OnText, Request, Result
from services.settings import Settings
from tests.services.api.serving import api
from tests.services.asking import NOTHING, PATIENCE_S
from tests.services.asking import serving as answering

LIVE = b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n"
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
AS_JSON = b"Content-Type: application/json\r\n"


def connected(client: httpx2.Client) -> socket.socket:
    where = client.base_url.host, client.base_url.port or 0
    return socket.create_connection(where, timeout=PATIENCE_S)


def told(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    with connection.makefile("rb") as replies:
        return replies.read()


@pytest.mark.parametrize("sent", [b"", b"GET /v1/li", LIVE + b"X-A"])
def test_who_does_not_end_the_head_of_a_request_is_let_go(
    settings: Settings, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_S", 0.2)
    with api(settings, answers=False) as client, connected(client) as connection:
        connection.sendall(sent)
        assert told(connection) == b""


def test_who_does_not_end_the_next_head_is_let_go_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_S", 0.2)
    with api(settings, answers=False) as client, connected(client) as connection:
        connection.sendall(LIVE + b"\r\nGET /v1")
        assert told(connection).startswith(b"HTTP/1.1 200 ")


def test_who_does_not_end_the_body_is_told_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_S", 0.2)
    with api(settings, answers=False) as client, connected(client) as connection:
        connection.sendall(ASK + AS_JSON + b"Content-Length: 100\r\nConnection: close\r\n\r\n{")
        head, _, body = told(connection).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["status"] == 408


@pytest.mark.parametrize("tells_its_size", [True, False])
def test_a_body_that_is_too_large_is_refused(client: httpx2.Client, tells_its_size: bool) -> None:
    body = b"[" + b" " * (limits.MAX_BODY_BYTES + 10)
    content = body if tells_its_size else (body[at : at + 9999] for at in range(0, len(body), 9999))
    headers = {"Content-Type": "application/json"}
    reply = client.post("/v1/chat/completions", content=content, headers=headers)

    assert (reply.status_code, reply.json()["status"]) == (413, 413)
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        LIVE + b"X: " + b"x" * 40_000,
    ],
)
def test_what_is_no_http_gets_no_more_than_that_said(client: httpx2.Client, sent: bytes) -> None:
    with connected(client) as connection:
        connection.sendall(sent)
        assert told(connection).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/streams/", 404),
        ("GET", "/v1/../record.sqlite", 404),
        ("PUT", "/v1/streams", 405),
        ("POST", "/v1/live", 405),
        ("OPTIONS", "/v1/streams", 405),
    ],
)
def test_what_is_not_offered_is_a_problem(
    client: httpx2.Client, method: str, path: str, status: int
) -> None:
    reply = client.request(method, path, headers={"Origin": "https://elsewhere.example"})

    assert reply.status_code == reply.json()["status"] == status
    assert "access-control-allow-origin" not in reply.headers


def test_json_that_is_not_called_so_is_not_read(client: httpx2.Client) -> None:
    """A page of the web can send text to another origin unasked, and not JSON."""
    asked = json.dumps({"name": "door", "url": "rtsp://192.0.2.1/"})
    reply = client.post("/v1/streams", content=asked, headers={"Content-Type": "text/plain"})

    assert reply.status_code == 422
    assert client.get("/v1/streams/door").status_code == 404


@pytest.mark.parametrize("in_pieces", [False, True])
def test_the_question_of_who_hung_up_is_taken_back(settings: Settings, in_pieces: bool) -> None:
    begun, ended, released = threading.Event(), threading.Event(), threading.Event()

    def respond(request: Request, on_text: OnText) -> Result:
        try:
            while not released.wait(0.01):
                on_text("and then ")
                begun.set()
        finally:
            ended.set()
        return NOTHING

    body = json.dumps(
        {"messages": [{"role": "user", "content": "what happened?"}], "stream": in_pieces}
    ).encode()
    with answering(settings, respond), api(settings, answers=False) as client:
        with connected(client) as connection:
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            connection.sendall(ASK + AS_JSON + length + body)
            assert begun.wait(PATIENCE_S)
        was_taken_back = ended.wait(PATIENCE_S)
        released.set()
    assert was_taken_back
