"""The worker loop: in order, prepared ahead, committed last, and one table for errors."""

import threading
from collections.abc import Callable, Collection

import pytest

from memory.errors import StoreUnavailable
from services.errors import WorkerCrashed
from services.worker import Worker
from streaming.bus import MemoryBus, Record
from streaming.errors import BadMessage
from streaming.messages import TOPIC_DEAD_LETTERS

TOPIC, GROUP = "numbers", "adders"


class Adder:
    """Adds up numbers, and stops the worker when it has seen the last one.

    `failing` says which error to raise, given the half and the number; once for each pair.
    """

    def __init__(self, failing: dict[tuple[str, int], Exception], *, last: int) -> None:
        self.handled: list[int] = []
        self.aside: list[int] = []
        self.held_back: int | None = None
        self.restarts = 0
        self.stop = threading.Event()
        self._failing = failing
        self._last = last

    def prepare(self, record: Record) -> int:
        number = int(record.value)
        self._fail("prepare", number)
        return number

    def restart_preparing(self) -> None:
        self.restarts += 1

    def handle(self, record: Record, prepared: int) -> None:
        self._fail("handle", prepared)
        self.handled.append(prepared)
        self._stop_after(prepared)

    def idle(self) -> None:
        pass

    def set_aside(self, record: Record, error: Exception) -> None:
        self.aside.append(int(record.value))
        self._stop_after(int(record.value))

    def committable(self, partition: int, next_offset: int) -> int:
        return next_offset if self.held_back is None else min(next_offset, self.held_back)

    def revoked(self, partitions: Collection[int]) -> None:
        raise AssertionError("a log of one partition takes none away")

    def _fail(self, half: str, number: int) -> None:
        if (error := self._failing.pop((half, number), None)) is not None:
            raise error

    def _stop_after(self, number: int) -> None:
        if number == self._last:
            self.stop.set()


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus(now_ms=lambda: 0)
    for number in range(10):
        bus.publish(TOPIC, key="a", value=str(number).encode())
    return bus


def run(bus: MemoryBus, adder: Adder) -> None:
    worker = Worker("adder", bus=bus, consumer=bus.consumer(TOPIC, group=GROUP), handler=adder)
    worker.run(adder.stop)


def unavailable() -> Exception:
    return StoreUnavailable("here", retry_after_s=0, detail="busy")


def unreadable() -> Exception:
    return BadMessage(TOPIC, offset=3, reason="no number")


def test_records_are_handled_in_order_and_committed(bus: MemoryBus) -> None:
    run(bus, adder := Adder({}, last=9))

    assert adder.handled == list(range(10))
    assert bus.committed(TOPIC, group=GROUP) == {0: 10}


@pytest.mark.parametrize("half", ["prepare", "handle"])
def test_what_may_heal_is_tried_again_and_nothing_is_skipped_or_doubled(
    bus: MemoryBus, half: str
) -> None:
    run(bus, adder := Adder({(half, 3): unavailable(), (half, 7): unavailable()}, last=9))

    assert adder.handled == list(range(10))
    assert adder.restarts == 2


@pytest.mark.parametrize("half", ["prepare", "handle"])
def test_what_cannot_be_handled_is_set_aside(bus: MemoryBus, half: str) -> None:
    run(bus, adder := Adder({(half, 3): unreadable()}, last=9))

    assert adder.handled == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert adder.aside == [3]
    (letter,) = bus.consumer(TOPIC_DEAD_LETTERS, group="person").poll(max_records=9, timeout_s=0)
    assert letter.value == b"3"
    assert letter.headers["topic"] == TOPIC
    assert letter.headers["offset"] == "3"
    assert "no number" in letter.headers["error"]
    assert bus.committed(TOPIC, group=GROUP) == {0: 10}


@pytest.mark.parametrize("half", ["prepare", "handle"])
def test_a_bug_stops_the_worker_and_commits_nothing_unhandled(bus: MemoryBus, half: str) -> None:
    adder = Adder({(half, 3): ZeroDivisionError("oh")}, last=9)

    with pytest.raises(WorkerCrashed, match="adder failed"):
        run(bus, adder)

    assert adder.handled == [0, 1, 2]
    assert bus.committed(TOPIC, group=GROUP) == {0: 3}


def test_a_second_worker_goes_on_where_the_first_one_stopped(bus: MemoryBus) -> None:
    run(bus, first := Adder({}, last=4))
    run(bus, second := Adder({}, last=9))

    assert first.handled + second.handled == list(range(10))


def test_what_is_still_needed_is_not_committed(bus: MemoryBus) -> None:
    adder = Adder({}, last=9)
    adder.held_back = 6

    run(bus, adder)

    assert bus.committed(TOPIC, group=GROUP) == {0: 6}


def test_setting_aside_is_tried_again_too(bus: MemoryBus) -> None:
    adder = Adder({("handle", 3): unreadable()}, last=9)
    failing_once(adder, "set_aside", unavailable)

    run(bus, adder)

    assert adder.aside == [3]
    assert adder.handled == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def failing_once(adder: Adder, name: str, error: Callable[[], Exception]) -> None:
    real, failures = getattr(adder, name), [error()]

    def fail_first(*args: object) -> None:
        if failures:
            raise failures.pop()
        real(*args)

    setattr(adder, name, fail_first)
