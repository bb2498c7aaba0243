"""An MQTT broker is told of every alert, in order: a real one, that comes and goes."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from services.alerts import mqtt
from services.alerts.mqtt import MESSAGE_ID, MqttPublisher
from services.errors import NotDelivered
from services.wiring import now_ms
from streaming.bus import Bus
from streaming.messages import Alert
from streaming.sqlite_bus import SqliteBus
from tests.services.alerts.mosquitto import PASSWORD, USER, Mosquitto, brokering, listening
from tests.services.alerts.receiver import receiving
from tests.services.alerts.test_courier import ALERT, Office
from tests.services.processes import measured

BODY = Alert.model_validate(ALERT).model_dump_json().encode()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with brokering(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = SqliteBus(tmp_path / "bus.sqlite", now_ms=now_ms)
    yield bus
    bus.close()


def test_a_broker_is_told_once_of_each_and_keeps_none(bus: Bus, broker: Mosquitto) -> None:
    office = Office(bus)
    with listening(broker, "site/1/+") as listener:
        ids = office.raises("a.a.", broker.url("site/1/alerts"))
        office.courier.deliver()
        assert listener.taken(len(ids)) == ids

    assert not office.book.outbox()
    assert len(ids) == 4
    for message, message_id in zip(listener.messages, ids, strict=True):
        assert (message.topic, message.qos, message.retain) == ("site/1/alerts", 1, False)
        assert message.properties is not None
        told = message.properties.json()
        assert told["UserProperty"] == [(MESSAGE_ID, message_id)]
        assert told["ContentType"] == "application/json"
        assert Alert.model_validate_json(message.payload).sentence == "a fox"
    text = office.metrics.exposition().decode()
    outcome = {"sink": "mqtt", "outcome": "delivered"}
    assert measured(text, "longwatch_alert_deliveries_total", **outcome) == 4


def test_a_broker_that_is_away_delays_and_loses_nothing(bus: Bus, broker: Mosquitto) -> None:
    office = Office(bus)
    broker.process.kill()
    with receiving() as receiver:
        ids = office.raises("a.a.a.", broker.url("away"), f"webhook:{receiver.url}/hook")
        others = office.raises("a.", broker.url("away"), name="other")
        office.courier.deliver()
        assert receiver.taken("/hook") == ids
    assert len(office.book.outbox()) == len(ids) + len(others)
    office.restart()

    broker.start()
    with listening(broker, "away") as listener:
        office.deliver_until(lambda: not office.book.outbox())
        came = listener.taken(len(ids) + len(others))
    assert [one for one in came if one in ids] == ids
    assert [one for one in came if one in others] == others


def test_a_broker_that_hangs_is_not_waited_for(
    bus: Bus, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "TIMEOUT_S", 1)
    office = Office(bus)
    ids = office.raises("a", broker.url("hung"))
    broker.process.freeze()
    try:
        office.courier.deliver()
    finally:
        broker.process.thaw()
    assert len(office.book.outbox()) == 1

    with listening(broker, "hung") as listener:
        office.deliver_until(lambda: not office.book.outbox())
        assert listener.taken(1) == ids


def test_a_user_is_let_in_over_tls(bus: Bus, broker: Mosquitto) -> None:
    office = Office(bus, ca_file=broker.certificate)
    with listening(broker, "open/1") as listener:
        ids = office.raises("a.", f"mqtt:{tls_url(broker, PASSWORD)}/open/1")
        office.courier.deliver()
        assert listener.taken(2) == ids


@pytest.mark.parametrize(
    ("password", "topic", "trusted", "reason"),
    [
        ("wrong", "open/1", True, "Not authorized|Bad user name or password"),
        (PASSWORD, "closed/1", True, "Not authorized"),
        (PASSWORD, "open/1", False, "certificate verify failed"),
    ],
)
def test_who_is_refused_is_told_why(
    broker: Mosquitto, password: str, topic: str, trusted: bool, reason: str
) -> None:
    publisher = MqttPublisher(broker.certificate if trusted else None)
    url = f"{tls_url(broker, password)}/{topic}"
    with pytest.raises(NotDelivered, match=reason) as refused:
        publisher.publish(url, message_id="1", body=BODY)

    assert quote(password, safe="") not in str(refused.value)
    assert refused.value.where == f"mqtt:mqtts://127.0.0.1:{broker.tls_port}/{topic}"


def tls_url(broker: Mosquitto, password: str) -> str:
    return f"mqtts://{USER}:{quote(password, safe='')}@127.0.0.1:{broker.tls_port}"
