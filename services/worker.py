"""The one consume loop: poll, prepare ahead, handle, decide about errors, commit last.

A handler has two halves. `prepare` (decoding, mostly) runs in a thread of its own, a few records
ahead and in their order; `handle` (the model, mostly) runs here. So both cores of a small machine
are busy, and a handler still sees its records one after another.

What an error means is looked up in `services.actions`, nowhere else. RETRY waits, longer each
time, for as long as it takes. SET_ASIDE puts the record among the dead letters and goes on. What
is left crashes the worker: `WorkerCrashed`, and nothing is committed that was not handled.

Partitions come and go while it works. What was read of one that was taken away is dropped, the
handler forgets it, and nothing more of it is committed: its next reader begins where it was
committed last. What this reader did beyond that is done again there, to the same end.
"""

import logging
import threading
from collections import deque
from collections.abc import Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from services.actions import Action, action_for
from services.errors import WorkerCrashed
from services.logs import about
from services.metrics import Metrics
from services.tracing import context_of
from streaming.bus import Bus, Consumer, Record
from streaming.messages import TOPIC_DEAD_LETTERS

T = TypeVar("T")

AHEAD = 4  # records prepared ahead: some seconds of footage each
IDLE_S = 0.2
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0

log = logging.getLogger(__name__)


class Handler(Protocol[T]):
    """What a worker does with the records of a topic."""

    def prepare(self, record: Record) -> T:
        """Do what may be done ahead, in another thread."""
        ...

    def restart_preparing(self) -> None:
        """Nothing that was prepared beyond the last handled record counts any more."""
        ...

    def handle(self, record: Record, prepared: T) -> None: ...

    def idle(self) -> None:
        """There is nothing to handle just now."""
        ...

    def set_aside(self, record: Record, error: Exception) -> None:
        """The record will never be handled: say what is missing because of that."""
        ...

    def committable(self, partition: int, next_offset: int) -> int:
        """Up to where nothing is needed any more, when all before `next_offset` is done."""
        ...

    def revoked(self, partitions: Collection[int]) -> None:
        """Others go on with these: forget them. What comes of them later begins anew."""
        ...


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    record: Record
    prepared: Future[T]


class Worker(Generic[T]):
    """Drives one handler over one topic until it is told to stop."""

    def __init__(
        self,
        name: str,
        *,
        bus: Bus,
        consumer: Consumer,
        handler: Handler[T],
        metrics: Metrics | None = None,
    ) -> None:
        self.name = name
        self._metrics = metrics or Metrics()
        self._bus = bus
        self._consumer = consumer
        self._handler = handler
        self._pending: deque[Pending[T]] = deque()
        self._condemned: Exception | None = None
        self._again_from: dict[int, int] = {}
        self._handled: dict[int, int] = {}
        self._due: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._assigned = 0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set.

        Raises:
            WorkerCrashed: an error that neither waiting nor setting aside can cure.
        """
        wait_s = FIRST_WAIT_S
        with ThreadPoolExecutor(1, thread_name_prefix=f"{self.name}-ahead") as pool:
            while not stop.is_set():
                try:
                    self._step(pool)
                    wait_s = FIRST_WAIT_S
                except Exception as error:  # noqa: BLE001 - the one place that decides
                    if self._decide(error, wait_s) is Action.RETRY:
                        stop.wait(wait_s)
                        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            self._drop(self._pending)

    def _step(self, pool: ThreadPoolExecutor) -> None:
        self._let_go()
        for partition in list(self._again_from):
            self._consumer.seek(partition, self._again_from[partition])
            del self._again_from[partition]
        self._look_ahead(pool)
        if self._pending:
            self._do_first()
        else:
            self._handler.idle()
            for partition in self._handled:
                self._look_what_is_due(partition)
        if self._due and self._consumer.commit(self._due):
            self._committed |= self._due
            self._due = {}

    def _do_first(self) -> None:
        record = self._pending[0].record
        if self._condemned is None:
            self._handler.handle(record, self._pending[0].prepared.result())
        else:
            self._put_aside(record, self._condemned)
            self._condemned = None
        self._pending.popleft()
        self._handled[record.partition] = record.offset + 1
        self._look_what_is_due(record.partition)

    def _look_what_is_due(self, partition: int) -> None:
        """Up to where nothing is needed any more; handlers may hold back what they handled."""
        offset = self._handler.committable(partition, self._handled[partition])
        if offset != self._committed.get(partition):
            self._due[partition] = offset

    def _look_ahead(self, pool: ThreadPoolExecutor) -> None:
        room = AHEAD - len(self._pending)
        if room > 0:
            timeout_s = 0.0 if self._pending else IDLE_S
            records = self._consumer.poll(max_records=room, timeout_s=timeout_s)
            self._let_go()
            assigned = len(self._consumer.assigned)
            self._metrics.partitions(self.name, assigned - self._assigned)
            self._assigned = assigned
            for record in records:
                prepared = pool.submit(self._handler.prepare, record)
                self._pending.append(Pending(record, prepared))

    def _let_go(self) -> None:
        """Forget the partitions that were taken away."""
        revoked = self._consumer.revoked()
        if not revoked:
            return
        if self._pending and self._pending[0].record.partition in revoked:
            self._condemned = None
        self._drop(pending for pending in self._pending if pending.record.partition in revoked)
        for partition in revoked:
            for known in (self._again_from, self._handled, self._due, self._committed):
                known.pop(partition, None)
        self._handler.revoked(revoked)
        log.info("%s: partitions went to others: %s", self.name, sorted(revoked))

    def _decide(self, error: Exception, wait_s: float) -> Action:
        record = self._pending[0].record if self._pending else None
        at = f"{record.topic} {record.partition}:{record.offset}" if record else "poll"
        trace = context_of(record.headers) if record else None
        said = about(
            stream_id=record.key if record else None, trace_id=trace.trace_id if trace else None
        )
        match action := action_for(error):
            case Action.RETRY:
                log.warning("%s: %s: %s; again in %.1f s", self.name, at, error, wait_s, extra=said)
                self._metrics.retried(error)
                self._rewind()
            case Action.SET_ASIDE if record is not None and self._condemned is None:
                log.warning("%s: %s: set aside: %s", self.name, at, error, extra=said)
                self._condemned = error
            case _:
                self._drop(self._pending)
                log.error("%s: %s: %s", self.name, at, error, exc_info=error, extra=said)
                raise WorkerCrashed(self.name, reason=str(error) or repr(error)) from error
        return action

    def _rewind(self) -> None:
        """Poll and prepare again what is not handled, the failed record first."""
        if self._condemned is None and self._pending:
            for pending in reversed(self._pending):
                self._again_from[pending.record.partition] = pending.record.offset
            self._drop(self._pending)
            self._handler.restart_preparing()

    def _drop(self, dropped: Iterable[Pending[T]]) -> None:
        gone = list(dropped)
        for pending in gone:
            pending.prepared.cancel()
        for pending in gone:
            if not pending.prepared.cancelled():
                pending.prepared.exception()  # one may be running: wait until it is done
        self._pending = deque(pending for pending in self._pending if pending not in gone)

    def _put_aside(self, record: Record, error: Exception) -> None:
        self._handler.set_aside(record, error)
        headers = {
            "topic": record.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
            "error": f"{type(error).__name__}: {error}",
        }
        self._bus.publish(TOPIC_DEAD_LETTERS, key=record.key, value=record.value, headers=headers)
        self._metrics.dropped(record.key, type(error).__name__)
