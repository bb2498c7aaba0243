"""What a rule may hold: sinks, schedules, names."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.alerts.rules import Rule, Sink, name_of, parse_schedule, parse_sink, refuse_useless
from services.errors import BadRule

AT = datetime(2025, 6, 2, tzinfo=UTC)  # a Monday
BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("schedule", "day", "clock", "covered"),
    [
        ("mon-fri 08:00-18:00", 0, "08:00", True),
        ("mon-fri 08:00-18:00", 0, "18:00", False),
        ("mon-fri 08:00-18:00", 5, "12:00", False),
        ("sat,sun", 5, "00:00", True),
        ("sat,sun", 4, "23:59", False),
        ("fri-mon", 0, "12:00", True),
        ("fri-mon", 2, "12:00", False),
        ("22:00-06:00", 0, "05:59", True),
        ("22:00-06:00", 0, "12:00", False),
        ("fri 22:00-06:00", 5, "05:00", True),
        ("fri 22:00-06:00", 4, "05:00", False),
        ("18:00-24:00", 3, "23:59", True),
    ],
)
def test_a_schedule_covers(schedule: str, day: int, clock: str, covered: bool) -> None:
    hour, minute = map(int, clock.split(":"))
    local_at = (AT + timedelta(days=day)).replace(hour=hour, minute=minute, tzinfo=BERLIN)

    assert parse_schedule(schedule).covers(local_at.astimezone(UTC), BERLIN) is covered


@pytest.mark.parametrize(
    "text",
    ["", " ", "noon", "08:00", "08:00-08:00", "25:00-26:00", "08:61-09:00", "mon-", "mon;tue"],
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(BadRule, match="schedule"):
        parse_schedule(text)


def test_sinks() -> None:
    assert parse_sink("log") == Sink("log")
    hook = parse_sink("webhook:https://example.com:8443/secret/path?token=1")
    assert hook.url == "https://example.com:8443/secret/path?token=1"
    assert hook.shown == "webhook:https://example.com:8443/…"


@pytest.mark.parametrize(
    "text",
    [
        *("", "mail", "log:x", "webhook", "webhook:ftp://a/b", "webhook:https://", "webhook:/path"),
        *("webhook:http://user:pass@a/", "webhook:http://a:99999/", "webhook:http://a/ b\r\nX: y"),
    ],
)
def test_what_is_nobody_to_tell_is_refused(text: str) -> None:
    with pytest.raises(BadRule):
        parse_sink(text)


def test_a_rule_is_refused_whole() -> None:
    with pytest.raises(BadRule, match="schedule"):
        Rule(name="a", sentence="a fox", schedule="never", added_at=AT)
    pair = Rule(name="a", sentence="a fox then a heron within 5s", for_ns=1, added_at=AT)
    with pytest.raises(BadRule, match="--for"):
        refuse_useless(pair)


def test_names_come_from_the_first_words() -> None:
    assert name_of("A fox is near the pond!", []) == "fox-near-pond"
    assert name_of("A fox is near the pond!", ["fox-near-pond"]) == "fox-near-pond-2"
    assert name_of("狐狸", []) == "rule"


def test_a_name_given_again_is_another_rule() -> None:
    one = Rule(name="a", sentence="a fox", added_at=AT)
    other = Rule(name="a", sentence="a fox", added_at=AT + timedelta(seconds=1))

    assert one.rule_id != other.rule_id
