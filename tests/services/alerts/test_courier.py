"""Everybody is told of every alert, in order, whoever is down: real web servers, a real broker."""

import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from memory.dict_record import DictRecord
from services.alerts.book import RuleBook
from services.alerts.courier import KEPT_NS, LONGEST_WAIT_NS, READ_AT_ONCE, Courier
from services.alerts.machine import step
from services.alerts.mqtt import MESSAGE_ID, MqttPublisher
from services.alerts.sealing import SealedSinks
from services.alerts.telling import Messenger
from services.alerts.webhooks import Webhooks, is_public
from services.errors import NotDelivered
from services.metrics import Metrics
from services.secrets import Secrets
from services.settings import load_settings
from services.signing import secret_of
from services.wiring import now_ms, opened_bus
from streaming.bus import Bus
from streaming.messages import NS_PER_S, TOPIC_ALERTS, Alert
from streaming.sqlite_bus import SqliteBus
from tests.services.alerts.looks import looks, rule
from tests.services.alerts.receiver import Receiver, receiving
from tests.services.processes import measured

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


class Clock:
    def __init__(self) -> None:
        self.ns = 1_750_000_000 * NS_PER_S

    def __call__(self) -> int:
        return self.ns


class Office:
    """Rules that raised alerts, and a courier."""

    def __init__(
        self,
        bus: Bus,
        *,
        private: bool = True,
        secret: str | None = SECRET,
        ca_file: Path | None = None,
    ) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.documents = DictRecord().documents
        self.book = RuleBook(self.documents, now_ns=self.clock)
        webhooks = Webhooks(secret_of(secret), allow_private=private) if secret else None
        sealed = SealedSinks(Secrets(Path("credentials"), key=None, key_file=Path("secret.key")))
        self._messenger = Messenger(
            bus, webhooks, MqttPublisher(ca_file), sealed, now_ns=self.clock
        )
        self.restart()

    def restart(self) -> None:
        self.courier = Courier(self.book, self._messenger, now_ns=self.clock, metrics=self.metrics)

    def raises(self, shown: str, *to: str, name: str = "r") -> list[str]:
        """Have a new rule raise alerts; returns the ids of their messages."""
        added = rule(name=name, to=to)
        self.book.add(added)
        ids: list[str] = []
        for one in looks(shown, claims=1):
            place = self.book.place(added, "pond")
            assert place is not None
            done = step(added, added.condition, place.watch, one)
            assert self.book.advance(place, done)
            ids += [alert.message_id for alert in done.alerts]
        return ids

    def deliver_until(self, is_so: Callable[[], bool]) -> None:
        """Deliver again and again, while time goes by."""
        for _ in range(100):
            self.courier.deliver()
            if is_so():
                return
            self.clock.ns += NS_PER_S
        pytest.fail("it did not come about")


@pytest.fixture
def bus(tmp_path: Path):
    bus = SqliteBus(tmp_path / "bus.sqlite", now_ms=now_ms)
    yield bus
    bus.close()


@pytest.fixture
def receiver():
    with receiving() as receiver:
        yield receiver


