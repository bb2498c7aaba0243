"""The description of the API is that of the API, and whatever it is asked it keeps what that says.

Schemathesis makes the requests: good ones, bad ones, and some about what is there. A good one may
still be refused, since no schema says what is a question, a time or an address.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from memory.feedback import Feedback, KeptAnswer
from services.api import alert_stream
from services.api.app import app_of
from services.api.openapi import described
from services.api.playlist import name_of
from services.settings import Settings
from services.wiring import now_at, opened
from tests.conftest import ROOT
from tests.services.alerts.looks import rule
from tests.services.api.serving import api
from tests.services.api.test_rules import raised
from tests.services.asking import answer_saying

EXAMPLES = 8
"""Of each kind; all of them take half a minute at most."""
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
FOUND: list[Any] = [*schemathesis.openapi.from_dict(app_of().openapi()).get_all_operations()]
OPERATIONS = [found.ok() for found in FOUND]


@pytest.fixture(scope="module")
def base_url(shared: Settings) -> Iterator[str]:
    """Where streams of events end soon, for a reply is looked at when it is whole."""
    with pytest.MonkeyPatch.context() as patch, api(shared, per_s=1e9) as client:
        patch.setattr(alert_stream, "LONGEST_S", 2 * alert_stream.LOOK_EVERY_S)
        yield str(client.base_url).rstrip("/")


@pytest.fixture(scope="module")
def known(shared: Settings) -> dict[str, str]:
    """What a path may name, as it is in the memory."""
    (alert,) = raised(shared, rule("a fox", name="cam"), "a.")
    with opened(shared) as stores:
        (clip, *_), (segment, *_) = stores.record.clips(), stores.record.segments()
        Feedback(stores.record.documents).keep(
            KeptAnswer(answer_id="one", asked_at=now_at(), answer=answer_saying("yes"))
        )
    return {
        "name": "cam",
        "clip_id": clip.clip_id,
        "file": name_of(segment),
        "alert_id": alert.alert_id,
        "answer_id": "one",
    }


def test_the_committed_description_is_that_of_the_app() -> None:
    committed = (ROOT / "docs" / "openapi.json").read_text()

    assert committed == described(), "run: python -m services.api.openapi > docs/openapi.json"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_a_good_request_gets_the_reply_that_the_description_says(
    base_url: str, operation: Any
) -> None:
    @BOUNDED
    @given(case=operation.as_strategy())
    def asked(case: Any) -> None:
        case.call_and_validate(base_url=base_url, excluded_checks=[positive_data_acceptance])

    asked()


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if one.query or one.body],
    ids=lambda one: one.label,
)
def test_a_bad_request_is_refused(base_url: str, operation: Any) -> None:
    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def asked(case: Any) -> None:
        case.call_and_validate(base_url=base_url)

    asked()


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if "{" in one.path and one.method != "delete"],
    ids=lambda one: one.label,
)
def test_so_it_is_where_there_is_something_to_see(
    base_url: str, operation: Any, known: dict[str, str]
) -> None:
    @BOUNDED
    @given(case=operation.as_strategy())
    def asked(case: Any) -> None:
        case.path_parameters = {name: known[name] for name in case.path_parameters}
        case.call_and_validate(base_url=base_url, excluded_checks=[positive_data_acceptance])

    asked()
