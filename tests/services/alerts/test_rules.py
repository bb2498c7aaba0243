"""What a rule may hold: sinks, schedules, names."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.alerts.rules import Rule, name_of, parse_schedule, refuse_useless
from services.alerts.sinks import Broker, Sink, broker_of, parse_sink
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
    broker = parse_sink("mqtt:mqtts://ann:geheim@broker.local/site/1/alerts")
    assert broker.shown == "mqtt:mqtts://broker.local/site/1/alerts"


def test_the_url_of_a_broker() -> None:
    assert broker_of("mqtt://broker/a") == Broker("broker", 1883, False, None, None, "a")
    assert broker_of("mqtts://ann:a%40b%2F@[::1]:8884/site/%C3%A4//") == Broker(
        "::1", 8884, True, "ann", "a@b/", "site/ä//"
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "mail", "log:x", "webhook", "webhook:ftp://a/b", "webhook:https://", "webhook:/path"),
        *("webhook:http://user:pass@a/", "webhook:http://a:99999/", "webhook:http://a/ b\r\nX: y"),
        *("webhook:http://a..b/", "mqtt:http://a/b", "mqtt:mqtt://a", "mqtt:mqtt:///b"),
        *("mqtt:mqtt://a/b/+", "mqtt:mqtt://a/%23", "mqtt:mqtt://a/$SYS/b", "mqtt:mqtt://a/b?c"),
        *("mqtt:mqtt://a/%ff", "mqtt:mqtt://a:0/b", "mqtt:mqtt://u:geheim@a:x/b", "mqtt"),
    ],
)
def test_what_is_nobody_to_tell_is_refused(text: str) -> None:
    with pytest.raises(BadRule) as refused:
        parse_sink(text)
    assert "geheim" not in str(refused.value)


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
