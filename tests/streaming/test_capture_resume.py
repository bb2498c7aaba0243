"""Capture that is killed, paused or cut off goes on with nothing lost and nothing doubled."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from threading import Event

import pytest
from pydantic import TypeAdapter

from streaming.errors import BusUnavailable, FootageFull, FootageUnavailable
from streaming.footage import FootageStore
from streaming.messages import CaptureMessage, Span, StreamEnded
from streaming.progress import CapturePosition, StreamState, position_after
from tests.streaming.capturing import EPOCH_AT, Outcome, TurnedClock, capture, shown, spans
from tests.streaming.media import film, joined

MESSAGE: TypeAdapter[CaptureMessage] = TypeAdapter(CaptureMessage)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, with half a minute left out between them and a jump back after them."""
    folder, unit = tmp_path_factory.mktemp("film"), Fraction(1, 90_000)
    film(folder / "a.ts", ticks=range(0, 360_000, 6000), b_frames=2, time_base=unit, audio="aac")
    film(folder / "b.ts", ticks=range(3_000_000, 3_360_000, 6000), b_frames=2, time_base=unit)
    joined(folder / "film.ts", folder / "a.ts", folder / "b.ts", folder / "a.ts")
    return folder / "film.ts"


@pytest.fixture(scope="module")
def undisturbed(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return capture(recording, tmp_path_factory.mktemp("undisturbed"))


class Killed(BaseException):
    """The process is gone."""


class FragileStore(FootageStore):
    """A store whose process is killed around its n-th write."""

    def __init__(self, url: str, *, dies_at: int, after_writing: bool) -> None:
        super().__init__(url)
        self._writes_left = dies_at
        self._after_writing = after_writing

    def put(self, data: bytes, *, span: Span, suffix: str = ".mp4") -> str:
        self._writes_left -= 1
        if self._writes_left < 0 and not self._after_writing:
            raise Killed
        uri = super().put(data, span=span, suffix=suffix)
        if self._writes_left < 0:
            raise Killed
        return uri


def survivors(store: FootageStore, published: list[CaptureMessage], recording: Path) -> None:
    """Run until killed, noting what was published in time."""
    with pytest.raises(Killed):
        capture(recording, store, resume_from=position_after(published), publish=published.append)


@pytest.mark.parametrize("after_writing", [False, True])
@pytest.mark.parametrize("writes", range(12))
def test_a_kill_around_any_write_changes_nothing(
    tmp_path: Path, recording: Path, undisturbed: Outcome, writes: int, after_writing: bool
) -> None:
    published: list[CaptureMessage] = []
    fragile = FragileStore(str(tmp_path), dies_at=writes, after_writing=after_writing)
    survivors(fragile, published, recording)

    again = capture(recording, tmp_path, resume_from=position_after(published))

    assert published + again.messages == undisturbed.messages
    assert again.store.segments("yard") == undisturbed.store.segments("yard")


@pytest.mark.parametrize("messages", range(1, 14))
def test_a_kill_around_any_message_changes_nothing(
    tmp_path: Path, recording: Path, undisturbed: Outcome, messages: int
) -> None:
    published: list[CaptureMessage] = []

    def publish(message: CaptureMessage) -> None:
        if len(published) == messages:
            raise Killed
        published.append(message)

    with pytest.raises(Killed):
        capture(recording, tmp_path, publish=publish)

    again = capture(recording, tmp_path, resume_from=position_after(published))

    assert published + again.messages == undisturbed.messages


def test_the_whole_recording_is_there(undisturbed: Outcome) -> None:
    assert len(undisturbed.messages) == 14
    assert len(undisturbed.gaps) == 1
    assert [number for number, _ in undisturbed.frames()] == [*range(60)] * 3


def test_twenty_real_kills_change_nothing(
    tmp_path: Path, recording: Path, undisturbed: Outcome
) -> None:
    rng, kills, rounds = random.Random(4), 0, 0
    while kills < 20:  # a capture may be done before it is killed often enough; then another
        rounds += 1
        kills += killed_until_done(recording, tmp_path / str(rounds), undisturbed, rng)


def killed_until_done(
    recording: Path, folder: Path, undisturbed: Outcome, rng: random.Random
) -> int:
    """Capture in real processes, each killed after a few writes; returns how many were."""
    folder.mkdir()
    log, kills = folder / "log", 0
    log.touch()
    while not any(isinstance(message, StreamEnded) for message in logged(log)):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.streaming.capture_process", recording, folder, log],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        for _ in range(rng.randint(1, 4)):  # it prints before and after each write
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL

    assert logged(log) == undisturbed.messages
    store = FootageStore(str(folder / "store"))
    assert store.segments("yard") == undisturbed.store.segments("yard")
    assert list(folder.rglob("*.part")) == []
    return kills


def logged(log: Path) -> list[CaptureMessage]:
    return [MESSAGE.validate_json(line) for line in log.read_text().splitlines()]


def test_a_stop_is_no_loss(tmp_path: Path, recording: Path, undisturbed: Outcome) -> None:
    stop = Event()
    published: list[CaptureMessage] = []

    def publish(message: CaptureMessage) -> None:
        published.append(message)
        if len(published) == 4:
            stop.set()

    stopped = capture(recording, tmp_path, publish=publish, stop=stop)
    again = capture(recording, tmp_path, resume_from=position_after(published))

    assert stopped.status.state is StreamState.RUNNING
    assert stopped.messages + again.messages == undisturbed.messages


def test_what_has_ended_is_not_captured_again(
    tmp_path: Path, recording: Path, undisturbed: Outcome
) -> None:
    again = capture(recording, tmp_path, resume_from=position_after(undisturbed.messages))

    assert again.messages == []
    assert again.status.state is StreamState.ENDED


def test_a_position_inside_a_segment_shows_only_the_rest(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")

    found = capture(
        tmp_path / "a.mp4",
        tmp_path / "store",
        resume_from=CapturePosition(end_ns=1_500_000_000, next_sequence=7),
    )

    first = found.segments[0]
    assert (first.span.start_ns, first.span.end_ns) == (1_500_000_000, 2_000_000_000)
    assert first.sequence == 7
    numbers = [number for number, _ in shown(found.store, first)]
    assert numbers == list(range(23, 30))  # frame 23 is the first at or after 1.5 s
    assert found.gaps == []


def test_footage_of_an_earlier_stream_of_that_name_is_not_adopted(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")
    capture(tmp_path / "a.mp4", tmp_path / "store")
    film(tmp_path / "b.mp4", frames=45, first_number=100)

    found = capture(tmp_path / "b.mp4", tmp_path / "store", epoch_at=EPOCH_AT + timedelta(days=1))

    assert [number for number, _ in found.frames()] == list(range(100, 145))
    assert len(found.store.segments("yard")) == len(found.segments) == 3


def test_a_full_disk_is_waited_for(tmp_path: Path, recording: Path, undisturbed: Outcome) -> None:
    found = capture(recording, BusyStore(str(tmp_path), refusals=5, error=FootageFull))

    assert found.messages == undisturbed.messages
    paused = [status for status in found.statuses if status.state is StreamState.PAUSED]
    assert len(paused) >= 5
    assert "is full" in paused[0].detail
    assert found.status.state is StreamState.ENDED


def test_a_read_only_directory_is_waited_for(
    tmp_path: Path, recording: Path, undisturbed: Outcome
) -> None:
    found = capture(recording, BusyStore(str(tmp_path), refusals=3, error=FootageUnavailable))

    assert found.messages == undisturbed.messages
    assert any("read-only" in status.detail for status in found.statuses)


class BusyStore(FootageStore):
    """A store that refuses its third write a few times."""

    def __init__(
        self, url: str, *, refusals: int, error: type[FootageFull] | type[FootageUnavailable]
    ) -> None:
        super().__init__(url)
        self._writes, self._refusals, self._error = 0, refusals, error

    def put(self, data: bytes, *, span: Span, suffix: str = ".mp4") -> str:
        if self._writes == 2 and self._refusals:
            self._refusals -= 1
            raise self._error(self.url, reason="read-only or no space left")
        self._writes += 1
        return super().put(data, span=span, suffix=suffix)


def test_a_wait_for_room_ends_with_a_stop(tmp_path: Path, recording: Path) -> None:
    stop = Event()
    clock = TurnedClock()
    clock.at(300, stop.set)

    found = capture(
        recording,
        BusyStore(str(tmp_path), refusals=10**9, error=FootageFull),
        clock=clock,
        stop=stop,
    )

    assert found.status.state is StreamState.PAUSED
    assert len(found.segments) == 2


def failing(times: int) -> Callable[[CaptureMessage], None]:
    left = [times]

    def publish(message: CaptureMessage) -> None:
        if left[0]:
            left[0] -= 1
            raise BusUnavailable("bus", reason="locked")

    return publish


@pytest.mark.parametrize("times", [1, 7, 40])
def test_messages_wait_for_the_bus_in_order(
    tmp_path: Path, recording: Path, undisturbed: Outcome, times: int
) -> None:
    found = capture(recording, tmp_path, publish=failing(times))

    assert found.messages == undisturbed.messages
    assert max(status.waiting_messages for status in found.statuses) > 0
    assert found.status.waiting_messages == 0


def test_a_kill_while_the_bus_was_away_loses_nothing(
    tmp_path: Path, recording: Path, undisturbed: Outcome
) -> None:
    stop, clock = Event(), TurnedClock()
    clock.at(0, stop.set)  # by then all is stored and nothing published
    capture(recording, tmp_path, publish=failing(10**9), stop=stop, clock=clock)

    again = capture(recording, tmp_path)

    assert again.messages == undisturbed.messages


def test_a_paced_recording_takes_its_own_time(tmp_path: Path, recording: Path) -> None:
    film(tmp_path / "a.mp4")
    clock = TurnedClock()

    found = capture(tmp_path / "a.mp4", tmp_path / "store", realtime=True, clock=clock)

    assert sum(clock.slept_s) == pytest.approx(59 / 15, abs=0.01)
    assert max(clock.slept_s) <= 0.2
    assert spans(found.messages)[-1][2] == 4_000_000_000


def test_a_paced_recording_does_not_wait_for_what_it_has(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")
    clock = TurnedClock()

    capture(
        tmp_path / "a.mp4",
        tmp_path / "store",
        realtime=True,
        clock=clock,
        resume_from=CapturePosition(end_ns=3_000_000_000, next_sequence=3),
    )

    assert sum(clock.slept_s) == pytest.approx(14 / 15, abs=0.01)


def test_positions_follow_from_messages(undisturbed: Outcome) -> None:
    assert position_after([]) is None
    position = position_after(undisturbed.messages[:3])
    assert position == CapturePosition(end_ns=undisturbed.segments[2].span.end_ns, next_sequence=3)
    ended = position_after(undisturbed.messages)
    assert ended is not None
    assert ended.has_ended
    assert ended.next_sequence == len(undisturbed.segments)
