"""Servers that run a model: who is asked, what is tried again, and what errors mean."""

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import pytest

from models.errors import (
    ModelServerAway,
    ModelServerDenied,
    ModelServerError,
    PromptTooLong,
    RequestRefused,
    WeightsSwapped,
)
from models.model_servers import AT_ONCE, AVOIDED_NS, Json, ModelServers, Patience
from tests.models.faulty_server import SILENT, closed_port, faulty

OK = (200, b'{"text": "yes"}')
BUSY, BROKEN = (503, b"{}"), (500, b"no JSON")


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.slept_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9)

    def patience(self, read_s: float = 60.0) -> Patience:
        return Patience(
            waits_s=(1.0, 2.0), read_s=read_s, sleep=self.sleep, monotonic_ns=lambda: self.now_ns
        )


@pytest.mark.parametrize("fault", [BUSY, BROKEN, (429, b"{}"), (502, b"")])
def test_what_passes_is_tried_again_after_longer_and_longer(fault: tuple[int, bytes]):
    clock = Clock()
    with (
        faulty(fault, fault, OK) as server,
        closing(ModelServers([server.url], patience=clock.patience())) as servers,
    ):
        assert servers.post("/generate", {}, key="a") == {"text": "yes"}

    assert clock.slept_s == [1.0, 2.0]


def test_a_server_that_stays_away_is_an_error_that_names_it():
    clock = Clock()
    url = f"http://127.0.0.1:{closed_port()}"
    with (
        closing(ModelServers([url], patience=clock.patience())) as servers,
        pytest.raises(ModelServerAway, match=url),
    ):
        servers.post("/generate", {}, key="a")

    assert clock.slept_s == [1.0, 2.0]


def test_a_silent_server_is_given_up_and_not_asked_twice():
    with (
        faulty((SILENT, b"")) as server,
        closing(ModelServers([server.url], patience=Clock().patience(read_s=0.2))) as servers,
    ):
        with pytest.raises(ModelServerAway, match="timed out"):
            servers.post("/generate", {}, key="a")
        assert len(server.asked) == 1


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]"])
def test_what_is_no_reply_is_an_error(said: bytes):
    with (
        faulty((200, said)) as server,
        closing(ModelServers([server.url])) as servers,
        pytest.raises(ModelServerAway, match="no JSON object"),
    ):
        servers.post("/generate", {}, key="a")


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ModelServerDenied), (403, ModelServerDenied), (404, RequestRefused),
     (400, RequestRefused), (422, RequestRefused)],
)  # fmt: skip
def test_a_refusal_is_told_once_with_its_reason(status: int, error: type[ModelServerError]):
    said = b'{"error": {"message": "the reason"}}'
    with (
        faulty((status, said)) as server,
        closing(ModelServers([server.url])) as servers,
        pytest.raises(error, match=rf"{status}: the reason"),
    ):
        servers.post("/generate", {}, key="a")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "reason",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        "Requested token count exceeds the model's maximum context length of 4096: 5000",
    ],
)
def test_a_prompt_that_is_too_long_is_told_as_such(reason: str):
    said = json.dumps({"error": {"message": reason}}).encode()
    with (
        faulty((400, said)) as server,
        closing(ModelServers([server.url])) as servers,
        pytest.raises(PromptTooLong) as raised,
    ):
        servers.post("/generate", {}, key="a")
    assert (raised.value.num_tokens, raised.value.limit) == (5000, 4096)


def test_a_stream_of_nonsense_is_an_error():
    with faulty((200, b"data: {}\n\ndata: what\n\n")) as server:
        server.content_type = "text/event-stream"
        with (
            closing(ModelServers([server.url])) as servers,
            pytest.raises(ModelServerAway, match="broke off"),
        ):
            list(servers.stream("/generate", {}, key="a"))


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"message": "CUDA error", "code": 500, "retryable": True}, ModelServerAway),
        ("no more memory", ModelServerAway),
        ({"message": "no tokens of clip x", "code": 404}, RequestRefused),
        ({"message": "5000 tokens exceed the context of 4096", "code": 400}, PromptTooLong),
    ],
)
def test_an_error_within_a_stream_is_told_as_any_other(told: object, error: type[Exception]):
    sent = b"data: " + json.dumps({"error": told}).encode() + b"\n\n"
    with faulty((200, sent)) as server, closing(ModelServers([server.url])) as servers:
        server.content_type = "text/event-stream"
        with pytest.raises(error):
            list(servers.stream("/generate", {}, key="a"))


