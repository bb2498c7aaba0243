"""What a process tells of itself: rightly, to anybody, and without being kept from its work."""

import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest

from services import serving
from services.address import address_of
from services.errors import AddressUnusable
from services.health import LIVE, METRICS, READY, Face, Reply, listening
from services.metrics import Metrics, Stage
from services.readiness import STALE_NS, Readiness
from streaming.decode import Decoding
from tests.services.asking import PATIENCE_S
from tests.services.processes import measured
from tests.services.scripted_engine import ScriptedEngine
from tests.test_docs import OPERATIONS

LOCAL = ("127.0.0.1", 0)


class Told:
    """A process that tells its health, and a clock to turn."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.metrics = Metrics("test")
        self.readiness = Readiness(self.metrics, monotonic_ns=lambda: self.now_ns)
        self.face = Face("test", self.metrics, self.readiness)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def address(told: Told) -> Iterator[tuple[str, int]]:
    with listening(LOCAL, told.face) as url:
        assert url is not None
        host, _, port = url.removeprefix("http://").rpartition(":")
        yield host, int(port)


def said(address: tuple[str, int], line: bytes) -> bytes:
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(line)
        with client.makefile("rb") as replies:
            return replies.read()


def test_a_process_is_ready_once_it_misses_nothing(told: Told) -> None:
    told.readiness.misses("model", "it is being loaded")
    early = told.face.reply("GET", READY)
    told.readiness.has("model")
    told.readiness.has("service")
    ready = told.face.reply("GET", READY)
    told.readiness.misses("record", "the server is away")

    assert early.status == 503
    assert early.content_type == "application/problem+json"
    assert json.loads(early.body) == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "service: it is starting; model: it is being loaded",
    }
    assert (ready.status, json.loads(ready.body)) == (200, {"service": "test", "state": "ready"})
    assert told.face.reply("GET", LIVE).status == 200
    assert measured(told.metrics.exposition().decode(), "longwatch_ready") == 0


def test_engines_that_nobody_could_look_at_for_long_are_not_ready(told: Told) -> None:
    told.readiness.has("service")
    told.readiness.looked()
    assert told.readiness.why_not() is None

    told.now_ns += STALE_NS + 1
    assert told.readiness.why_not() == "engines: no word from them for 30 s"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /v1/live HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n", 200),
        (b"GET /v1/live?now=1 HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", 200),
        (b"GET /v1/answers HTTP/1.0\r\n\r\n", 404),
        (b"GET /../record.sqlite HTTP/1.0\r\n\r\n", 404),
        (b"POST /v1/live HTTP/1.0\r\n\r\n", 405),
        (b"GET /v1/live HTTP/2\r\n\r\n", 400),
        (b"GET /v1/live\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nCookie: " + b"x" * 40_000, 400),
    ],
)
def test_a_request_good_or_bad_gets_its_reply(
    address: tuple[str, int], line: bytes, status: int
) -> None:
    head, _, body = said(address, line).partition(b"\r\n\r\n")

    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (body == b"") == line.startswith(b"HEAD")


def test_whoever_does_not_speak_is_let_go_and_keeps_nobody_waiting(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_S", 0.3)
    monkeypatch.setattr(serving, "MAX_CLIENTS", 2)
    with listening(LOCAL, told.face) as url:
        assert url is not None
        where = ("127.0.0.1", int(url.rpartition(":")[2]))
        silent = [socket.create_connection(where, timeout=10) for _ in range(3)]
        assert [client.recv(1) for client in silent] == [b"", b"", b""]
        for client in silent:
            client.close()
        with urllib.request.urlopen(url + LIVE, timeout=10) as reply:
            assert reply.status == 200


def test_whoever_goes_before_the_reply_comes_is_no_error(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    has_gone, reply = threading.Event(), told.face.reply(method="GET", path=LIVE)

    def late(method: str, path: str) -> Reply:
        has_gone.wait(10)
        return reply

    monkeypatch.setattr(Face, "reply", lambda self, method, path: late(method, path))
    with listening(LOCAL, told.face) as url:
        assert url is not None
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            client.sendall(b"GET /v1/live HTTP/1.0\r\n\r\n")
        has_gone.set()
        with urllib.request.urlopen(url + LIVE, timeout=10) as answered:
            assert answered.status == 200

    assert caplog.text == ""


def test_whoever_does_not_take_the_reply_is_let_go(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = told.face.reply("GET", LIVE)._replace(body=bytes(64 * 2**20))
    monkeypatch.setattr(serving, "SEND_S", 0.3)
    monkeypatch.setattr(Face, "reply", lambda self, method, path: whole)
    with listening(LOCAL, told.face) as url:
        assert url is not None
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            with pytest.raises(ConnectionError):
                for _ in range(round(PATIENCE_S / 0.02)):
                    client.sendall(b"\r\n")  # nobody is there to take it in the end
                    time.sleep(0.02)


def test_an_address_that_is_taken_is_named(address: tuple[str, int], told: Told) -> None:
    host, port = address

    with (
        pytest.raises(AddressUnusable, match=f"{host}:{port} .*in use"),
        listening(address, told.face),
    ):
        pass


def test_an_end_is_quick_and_frees_the_port(told: Told) -> None:
    with listening(LOCAL, told.face) as url:
        assert url is not None
        began_s = time.monotonic()
    assert time.monotonic() - began_s < serving.STOP_S

    with listening(("127.0.0.1", int(url.rpartition(":")[2])), told.face):
        pass


@pytest.mark.parametrize("text", ["127.0.0.1", "here:", "here:http", "here:70000", "9100"])
def test_an_address_needs_a_host_and_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        address_of(text)

    assert address_of(":9100") == ("", 9100)
    assert address_of("[::1]:9100") == ("::1", 9100)


def test_everything_that_is_measured_is_documented_and_nothing_else() -> None:
    metrics = Metrics("test")
    metrics.model(ScriptedEngine())
    metrics.decoder(Decoding())
    families = re.findall(r"^# TYPE (longwatch_\w+)", metrics.exposition().decode(), re.MULTILINE)

    assert set(re.findall(r"^\| `(longwatch_\w+)`", OPERATIONS, re.MULTILINE)) == set(families)
    assert told_at(METRICS).startswith(b"# HELP")


def told_at(path: str) -> bytes:
    return Told().face.reply("GET", path).body


def test_a_forgotten_stream_takes_its_series_along() -> None:
    metrics = Metrics("test")
    for stream_id in ("here", "gone"):
        metrics.clip_remembered(stream_id)
        metrics.gap(stream_id, "corrupt")
        metrics.lost(stream_id, "stalled", 4)
        metrics.dropped(stream_id, "BadMessage", 2)
        metrics.progress(stream_id, captured_s=2, remembered_s=1)
        metrics.behind_live(stream_id, 3)
    metrics.keep_streams(["here"])
    text = metrics.exposition().decode()

    assert "gone" not in text
    assert measured(text, "longwatch_drops_total", stream="here", reason="BadMessage") == 2


def test_what_is_measured_costs_next_to_nothing() -> None:
    metrics = Metrics("test")
    began_s = time.process_time()
    for _ in range(1000):
        with metrics.timed(Stage.DECODE):
            metrics.clip_remembered("cam")
    each_s = (time.process_time() - began_s) / 1000

    assert each_s < 0.001
