"""Alerts with a key in common: one is told, from when the first begins until the last has ended."""

from collections.abc import Iterable

import pytest

from services.alerts.shared import Shared, Told, told_as_one
from streaming.messages import NS_PER_S, Alert, AlertEnd, AlertState, Span, wall_time
from tests.memory.notes import EPOCH_AT

STATE = {"+": AlertState.NEW, "~": AlertState.UPDATE, "-": AlertState.END, "!": AlertState.END}


def message(text: str, number: int) -> Told:
    """`+a` begins, `~a` goes on, `-a` is over, `!a` is taken back."""
    how, rule = text
    at_ns = number * NS_PER_S
    alert = Alert(
        alert_id=f"{rule}@0:pond:0",
        number=number,
        state=STATE[how],
        rule=rule,
        sentence="a fox",
        span=Span(stream_id="pond", start_ns=0, end_ns=at_ns + 1),
        start_at=EPOCH_AT,
        end_at=wall_time(EPOCH_AT, at_ns),
        probability=0.9,
        clip_ids=(),
        ended={"-": AlertEnd.OVER, "!": AlertEnd.RETRACTED}.get(how),
    )
    return Told(alert, f"{rule}@0", (f"webhook:https://{rule}.example/",))


def told(texts: Iterable[str]) -> tuple[list[str], Shared | None]:
    """One message after the other, with what goes on written and read in between."""
    shared: Shared | None = None
    said: list[str] = []
    for number, text in enumerate(texts):
        some, shared = told_as_one([message(text, number)], shared)
        shared = shared and Shared.model_validate_json(shared.model_dump_json())
        for alert, rule_id, to in some:
            assert rule_id == f"{alert.rule}@0", "those of its own rule are told"
            assert to == (f"webhook:https://{alert.rule}.example/",)
            how = {AlertEnd.OVER: "-", AlertEnd.RETRACTED: "!"}
            mark = how[alert.ended] if alert.ended else {"new": "+", "update": "~"}[alert.state]
            said.append(f"{mark}{alert.rule}")
            assert alert.end_at == wall_time(EPOCH_AT, number * NS_PER_S)
    return said, shared


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ("+a ~a -a", "+a ~a -a"),
        ("+a +b -b ~a -a", "+a ~a -a"),
        ("+a +b ~b -a ~b -b", "+a -a"),
        ("+a +b -a +a -b -a", "+a -a"),
        ("+a -a +b -b", "+a -a +b -b"),
        ("+a !a +b !b", "+a !a +b !b"),
        ("+a +b !a -b", "+a -a"),
        ("+a +b -b !a", "+a -a"),
        ("+a +b !b !a", "+a !a"),
        ("-a +b -b", "+b -b"),
    ],
)
def test_what_has_a_key_in_common_is_told_as_one(messages: str, said: str) -> None:
    assert told(messages.split()) == (said.split(), None)


def test_it_goes_on_while_any_goes_on() -> None:
    said, shared = told("+a +b -a".split())
    assert said == ["+a"]
    assert shared is not None
    assert shared.going_on == ("b@0:pond:0",)
