"""Who may do what: keys, roles, streams, and what is asked without any of them."""

import socket
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from services.api import problems
from services.api.app import app_of
from services.api.errors import KeyNeeded, KeysDamaged, TooManyRequests
from services.api.keys import KeyRing, Role
from services.api.limits import BURST, RateLimiter
from services.api.server import taken
from services.console import OURS
from services.health import LIVE, READY
from services.registry import NewStream
from services.settings import Settings
from services.wiring import opened
from streaming.messages import NS_PER_S
from tests.services.api.serving import api
from tests.services.processes import measured

OPEN = {LIVE, READY}
CAMERA = {"name": "door", "url": "rtsp://user:geheim@192.0.2.1/stream"}


def test_without_any_key_this_machine_may_do_anything(settings: Settings) -> None:
    with api(settings) as client:
        assert client.post("/v1/streams", json=CAMERA).status_code == 201
        assert client.delete("/v1/streams/door").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "[::2]:80", "", "localhost.x"]
)
def test_what_is_addressed_to_another_name_is_refused(client: httpx2.Client, host: str) -> None:
    """A page of the web that has its name point at this machine gets nothing."""
    assert client.get("/v1/streams", headers={"Host": host}).status_code == 401


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
def test_what_is_addressed_to_this_machine_is_heard(client: httpx2.Client, host: str) -> None:
    assert client.get("/v1/streams", headers={"Host": host}).status_code == 200


def test_every_route_but_health_takes_a_key(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    make_key(Role.ADMIN)
    offered = [
        (method.upper(), path)
        for path, ways in app_of().openapi()["paths"].items()
        for method in ways
    ]
    assert len(offered) > 10
    with api(settings) as client:
        for method, template in offered:
            path = template.format(
                name="cam", clip_id="cam:0-1:x", file="0-1.mp4", alert_id="r:cam:0", answer_id="1"
            )
            body = {"messages": [{"role": "user", "content": "?"}], "name": "x", "url": "x"}
            if method == "POST" and path == "/v1/streams":
                del body["messages"]
            if path == "/v1/rules":
                body = {"sentence": "a light"}
            said = client.request(method, path, json=body, params={"q": "x"})
            assert (said.status_code == 200) == (path in OPEN), (method, path)
            if path not in OPEN:
                assert (said.status_code, said.json()["kind"]) == (401, "KeyRefused")
                assert said.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer lw_wrong",
        "Basic Og==",
        "Bearer \xff",
        "bearer lw_" + "a" * 5000,
    ],
)
def test_what_is_no_key_opens_nothing(
    settings: Settings, make_key: Callable[..., dict[str, str]], header: str
) -> None:
    make_key(Role.ADMIN)
    with api(settings, answers=False) as client:
        given = {b"Authorization": header.encode("latin-1")}
        assert client.get("/v1/streams", headers=given).status_code == 401


def test_requests_are_measured_by_route_and_not_by_path(settings: Settings) -> None:
    with api(settings, answers=False) as client:
        for path in ("/v1/streams/cam", "/v1/streams/nowhere", "/etc/passwd", "/v1/streams/cam"):
            client.get(path)
        client.request("BREW", "/v1/streams")
        text = client.get("/metrics").text

    def count(**labels: str) -> float | None:
        return measured(text, "longwatch_http_requests_total", **labels)

    route = "/v1/streams/{name}"
    assert count(route=route, method="GET", status="200") == 2
    assert count(route=route, method="GET", status="404") == 1
    assert count(route="other", method="GET", status="404") == 1
    assert count(route="/v1/streams", method="other", status="405") == 1
    times = {"route": route, "method": "GET"}
    assert measured(text, "longwatch_http_request_seconds_count", **times) == 3
    assert "passwd" not in text


