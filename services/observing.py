"""Look after the engines and the streams from a thread of its own: readiness, lag, progress.

Nothing waits for it: whoever asks for health or measurements gets what the last look found.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

from memory.errors import StoreError
from memory.values import StreamSpec
from services.actions import Action, action_for
from services.following import FOLLOWED
from services.locks import Service
from services.metrics import Budget
from services.parts import Parts
from services.progress import StreamProgress, is_recording, progress_of_stream
from services.readiness import Readiness
from streaming.bus import lag
from streaming.errors import BusError, FootageError
from streaming.messages import NS_PER_S, TOPIC_SEGMENTS
from streaming.progress import StreamState

LOOK_EVERY_S = 2.0
OVER = (StreamState.ENDED, StreamState.FAILED)  # live no more

log = logging.getLogger(__name__)


class Observer:
    """Looks when it is told to. `services` are those of this process, whose lag it measures."""

    def __init__(
        self,
        parts: Parts,
        readiness: Readiness,
        services: Collection[Service],
        *,
        now_at: Callable[[], datetime],
    ) -> None:
        self._parts = parts
        self._readiness = readiness
        self._followed = [(topic, group) for topic, group in FOLLOWED if group in services]
        self._tells_streams = bool({Service.CAPTURE, Service.ANALYSE} & set(services))
        self._has_footage = Service.CAPTURE in services
        self._now_at = now_at
        self._finished: dict[tuple[str, datetime], StreamProgress] = {}

    def look(self) -> None:
        """Look once, at the bus and at the record."""
        try:
            self._look_at_bus()
        except BusError as error:
            self._note("bus", error)
        else:
            self._readiness.has("bus")
        if self._has_footage:
            self._look_at_disk()
        try:
            self._look_at_record()
        except StoreError as error:
            self._note("record", error)
        else:
            self._readiness.has("record")
        self._readiness.looked()

    def _look_at_bus(self) -> None:
        bus, metrics = self._parts.bus, self._parts.metrics
        bus.bounds(TOPIC_SEGMENTS)
        for topic, group in self._followed:
            committed = bus.committed(topic, group=group)
            metrics.lag(topic, group, lag(bus.bounds(topic), committed))

    def _look_at_disk(self) -> None:
        try:
            disk = self._parts.stores.footage.disk()
        except FootageError as error:
            log.debug("footage: %s", error)  # capture says so, and has a gap
            return
        if disk is not None:
            used, allowed = disk.used_bytes, disk.usable_bytes
            self._parts.metrics.budget(Budget.FOOTAGE_BYTES, used=used, allowed=allowed)

    def _look_at_record(self) -> None:
        record, metrics = self._parts.stores.record, self._parts.metrics
        specs = {spec.stream_id: spec for spec in record.streams()}
        if self._tells_streams:
            progress = self._progress(specs.values())
            for one in progress:
                self._tell(specs.get(one.stream_id), one)
            metrics.states(Counter(one.state for one in progress))
        metrics.keep_streams(specs)

    def _progress(self, specs: Iterable[StreamSpec]) -> list[StreamProgress]:
        """How far streams are; what has ended and is remembered to its end is not asked again."""
        record, known = self._parts.stores.record, self._finished
        found = {
            one: known.get(one) or progress_of_stream(record, spec)
            for spec in specs
            for one in [(spec.stream_id, spec.added_at)]
        }
        self._finished = {one: at for one, at in found.items() if is_finished(at)}
        return list(found.values())

    def _tell(self, spec: StreamSpec | None, one: StreamProgress) -> None:
        metrics = self._parts.metrics
        remembered_s = one.remembered_ns / NS_PER_S
        metrics.progress(
            one.stream_id, captured_s=one.captured_ns / NS_PER_S, remembered_s=remembered_s
        )
        if spec is None or spec.epoch_at is None or is_recording(spec) or one.state in OVER:
            return
        live_at = self._now_at() - timedelta(seconds=remembered_s)
        metrics.behind_live(one.stream_id, (live_at - spec.epoch_at).total_seconds())

    def _note(self, what: str, error: Exception) -> None:
        self._readiness.misses(what, str(error))
        if action_for(error) is Action.CRASH:
            log.debug("%s: %s", what, error)  # whoever works with it says so, and stops


def is_finished(one: StreamProgress) -> bool:
    return one.state == StreamState.ENDED and one.remembered_ns >= one.captured_ns
