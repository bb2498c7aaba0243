"""Telling an MQTT broker of an alert: MQTT 5, QoS 1, not retained.

Each message is a connection of its own, which ends when the broker has said that it took the
message. MQTT 5, because with that it also says that it did not, where a user may not write there.
The user property `message-id` is the same however often a message is tried.
"""

import ssl
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from services.alerts.sinks import Broker, Sink, broker_of
from services.errors import NotDelivered

TIMEOUT_S = 5
MESSAGE_ID = "message-id"


class MqttPublisher:
    """Publishes messages. `ca_file`: who vouches for brokers; None: whom the system trusts."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file

    def publish(self, url: str, *, message_id: str, body: bytes) -> None:
        """Have a message taken: acknowledged by the broker.

        Raises:
            NotDelivered
        """
        where, broker = Sink("mqtt", url).shown, broker_of(url)
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = "application/json"
        properties.UserProperty = (MESSAGE_ID, message_id)
        said: SimpleQueue[ReasonCode] = SimpleQueue()
        client = _client(said)
        try:
            self._connect(client, broker)
            client.loop_start()
            _must_agree(said, where)
            client.publish(broker.topic, body, qos=1, properties=properties)
            _must_agree(said, where)
        except OSError as error:
            raise NotDelivered(where, reason=str(error) or type(error).__name__) from error
        finally:
            client.disconnect()
            client.loop_stop()

    def _connect(self, client: Client, broker: Broker) -> None:
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if broker.is_encrypted:
            ca_file = None if self._ca_file is None else str(self._ca_file)
            client.tls_set_context(ssl.create_default_context(cafile=ca_file))
        client.connect_timeout = TIMEOUT_S
        client.connect(broker.host, broker.port, keepalive=TIMEOUT_S)  # also for TLS to be agreed


def _client(said: SimpleQueue[ReasonCode]) -> Client:
    """A client that passes on what the broker says: whether it may connect, and took a message."""

    def hear(client: Client, data: object, about: object, reason: ReasonCode, *rest: Any) -> None:
        said.put(reason)

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5, reconnect_on_failure=False)
    client.on_connect = client.on_publish = client.on_disconnect = hear
    return client


def _must_agree(said: SimpleQueue[ReasonCode], where: str) -> None:
    try:
        reason = said.get(timeout=TIMEOUT_S)
    except Empty:
        raise NotDelivered(where, reason=f"it said nothing for {TIMEOUT_S} s") from None
    if reason.is_failure:
        raise NotDelivered(where, reason=str(reason))