def test_pages_of_other_origins_get_something_only_where_they_are_named(bare: Settings) -> None:
    named, other = {"Origin": "https://ours.example"}, {"Origin": "https://evil.example"}
    settings = bare.model_copy(update={"cors_origins": named["Origin"]})
    asks = {"Access-Control-Request-Method": "GET"}
    allows = "access-control-allow-origin"
    with api(settings, answers=False) as client:
        assert client.get("/v1/streams", headers=named).headers[allows] == named["Origin"]
        assert client.get("/v1/streams/x", headers=named).headers[allows] == named["Origin"]
        assert client.options("/v1/streams", headers=named | asks).status_code == 200
        for headers in (other, other | asks):
            assert allows not in client.request("OPTIONS", "/v1/streams", headers=headers).headers
        assert allows not in client.get("/v1/streams", headers=other).headers
    with api(bare, answers=False) as client:
        assert allows not in client.get("/v1/streams", headers=named).headers
        assert allows not in client.options("/v1/streams", headers=named | asks).headers


def test_a_role_may_do_what_it_says_and_no_more(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    viewer, operator, admin = (make_key(role) for role in Role)
    with api(settings) as client:

        def status(method: str, path: str, headers: dict[str, str], **more: Any) -> int:
            return client.request(method, path, headers=headers, **more).status_code

        assert status("GET", "/v1/streams", viewer) == 200
        assert status("GET", "/metrics", viewer) == 403
        assert status("POST", "/v1/streams", viewer, json=CAMERA) == 403
        assert status("GET", "/metrics", operator) == 200
        assert status("POST", "/v1/streams", operator, json=CAMERA) == 201
        rule = {"name": "r", "sentence": "a light"}
        assert status("POST", "/v1/rules", viewer, json=rule) == 403
        assert status("POST", "/v1/rules", operator, json=rule) == 201
        assert status("GET", "/v1/rules/r", viewer) == 200
        assert status("GET", "/v1/alerts", viewer) == 200
        for way in ("pause", "resume"):
            assert status("POST", f"/v1/rules/r/{way}", viewer) == 403
            assert status("POST", f"/v1/rules/r/{way}", operator) == 200
        assert status("DELETE", "/v1/rules/r", viewer) == 403
        assert status("DELETE", "/v1/rules/r", operator) == 200
        assert status("DELETE", "/v1/streams/door", operator) == 403
        assert status("DELETE", "/v1/streams/door", admin) == 200


def test_a_key_for_some_streams_sees_no_trace_of_the_others(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    with opened(settings) as stores:
        stores.registry.add(NewStream("secret", "rtsp://192.0.2.7/1"))
        (clip, *_) = stores.record.clips()
    other, mine = make_key(Role.ADMIN, "secret"), make_key(Role.VIEWER, "cam")
    asked = {"messages": [{"role": "user", "content": "when: a bright light"}]}
    with api(settings) as client:
        assert [s["name"] for s in client.get("/v1/streams", headers=other).json()["streams"]] == [
            "secret"
        ]
        for path in (
            "/v1/streams/cam",
            "/v1/streams/cam/video",
            "/v1/streams/cam/playlist.m3u8",
            "/v1/streams/cam/segments/0000000000000000000-0000000008000000000.mp4",
            f"/v1/clips/{clip.clip_id}",
            f"/v1/clips/{clip.clip_id}/video",
            f"/v1/clips/{clip.clip_id}/thumbnail",
            "/v1/search?q=light&stream=cam",
            "/v1/summarize?stream=cam",
        ):
            assert client.get(path, headers=mine).status_code == 200, path
            assert client.get(path, headers=other).status_code == 404, path
        assert client.delete("/v1/streams/cam", headers=other).status_code == 404
        assert client.get("/metrics", headers=other).status_code == 403
        named = client.post(
            "/v1/chat/completions", headers=mine, json=asked | {"streams": ["secret"]}
        )
        nowhere = client.post(
            "/v1/chat/completions", headers=mine, json=asked | {"streams": ["nowhere"]}
        )
        assert named.json() == nowhere.json()
        assert "secret" not in named.text
        assert client.get("/v1/search?q=light", headers=other).json() == {"clips": []}
        assert client.get("/v1/summarize", headers=other).json() == {"summaries": []}
        by_other = client.post("/v1/chat/completions", headers=other, json=asked).json()
        by_me = client.post("/v1/chat/completions", headers=mine, json=asked).json()
        shown = client.post(
            "/v1/chat/completions",
            headers=mine,
            json={
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "video_url", "video_url": {"url": "rtsp://192.0.2.7/1"}}
                        ],
                    }
                ]
            },
        )
    assert shown.status_code == 422
    assert (by_other["verdict"], by_other["evidence"]) == ("not watched", [])
    assert by_me["verdict"] == "found"