def test_a_stream_ends_with_its_last_event():
    sent = b': hello\n\ndata: {"n": 1}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n'
    with faulty((200, sent)) as server, closing(ModelServers([server.url])) as servers:
        server.content_type = "text/event-stream"

        assert list(servers.stream("/generate", {}, key="a")) == [{"n": 1}, {"n": 2}]


def test_the_same_key_leads_to_the_same_server():
    urls = [f"http://server-{number}" for number in range(5)]
    keys = [f"cam:{number}" for number in range(500)]
    with closing(ModelServers(urls)) as servers, closing(ModelServers(urls[:4])) as fewer:
        first_of = {key: servers.order_for(key)[0] for key in keys}
        left_of = {key: fewer.order_for(key)[0] for key in keys}

    assert min(Counter(first_of.values()).values()) > 60
    assert all(left_of[key] == first_of[key] for key in keys if first_of[key] != urls[4])


def test_another_server_stands_in_for_one_that_is_away_until_it_is_back():
    clock = Clock()
    with (
        faulty(OK) as one,
        faulty(OK) as other,
        closing(ModelServers([one.url, other.url], patience=clock.patience())) as servers,
    ):
        first, second = (
            next(server for server in (one, other) if server.url == url)
            for url in servers.order_for("cam")
        )
        first.says = [BUSY]
        servers.post("/generate", {}, key="cam")
        servers.post("/generate", {}, key="cam")
        assert (len(first.asked), len(second.asked)) == (1, 2)

        first.says = [OK]
        clock.now_ns += AVOIDED_NS
        servers.post("/generate", {}, key="cam")
        assert (len(first.asked), len(second.asked)) == (2, 2)
    assert clock.slept_s == []


def refuse_new(url: str, said: Json) -> None:
    if said["weights"] != "old":
        raise WeightsSwapped(url, expected="old", got=said["weights"])


def test_while_servers_are_given_other_weights_one_after_another_those_that_have_ours_are_asked():
    event = b'data: {"weights": "%s"}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n'
    clock = Clock()
    with (
        faulty((200, event % b"new")) as one,
        faulty((200, event % b"old")) as other,
        closing(ModelServers([one.url, other.url], patience=clock.patience())) as servers,
    ):
        one.content_type = other.content_type = "text/event-stream"
        key = next(key for key in map(str, range(99)) if servers.order_for(key)[0] == one.url)
        told = list(servers.stream("/generate", {}, key=key, check=refuse_new))
        assert told == [{"weights": "old"}, {"n": 2}]
        assert len(one.asked) == 1

        other.says = [(200, event % b"new")]
        with pytest.raises(WeightsSwapped, match="has the weights new now, and not old"):
            list(servers.stream("/generate", {}, key=key, check=refuse_new))

        one.content_type = other.content_type = "application/json"
        one.says, other.says = [(200, b'{"weights": "old"}')], [(200, b'{"weights": "new"}')]
        assert servers.post("/generate", {}, key=key, check=refuse_new) == {"weights": "old"}


def test_no_more_requests_at_once_than_a_server_is_given():
    busy = threading.Semaphore(0)
    with (
        faulty((SILENT, b"")) as server,
        closing(ModelServers([server.url], patience=Patience(waits_s=()))) as servers,
    ):

        def ask() -> None:
            with pytest.raises(ModelServerAway):
                servers.post("/generate", {}, key="a")
            busy.release()

        threads = [threading.Thread(target=ask) for _ in range(AT_ONCE + 3)]
        for thread in threads:
            thread.start()
        until(lambda: len(server.asked) == AT_ONCE)
        assert not busy.acquire(timeout=0.3)
        assert len(server.asked) == AT_ONCE
        server.is_over.set()
        for thread in threads:
            thread.join()


def test_a_key_is_sent_and_told_nobody(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with (
        faulty((401, b'{"error": {"message": "bad key"}}')) as server,
        closing(ModelServers([server.url], key="s3cret")) as servers,
        pytest.raises(ModelServerDenied) as raised,
    ):
        servers.post("/generate", {}, key="a")

    assert server.asked[0][1]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(raised.value) + repr(raised.value) + caplog.text


def until(is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if is_so():
            return
        pause.wait(0.02)
    pytest.fail("it did not come about")