def test_a_webhook_is_signed_and_has_an_id(bus: Bus, receiver: Receiver) -> None:
    office = Office(bus)
    ids = office.raises("aa.", f"webhook:{receiver.url}/hook?site=1")
    office.courier.deliver()

    assert not office.book.outbox()
    assert receiver.taken("/hook?site=1") == ids
    headers, body = receiver.posted[0].headers, receiver.posted[0].body
    assert headers["webhook-id"] == ids[0]
    assert headers["webhook-timestamp"] == "1750000000"
    assert headers["content-type"] == "application/json"
    signed = f"{ids[0]}.1750000000.".encode() + body
    digest = hmac.new(base64.b64decode(SECRET[6:]), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert receiver.posted[0].alert.rule == "r"
    text = office.metrics.exposition().decode()
    told = {"sink": "webhook", "outcome": "delivered"}
    assert measured(text, "longwatch_alert_deliveries_total", **told) == 2
    assert measured(text, "longwatch_alert_delivery_seconds_count", sink="webhook") == 2


def test_who_is_down_delays_nobody_else_and_loses_nothing(bus: Bus, receiver: Receiver) -> None:
    office = Office(bus)
    receiver.status_of["/bad"] = 503
    ids = office.raises("a.a.", f"webhook:{receiver.url}/bad", f"webhook:{receiver.url}/good")
    others = office.raises("a.", f"webhook:{receiver.url}/bad2", name="other")

    office.deliver_until(lambda: receiver.taken("/bad").count(ids[0]) == 3)
    assert receiver.taken("/good") == ids
    assert receiver.taken("/bad2") == others
    assert set(receiver.taken("/bad")) == {ids[0]}
    assert len(office.book.outbox()) == len(ids)
    office.restart()
    del receiver.status_of["/bad"]
    office.deliver_until(lambda: not office.book.outbox())
    assert receiver.taken("/bad") == [ids[0]] * 3 + ids
    assert receiver.taken("/good") == ids


def test_of_much_that_waits_little_is_read(bus: Bus, receiver: Receiver) -> None:
    office = Office(bus)
    receiver.status_of["/bad"] = 503
    ids = office.raises("a." * 40, f"webhook:{receiver.url}/bad", f"webhook:{receiver.url}/good")
    read: list[int] = []
    every = office.documents.all

    def counted(kind: str, **bounds: Any) -> dict[str, str]:
        found = every(kind, **bounds)
        read.append(len(found) if kind == "outbox" else 0)
        return found

    office.documents.all = counted
    office.courier.deliver()
    assert receiver.taken("/good") == ids
    read.clear()
    office.courier.deliver()
    assert read == [1, 0], "the lane that waits, and no other"
    office.clock.ns += NS_PER_S
    read.clear()
    office.courier.deliver()
    assert sum(read) == 1 + READ_AT_ONCE < len(ids)


def test_the_time_between_attempts_grows_to_a_bound(bus: Bus, receiver: Receiver) -> None:
    office = Office(bus)
    receiver.status_of["/bad"] = 500
    office.raises("a", f"webhook:{receiver.url}/bad")
    tried_ns: list[int] = []
    for _ in range(2000):
        before = len(receiver.posted)
        office.courier.deliver()
        tried_ns += [office.clock.ns] * (len(receiver.posted) - before)
        office.clock.ns += NS_PER_S
    waits_s = [(b - a) // NS_PER_S for a, b in pairwise(tried_ns)]

    assert waits_s[:4] == [1, 2, 4, 8]
    assert max(waits_s) == LONGEST_WAIT_NS // NS_PER_S


def test_a_clock_that_is_set_back_keeps_nobody_waiting(bus: Bus, receiver: Receiver) -> None:
    office = Office(bus)
    receiver.status_of["/bad"] = 500
    office.raises("a", f"webhook:{receiver.url}/bad")
    office.courier.deliver()
    office.clock.ns -= 3600 * NS_PER_S
    office.courier.deliver()

    assert len(receiver.posted) == 2


def test_what_nobody_takes_for_a_week_is_given_up_and_said_so(
    bus: Bus, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(bus)
    receiver.status_of["/bad"] = 410
    ids = office.raises("a", f"webhook:{receiver.url}/bad")
    office.courier.deliver()
    office.clock.ns += KEPT_NS
    office.courier.deliver()

    assert not office.book.outbox()
    assert f"alert {ids[0]}: given up" in caplog.text
    assert "410" in caplog.text


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirection_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.status_of["/hook"] = status
    with pytest.raises(NotDelivered, match=str(status)):
        Webhooks(secret_of(SECRET), allow_private=True).post(
            f"{receiver.url}/hook", message_id="1", body=b"{}", sent_s=1
        )

    assert [one.path for one in receiver.posted] == ["/hook"]


def test_private_addresses_are_refused_before_anything_is_sent(
    bus: Bus, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(bus, private=False)
    office.raises("a", f"webhook:{receiver.url}/hook", f"webhook:{_by_name(receiver)}/hook")

    office.courier.deliver()
    assert len(office.book.outbox()) == 2
    assert receiver.posted == []
    assert "LONGWATCH_WEBHOOK_PRIVATE=true" in caplog.text
    assert "localhost is" in caplog.text


def _by_name(receiver: Receiver) -> str:
    return receiver.url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(("93.184.216.34", True), ("2606:4700::1111", True), ("10.1.2.3", False)),
        *(("127.0.0.1", False), ("169.254.169.254", False), ("100.64.0.1", False)),
        *(("::1", False), ("fe80::1%eth0", False), ("fd00::1", False), ("0.0.0.0", False)),
        *(("::ffff:10.0.0.1", False), ("2002:7f00:1::", False), ("224.0.0.1", False)),
        *(("64:ff9b::7f00:1", False), ("240.0.0.1", False)),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_without_a_secret_a_webhook_waits(bus: Bus, receiver: Receiver) -> None:
    office = Office(bus, secret=None)
    office.raises("a", f"webhook:{receiver.url}/hook", "kafka")

    office.courier.deliver()
    assert len(office.book.outbox()) == 1
    assert receiver.posted == []
    assert [bounds.end for bounds in bus.bounds(TOPIC_ALERTS).values()] == [1]


def test_the_log_is_told(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="services.alerts")
    office = Office(bus)
    ids = office.raises("a", "log")
    office.courier.deliver()

    assert f"alert {ids[0]}: new: a fox" in caplog.text


def test_a_broker_takes_alerts_in_order(kafka_servers: str, tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, kafka=kafka_servers, kafka_prefix=f"{uuid4().hex}.")
    with opened_bus(settings) as bus:
        office = Office(bus)
        ids = office.raises("a.a.a.", "kafka")
        office.deliver_until(lambda: not office.book.outbox())
        consumer = bus.consumer(TOPIC_ALERTS, group="test")
        got = []
        while len(got) < len(ids):
            got += consumer.poll(max_records=10, timeout_s=1)

    assert [one.headers[MESSAGE_ID] for one in got] == ids
    assert [Alert.model_validate_json(one.value).message_id for one in got] == ids
    assert {one.key for one in got} == {"pond"}


ALERT = {
    "alert_id": "r@1:pond:0",
    "number": 0,
    "state": "new",
    "rule": "r",
    "sentence": "a fox",
    "span": {"stream_id": "pond", "start_ns": 0, "end_ns": 10},
    "start_at": "2025-01-01T00:00:00Z",
    "end_at": "2025-01-01T00:00:01Z",
    "probability": 0.9,
    "clip_ids": ["pond:0-10:x"],
    "is_early": True,
    "ended": None,
}


def test_the_wire_form_of_an_alert() -> None:
    assert Alert.model_validate(ALERT).model_dump(mode="json") == {**ALERT, "kind": "alert/2"}


def test_an_alert_of_before_is_still_read() -> None:
    before = {name: ALERT[name] for name in ALERT if name not in ("is_early", "ended")}
    alert = Alert.model_validate({**before, "kind": "alert/1"})

    assert (alert.is_early, alert.ended) == (False, None)