def test_a_key_whose_streams_are_all_gone_asks_about_none(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    gone = make_key(Role.VIEWER, "gone")
    with api(settings) as client:
        assert client.get("/v1/search?q=light", headers=gone).status_code == 404


def test_a_key_that_is_taken_back_opens_nothing_any_more(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    make_key(Role.ADMIN)
    viewer = make_key(Role.VIEWER)
    with api(settings, answers=False) as client:
        assert client.get("/v1/streams", headers=viewer).status_code == 200
        KeyRing(settings.keys_path).remove("key1")
        assert client.get("/v1/streams", headers=viewer).status_code == 401


def test_the_file_of_keys_holds_none_and_is_its_owners(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    key = make_key(Role.VIEWER)["Authorization"].removeprefix("Bearer ")

    assert key not in settings.keys_path.read_text()
    assert settings.keys_path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_of_keys_opens_nothing(settings: Settings) -> None:
    settings.keys_path.write_text('[{"name": "x"}]')

    with pytest.raises(KeysDamaged, match=r"keys\.json"):
        KeyRing(settings.keys_path).grants()
    with api(settings, answers=False) as client:
        reply = client.get("/v1/streams")
    assert reply.status_code == 500
    assert "keys.json" not in reply.text


def test_without_a_key_other_machines_are_not_listened_to(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    with pytest.raises(KeyNeeded, match="longwatch key add"), taken(("", 0), settings):
        pass

    make_key(Role.ADMIN)
    with taken(("", 0), settings) as listening:
        assert isinstance(listening, socket.socket)


def test_a_client_may_send_so_many_requests_and_then_so_many_a_second() -> None:
    now_ns = 0
    limiter = RateLimiter(monotonic_ns=lambda: now_ns, per_s=2, burst=3)
    for _ in range(3):
        limiter.take("one")
    with pytest.raises(TooManyRequests, match="wait 1 s"):
        limiter.take("one")
    limiter.take("other")
    assert limiter.used() == 3

    now_ns += NS_PER_S
    assert limiter.used() == 1
    limiter.take("one")
    limiter.take("one")
    with pytest.raises(TooManyRequests):
        limiter.take("one")


def test_how_many_requests_are_used_up_is_told(settings: Settings) -> None:
    with api(settings, answers=False) as client:
        for _ in range(3):
            client.get("/v1/models")
        text = client.get("/metrics").text

    used = measured(text, "longwatch_budget_used", of="requests")
    assert used is not None
    assert 0 < used <= BURST
    assert measured(text, "longwatch_budget_allowed", of="requests") == BURST


def test_too_many_requests_are_told_when_to_come_again(settings: Settings) -> None:
    with api(settings, answers=False) as client:
        replies = [client.get("/v1/models") for _ in range(500)]

    refused = [reply for reply in replies if reply.status_code == 429]
    assert refused
    assert refused[0].json()["kind"] == "TooManyRequests"
    assert int(refused[0].headers["retry-after"]) >= 1


def test_what_fails_for_a_reason_of_ours_tells_nothing_of_this_machine() -> None:
    kinds: list[type[Exception]] = list(OURS)
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in {*kinds, RuntimeError}:
        error = kind.__new__(kind, "/secret/path")
        if problems.status_of(error) == 500:
            assert "secret" not in problems.detail_of(error)
