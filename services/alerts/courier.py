"""Tell whoever is to be told of alerts, from the outbox: each until it is taken, and in order.

What a rule has for one sink goes one after the other. While that sink is down it waits, longer each
time, and nothing else waits for it. What nobody took for a week is given up, and said so.
"""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from memory.values import DAY_NS
from services.alerts.book import Delivery, RuleBook
from services.alerts.rules import Sink, parse_sink
from services.alerts.webhooks import Webhooks
from services.errors import DeliveryError, NotDelivered
from services.logs import about
from services.metrics import Metrics
from streaming.bus import Bus
from streaming.errors import BusError
from streaming.messages import NS_PER_S, TOPIC_ALERTS, Alert

LOOK_EVERY_S = 0.5
FIRST_WAIT_NS, LONGEST_WAIT_NS = NS_PER_S, 300 * NS_PER_S
KEPT_NS = 7 * DAY_NS
AT_ONCE = 8  # sinks that are told at the same time
MESSAGE_ID = "message-id"

log = logging.getLogger(__name__)

Lane = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lane whose sink did not take what came first: when it is tried again, and after what."""

    until_ns: int
    waited_ns: int


class Courier:
    """Empties the outbox. `webhooks` is None where there is no secret to sign with."""

    def __init__(
        self,
        book: RuleBook,
        bus: Bus,
        webhooks: Webhooks | None,
        *,
        now_ns: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self._book = book
        self._bus = bus
        self._webhooks = webhooks
        self._now_ns = now_ns
        self._metrics = metrics
        self._waiting: dict[Lane, Waiting] = {}

    def deliver(self) -> int:
        """Try what is due, and say how much is still in the outbox.

        Raises:
            StoreError
        """
        lanes: dict[Lane, list[tuple[str, Delivery]]] = {}
        for name, delivery in self._book.outbox().items():
            lanes.setdefault(delivery.lane, []).append((name, delivery))
        self._waiting = {lane: wait for lane, wait in self._waiting.items() if lane in lanes}
        due = [lane for lane in lanes if self._is_due(lane)]
        if due:
            with ThreadPoolExecutor(min(AT_ONCE, len(due)), "deliver") as pool:
                left = list(pool.map(lambda lane: self._empty(lane, lanes[lane]), due))
        else:
            left = []
        return sum(left) + sum(len(some) for lane, some in lanes.items() if lane not in due)

    def _is_due(self, lane: Lane) -> bool:
        wait = self._waiting.get(lane)
        now_ns = self._now_ns()
        # A clock that was set back leaves nothing waiting for longer than it was meant to.
        return wait is None or not now_ns < wait.until_ns <= now_ns + wait.waited_ns

    def _empty(self, lane: Lane, deliveries: Iterable[tuple[str, Delivery]]) -> int:
        """Tell a sink one thing after the other, up to what it does not take; say what is left."""
        left = list(deliveries)
        while left:
            name, delivery = left[0]
            sink = parse_sink(delivery.sink)
            said = about(stream_id=delivery.alert.span.stream_id)
            try:
                self._tell(sink, delivery.alert)
            except (DeliveryError, BusError) as error:
                if self._now_ns() - delivery.raised_ns < KEPT_NS:
                    self._metrics.not_delivered(sink.kind, "failed")
                    self._wait(lane, error, said)
                    return len(left)
                self._metrics.not_delivered(sink.kind, "given up")
                log.error("alert %s: given up: %s", delivery.alert.message_id, error, extra=said)
            else:
                lag_s = max(0, self._now_ns() - delivery.raised_ns) / NS_PER_S
                self._metrics.delivered(sink.kind, lag_s=lag_s)
                self._waiting.pop(lane, None)
            self._book.done(name)
            left.pop(0)
        return 0

    def _wait(self, lane: Lane, error: Exception, said: dict[str, str]) -> None:
        before = self._waiting.get(lane)
        wait_ns = min(2 * before.waited_ns, LONGEST_WAIT_NS) if before else FIRST_WAIT_NS
        self._waiting[lane] = Waiting(self._now_ns() + wait_ns, wait_ns)
        log.warning("%s: %s; again in %.1f s", lane[0], error, wait_ns / NS_PER_S, extra=said)

    def _tell(self, sink: Sink, alert: Alert) -> None:
        match sink.kind:
            case "kafka":
                self._bus.publish(
                    TOPIC_ALERTS,
                    key=alert.span.stream_id,
                    value=alert.model_dump_json().encode(),
                    headers={MESSAGE_ID: alert.message_id},
                )
            case "webhook":
                if self._webhooks is None:
                    raise NotDelivered(sink.shown, reason="LONGWATCH_WEBHOOK_SECRET is not set")
                self._webhooks.post(
                    sink.url,
                    message_id=alert.message_id,
                    body=alert.model_dump_json().encode(),
                    sent_s=self._now_ns() // NS_PER_S,
                )
            case _:
                said = about(stream_id=alert.span.stream_id)
                log.info(
                    "alert %s: %s: %s", alert.message_id, alert.state, alert.sentence, extra=said
                )
