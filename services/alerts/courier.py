"""Tell whoever is to be told of alerts, from the outbox: each until it is taken, and in order.

What a rule has for one sink is a lane: it goes one after the other. While that sink is down it
waits, longer each time, and nothing else waits for it. What nobody took for a week is given up, and
said so. Of what waits, only what stands first is read, however much it is.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from memory.values import DAY_NS
from services.alerts.book import Delivery, RuleBook
from services.alerts.sinks import parse_sink
from services.alerts.telling import Messenger
from services.errors import DeliveryError
from services.logs import about
from services.metrics import Metrics
from streaming.errors import BusError
from streaming.messages import NS_PER_S

LOOK_EVERY_S = 0.2
FIRST_WAIT_NS, LONGEST_WAIT_NS = NS_PER_S, 300 * NS_PER_S
KEPT_NS = 7 * DAY_NS
AT_ONCE = 8  # sinks that are told at the same time
READ_AT_ONCE = 20  # of a lane

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lane whose sink did not take what came first: when it is tried again, and after what."""

    until_ns: int
    waited_ns: int


class Courier:
    """Empties the outbox."""

    def __init__(
        self,
        book: RuleBook,
        messenger: Messenger,
        *,
        now_ns: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self._book = book
        self._messenger = messenger
        self._now_ns = now_ns
        self._metrics = metrics
        self._waiting: dict[str, Waiting] = {}

    def deliver(self) -> None:
        """Try what is due.

        Raises:
            StoreError
        """
        lanes = dict.fromkeys(self._book.lanes())
        self._waiting = {lane: wait for lane, wait in self._waiting.items() if lane in lanes}
        due = [lane for lane in lanes if self._is_due(lane)]
        if due:
            with ThreadPoolExecutor(min(AT_ONCE, len(due)), "deliver") as pool:
                list(pool.map(self._empty, due))

    def _is_due(self, lane: str) -> bool:
        wait = self._waiting.get(lane)
        now_ns = self._now_ns()
        # A clock that was set back leaves nothing waiting for longer than it was meant to.
        return wait is None or not now_ns < wait.until_ns <= now_ns + wait.waited_ns

    def _empty(self, lane: str) -> None:
        """Tell a sink one thing after the other, up to what it does not take."""
        while first := self._book.waiting(lane, first=READ_AT_ONCE):
            for name, delivery in first.items():
                if not self._is_done(lane, delivery):
                    return
                self._book.done(name)

    def _is_done(self, lane: str, delivery: Delivery) -> bool:
        """Tell a sink of an alert; False if it did not take that, and shall be told again."""
        sink, said = parse_sink(delivery.sink), about(stream_id=delivery.alert.span.stream_id)
        try:
            self._messenger.tell(sink, delivery.alert)
        except (DeliveryError, BusError) as error:
            if self._now_ns() - delivery.raised_ns < KEPT_NS:
                self._metrics.not_delivered(sink.kind, "failed")
                wait_ns = self._wait(lane)
                told = delivery.rule_id, error, wait_ns / NS_PER_S
                log.warning("%s: %s; again in %.1f s", *told, extra=said)
                return False
            self._metrics.not_delivered(sink.kind, "given up")
            log.error("alert %s: given up: %s", delivery.alert.message_id, error, extra=said)
        else:
            lag_s = max(0, self._now_ns() - delivery.raised_ns) / NS_PER_S
            self._metrics.delivered(sink.kind, lag_s=lag_s)
            self._waiting.pop(lane, None)
        return True

    def _wait(self, lane: str) -> int:
        """Let a lane wait, longer than before; says how long."""
        before = self._waiting.get(lane)
        wait_ns = min(2 * before.waited_ns, LONGEST_WAIT_NS) if before else FIRST_WAIT_NS
        self._waiting[lane] = Waiting(self._now_ns() + wait_ns, wait_ns)
        return wait_ns
