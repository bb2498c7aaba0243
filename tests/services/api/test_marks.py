"""What people say of alerts and answers over HTTP: kept, shown, and by whom it may be said."""

from collections.abc import Callable

import httpx2
import pytest

from memory.feedback import Feedback
from services.api.keys import Role
from services.registry import NewStream
from services.settings import Settings
from services.wiring import opened
from tests.services.alerts.looks import rule
from tests.services.api.serving import api
from tests.services.api.test_rules import raised

ASKED = {"messages": [{"role": "user", "content": "when: a bright light"}]}
WRONG = {"is_right": False, "note": "a dog"}


def test_an_alert_and_an_answer_are_marked(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    (alert,) = raised(settings, rule("a fox"), "a.")
    ann = make_key(Role.OPERATOR)
    with api(settings) as client:
        answer_id = client.post("/v1/chat/completions", json=ASKED, headers=ann).json()["id"]
        for path in (f"/v1/alerts/{alert.alert_id}/mark", f"/v1/answers/{answer_id}/mark"):
            first = client.put(path, json={"is_right": True}, headers=ann)
            assert (first.status_code, first.json()["is_right"]) == (200, True)
            marked = client.put(path, json=WRONG, headers=ann).json()
            assert {**WRONG, "marked_by": "key0"}.items() <= marked.items()
        (listed,) = client.get("/v1/alerts", headers=ann).json()["alerts"]
    assert listed["mark"]["note"] == "a dog"

    with opened(settings) as stores:
        marks = list(Feedback(stores.record.documents).marks())
    assert [(one.is_right, one.note, one.marked_by) for one in marks] == [
        (False, "a dog", "key0"),
        (False, "a dog", "key0"),
    ]


def test_an_answer_in_pieces_is_marked_by_the_id_of_its_pieces(settings: Settings) -> None:
    with api(settings) as client:
        pieces = client.post("/v1/chat/completions", json={**ASKED, "stream": True}).text
        answer_id = pieces.partition('"id": "')[2].partition('"')[0]
        assert client.put(f"/v1/answers/{answer_id}/mark", json=WRONG).status_code == 200


def test_who_may_not_see_a_thing_may_not_mark_it(
    settings: Settings, make_key: Callable[..., dict[str, str]]
) -> None:
    with opened(settings) as stores:
        stores.registry.add(NewStream("pond", "rtsp://192.0.2.7/1"))
    (alert,) = raised(settings, rule("a fox"), "a.")
    everywhere, viewer = make_key(Role.OPERATOR), make_key(Role.VIEWER)
    pond, cam = make_key(Role.OPERATOR, "pond"), make_key(Role.OPERATOR, "cam")
    with api(settings) as client:

        def status(path: str, headers: dict[str, str]) -> int:
            return client.put(path, json=WRONG, headers=headers).status_code

        of_alert = f"/v1/alerts/{alert.alert_id}/mark"
        reply = client.post("/v1/chat/completions", json=ASKED, headers=everywhere)
        of_answer = f"/v1/answers/{reply.json()['id']}/mark"  # which rests on what `cam` saw
        assert [status(of_alert, key) for key in (viewer, cam, pond)] == [403, 404, 200]
        assert [status(of_answer, key) for key in (viewer, pond, cam)] == [403, 404, 200]


@pytest.mark.parametrize(
    ("body", "status"),
    [(WRONG, 404), ({"is_right": "yes"}, 422), ({**WRONG, "note": "x" * 1001}, 422), ({}, 422)],
)
@pytest.mark.parametrize("path", ["/v1/alerts/r@1:pond:5/mark", "/v1/answers/none/mark"])
def test_what_is_no_mark_is_refused(
    client: httpx2.Client, path: str, body: dict[str, object], status: int
) -> None:
    assert client.put(path, json=body).status_code == status
