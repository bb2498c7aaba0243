"""Rules and alerts over HTTP: what the commands do, for whom, and what is never told."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from services.alerts.book import RuleBook
from services.alerts.machine import step
from services.alerts.rules import Rule
from services.api import rules
from services.api.keys import Role
from services.registry import NewStream
from services.settings import Settings
from services.wiring import now_ns, opened
from streaming.messages import Alert
from tests.services.alerts.looks import looks, rule
from tests.services.alerts.test_courier import SECRET
from tests.services.api.serving import api

HOOK = "https://example.com/hooks/geheim?token=geheim"


def raised(settings: Settings, some: Rule, shown: str) -> list[Alert]:
    """Have a rule raise alerts on stream `pond`; what is in the record then, in order."""
    with opened(settings) as stores:
        book = RuleBook(stores.record.documents, now_ns=now_ns)
        book.add(some)
        for one in looks(shown, claims=1):
            place = book.place(some, "pond")
            assert place is not None
            assert book.advance(place, step(some, some.condition, place.watch, one))
        return book.alerts()


def test_a_rule_lives(settings: Settings) -> None:
    new: dict[str, Any] = {
        "sentence": "a bright light",
        "streams": ["cam"],
        "for_s": 1.5,
        "cooldown_s": 0,
    }
    new["dedupe_key"] = "light"
    with api(settings, answers=False) as client:
        added = client.post("/v1/rules", json=new)
        assert (added.status_code, added.headers["location"]) == (201, "/v1/rules/bright-light")
        shown = added.json()
        assert {name: shown[name] for name in new} == new
        assert (shown["to"], shown["is_paused"]) == (["log", "kafka"], False)
        assert client.get("/v1/rules/bright-light").json() == {**shown, "watches": {}}
        again = client.post("/v1/rules", json={**new, "name": "bright-light"})
        assert (again.status_code, again.json()["kind"]) == (409, "RuleNameTaken")

        assert client.post("/v1/rules/bright-light/pause").json()["is_paused"]
        with opened(settings) as stores:
            book = RuleBook(stores.record.documents, now_ns=now_ns)
            assert book.rule("bright-light").is_paused
            assert book.rule("bright-light").from_ns == {"cam": 45 * 10**9}
        assert not client.post("/v1/rules/bright-light/resume").json()["is_paused"]
        assert client.delete("/v1/rules/bright-light").json()["name"] == "bright-light"
        for method, path in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/pause"),
            ("POST", "/resume"),
        ):
            gone = client.request(method, f"/v1/rules/bright-light{path}")
            assert (gone.status_code, gone.json()["kind"]) == (404, "NoSuchRule")


@pytest.mark.parametrize(
    ("changed", "status", "kind"),
    [
        ({"sentence": "the"}, 422, "BadRule"),
        ({"schedule": "never"}, 422, "BadRule"),
        ({"to": ["pigeon"]}, 422, "BadRule"),
        ({"to": []}, 422, "BadRequest"),
        ({"to": [HOOK]}, 422, "BadRule"),
        ({"to": [f"webhook:{HOOK}"]}, 422, "WebhookUnsigned"),
        ({"threshold": 1}, 422, "BadRequest"),
        ({"for_s": -1}, 422, "BadRequest"),
        ({"streams": ["nowhere"]}, 404, "NoSuchStream"),
        ({"dedupe_key": "No Key"}, 422, "BadRequest"),
        ({"surprise": 1}, 422, "BadRequest"),
    ],
)
def test_what_is_no_rule_is_refused(
    client: httpx2.Client, changed: dict[str, Any], status: int, kind: str
) -> None:
    refused = client.post("/v1/rules", json={"sentence": "a light", **changed})

    assert (refused.status_code, refused.json()["kind"]) == (status, kind)
    assert client.get("/v1/rules").json() == {"rules": [], "next_after": None}


def test_rules_come_in_pages(settings: Settings) -> None:
    with api(settings, answers=False) as client:
        for name in ("c", "a", "b"):
            client.post("/v1/rules", json={"sentence": "a light", "name": name})
        first = client.get("/v1/rules", params={"limit": 2}).json()
        rest = client.get("/v1/rules", params={"limit": 2, "after": first["next_after"]}).json()

    assert [one["name"] for one in first["rules"]] == ["a", "b"]
    assert [one["name"] for one in rest["rules"]] == ["c"]
    assert rest["next_after"] is None


def test_the_path_of_a_webhook_is_never_given_back(settings: Settings) -> None:
    signing = settings.model_copy(update={"webhook_secret": SECRET})
    with api(signing, answers=False) as client:
        new = {"sentence": "a light", "name": "r", "to": [f"webhook:{HOOK}"]}
        replies = [
            client.post("/v1/rules", json=new),
            client.get("/v1/rules"),
            client.get("/v1/rules/r"),
            client.post("/v1/rules/r/pause"),
            client.post("/v1/rules/r/resume"),
            client.post("/v1/rules", json=new),
            client.delete("/v1/rules/r"),
        ]

    assert [one.status_code for one in replies] == [201, 200, 200, 200, 200, 409, 200]
    assert not any("geheim" in one.text for one in replies)
    assert replies[0].json()["to"] == ["webhook:https://example.com/…"]


def test_alerts_come_the_latest_first_in_pages(settings: Settings) -> None:
    alerts = raised(settings, rule("a fox"), "a.a.a.a.a")
    with api(settings, answers=False) as client:
        pages = [client.get("/v1/alerts", params={"limit": 2}).json()]
        while before := pages[-1]["next_before"]:
            asked = {"limit": 2, "before": before}
            pages.append(client.get("/v1/alerts", params=asked).json())
        listed = [one for page in pages for one in page["alerts"]]
        assert all(one.pop("mark") is None for one in listed)
        told = [Alert.model_validate(one) for one in listed]
        assert told == alerts[::-1]
        assert [len(page["alerts"]) for page in pages] == [2, 2, 1]
        assert all(one.start_at > other.start_at for one, other in pairwise(told))

        def count(**asked: str) -> int:
            return len(client.get("/v1/alerts", params=asked).json()["alerts"])

        assert count(stream="pond", rule="r") == 5
        assert (count(stream="cam"), count(rule="other")) == (0, 0)
        assert count(since=alerts[2].start_at.isoformat()) == 3
        assert client.get("/v1/alerts", params={"since": "0:10:00"}).status_code == 422


def test_a_key_for_some_streams_deals_with_their_rules_and_alerts_only(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    with opened(settings) as stores:
        stores.registry.add(NewStream("pond", "rtsp://192.0.2.7/1"))
    raised(settings, rule("a fox", name="all"), "a.")
    everywhere, pond = make_key(Role.ADMIN), make_key(Role.OPERATOR, "pond")
    cam = make_key(Role.OPERATOR, "cam")
    with api(settings, answers=False) as client:

        def add(headers: dict[str, str], name: str, *streams: str) -> int:
            new = {"sentence": "a light", "name": name, "streams": streams}
            return client.post("/v1/rules", json=new, headers=headers).status_code

        def names(headers: dict[str, str]) -> list[str]:
            found = client.get("/v1/rules", headers=headers).json()["rules"]
            return [one["name"] for one in found]

        assert (add(pond, "x"), add(pond, "x", "cam"), add(pond, "x", "pond", "cam")) == (
            403,
            404,
            404,
        )
        assert (add(pond, "p", "pond"), add(everywhere, "both", "pond", "cam")) == (201, 201)
        assert (names(everywhere), names(pond), names(cam)) == (["all", "both", "p"], ["p"], [])
        keyed = {"sentence": "a light", "name": "k", "streams": ["pond"], "dedupe_key": "k"}
        assert client.post("/v1/rules", json=keyed, headers=pond).status_code == 201
        others = {**keyed, "name": "o", "streams": ["cam"]}
        assert client.post("/v1/rules", json=others, headers=cam).status_code == 403
        client.delete("/v1/rules/k", headers=pond)
        for hidden in ("all", "both", "p", "nothing"):
            for method, path in (
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/pause"),
                ("POST", "/resume"),
            ):
                said = client.request(method, f"/v1/rules/{hidden}{path}", headers=cam)
                assert said.status_code == 404
                assert said.json()["detail"].startswith("no such rule, or")
        for to_test in ({"rule": "all"}, {"sentence": "a light", "streams": ["pond"]}):
            assert client.post("/v1/rules/test", json=to_test, headers=cam).status_code == 404
        assert client.get("/v1/alerts", headers=cam).json()["alerts"] == []
        assert len(client.get("/v1/alerts", headers=pond).json()["alerts"]) == 1
        hidden_stream = client.get("/v1/alerts", params={"stream": "pond"}, headers=cam)
        assert hidden_stream.status_code == 404
        assert names(everywhere) == ["all", "both", "p"]


def test_a_rule_is_tried_on_what_is_remembered(settings: Settings) -> None:
    to_test = {"sentence": "a light shines", "cooldown_s": 0}
    with api(settings) as client:
        tried = client.post("/v1/rules/test", json=to_test).json()
        assert [one["span"]["start_ns"] // 10**9 for one in tried["alerts"]] == [12, 34]
        assert (tried["clips"], tried["watched_s"]) == (5, 45)
        later = client.post("/v1/rules/test", json={**to_test, "since": "0:00:30"}).json()
        assert len(later["alerts"]) == 1
        client.post("/v1/rules", json={"sentence": "a light", "name": "r", "cooldown_s": 600})
        assert len(client.post("/v1/rules/test", json={"rule": "r"}).json()["alerts"]) == 1
        assert client.get("/v1/alerts").json()["alerts"] == []
    with api(settings, answers=False) as client:
        away = client.post("/v1/rules/test", json=to_test)
        assert (away.status_code, away.json()["kind"]) == (503, "AnswersAway")


@pytest.mark.parametrize(
    ("to_test", "status", "kind"),
    [
        ({}, 422, "BadRule"),
        ({"rule": "r", "sentence": "a light"}, 422, "BadRule"),
        ({"rule": "none"}, 404, "NoSuchRule"),
        ({"sentence": "the"}, 422, "BadRule"),
        ({"sentence": "a light", "streams": ["none"]}, 404, "NoSuchStream"),
        ({"sentence": "a light", "since": "soon"}, 422, "BadTime"),
        ({"sentence": "a light", "to": ["log"]}, 422, "BadRequest"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    client: httpx2.Client, to_test: dict[str, Any], status: int, kind: str
) -> None:
    refused = client.post("/v1/rules/test", json=to_test)

    assert (refused.status_code, refused.json()["kind"]) == (status, kind)


def test_no_more_is_tried_than_a_day(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_TESTED_S", 44.0)
    refused = client.post("/v1/rules/test", json={"sentence": "a light"})

    assert (refused.status_code, refused.json()["kind"]) == (422, "RangeTooLong")
