"""Alerts as they are raised: each once, also to who was cut off, and to nobody who may not see."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore
from typing import Any

import httpx2
import pytest

from services.api import alert_stream
from services.api.keys import KeyRing, Role
from services.registry import NewStream
from services.settings import Settings
from services.wiring import opened
from streaming.messages import Alert
from tests.services.alerts.looks import rule
from tests.services.api.serving import api
from tests.services.api.test_rules import raised
from tests.services.asking import PATIENCE_S

PATH = "/v1/alerts/stream"
LAST = "last-event-id"


class Events:
    """What a stream says, as it comes."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.last_id = ""

    def next(self) -> Alert | None:
        """The next alert; None when the stream ends."""
        for line in self._lines:
            if line.startswith("id: "):
                self.last_id = line.removeprefix("id: ")
            if line.startswith("data: "):
                return Alert.model_validate(json.loads(line.removeprefix("data: ")))
        return None

    def take(self, count: int) -> list[str]:
        got = [self.next() for _ in range(count)]
        return [one.message_id for one in got if one]


@contextmanager
def following(client: httpx2.Client, **asked: Any) -> Generator[Events]:
    with client.stream("GET", PATH, **asked) as reply:
        assert (reply.status_code, reply.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        lines = reply.iter_lines()
        assert next(lines).startswith("retry: ")
        yield Events(lines)


def raise_alerts(settings: Settings, name: str, shown: str) -> list[str]:
    """The ids of what a new rule raises on `pond`: of each message, in order."""
    told = [one for one in raised(settings, rule("a fox", name=name), shown) if one.rule == name]
    return [f"{one.alert_id}.{number}" for one in told for number in range(one.number + 1)]


def test_who_was_cut_off_goes_on_where_they_were(settings: Settings) -> None:
    raise_alerts(settings, "before", "a.")
    with api(settings, answers=False) as client:
        with following(client) as events:
            first = raise_alerts(settings, "first", "a.a.")
            assert events.take(3) == first[:3]
        second = raise_alerts(settings, "second", "a.")
        with following(client, headers={LAST: events.last_id}) as events:
            assert events.take(3) == [*first[3:], *second]
            third = raise_alerts(settings, "third", "a.")
            assert events.take(2) == third
        with following(client, headers={LAST: f"{0:020}:none"}) as events:
            assert len(set(events.take(2 + 4 + 2 + 2))) == 10
        with following(client, params={"rule": "fourth"}) as events:
            raise_alerts(settings, "other", "a.")
            fourth = raise_alerts(settings, "fourth", "a.")
            assert events.take(2) == fourth
        assert client.get(PATH, headers={LAST: "5"}).status_code == 422


def test_it_ends_whole_when_the_service_stops(settings: Settings) -> None:
    with ExitStack() as stack:
        with api(settings, answers=False) as client:
            own = httpx2.Client(base_url=client.base_url, timeout=PATIENCE_S, trust_env=False)
            stack.enter_context(own)
            events = stack.enter_context(following(own))
        assert events.next() is None


def test_nobody_is_told_of_what_they_may_not_see(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    with opened(settings) as stores:
        stores.registry.add(NewStream("pond", "rtsp://192.0.2.7/1"))
    cam, pond = make_key(Role.VIEWER, "cam"), make_key(Role.VIEWER, "pond")
    with api(settings, answers=False) as client:
        assert client.get(PATH).status_code == 401
        assert client.get(PATH, params={"stream": "pond"}, headers=cam).status_code == 404
        with (
            following(client, headers=cam) as of_cam,
            following(client, headers=pond, params={"stream": "pond"}) as of_pond,
        ):
            told = raise_alerts(settings, "r", "a.")
            assert of_pond.take(2) == told
            ring = KeyRing(settings.keys_path)
            for grant in ring.grants():
                ring.remove(grant.name)
            make_key(Role.ADMIN)
            assert of_cam.next() is None
            assert of_pond.next() is None


def test_only_so_many_are_told_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_stream, "_following", BoundedSemaphore(1))
    with api(settings, answers=False) as client, following(client):
        refused = client.get(PATH)
        assert (refused.status_code, refused.json()["kind"]) == (429, "TooManyRequests")
