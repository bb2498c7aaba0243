"""Telling one sink of one alert: the log, the topic `alerts`, a web server or an MQTT broker."""

import logging
from collections.abc import Callable

from services.alerts.mqtt import MESSAGE_ID, MqttPublisher
from services.alerts.sealing import SealedSinks
from services.alerts.sinks import Sink
from services.alerts.webhooks import Webhooks
from services.errors import NotDelivered
from services.logs import about
from streaming.bus import Bus
from streaming.messages import NS_PER_S, TOPIC_ALERTS, Alert

log = logging.getLogger(__name__)


class Messenger:
    """Knows how each kind of sink is told. `webhooks`: None where there is no secret to sign with.

    Each is told in the words of the wire, `alert/2` as JSON, and under the message's id, which is
    the same however often it is tried.
    """

    def __init__(
        self,
        bus: Bus,
        webhooks: Webhooks | None,
        mqtt: MqttPublisher,
        sealed: SealedSinks,
        *,
        now_ns: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._webhooks = webhooks
        self._mqtt = mqtt
        self._sealed = sealed
        self._now_ns = now_ns

    def tell(self, sink: Sink, alert: Alert) -> None:
        """Have an alert taken.

        Raises:
            DeliveryError, BusError
        """
        body, sink = alert.model_dump_json().encode(), self._sealed.whole(sink)
        match sink.kind:
            case "kafka":
                self._bus.publish(
                    TOPIC_ALERTS,
                    key=alert.span.stream_id,
                    value=body,
                    headers={MESSAGE_ID: alert.message_id},
                )
            case "mqtt":
                self._mqtt.publish(sink.url, message_id=alert.message_id, body=body)
            case "webhook":
                self._post(sink, alert.message_id, body)
            case _:
                said = about(stream_id=alert.span.stream_id)
                log.info(
                    "alert %s: %s: %s", alert.message_id, alert.state, alert.sentence, extra=said
                )

    def _post(self, sink: Sink, message_id: str, body: bytes) -> None:
        if self._webhooks is None:
            raise NotDelivered(sink.shown, reason="LONGWATCH_WEBHOOK_SECRET is not set")
        self._webhooks.post(
            sink.url, message_id=message_id, body=body, sent_s=self._now_ns() // NS_PER_S
        )
