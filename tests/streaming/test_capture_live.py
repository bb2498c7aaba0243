"""Cameras go away and come back; what was not captured is a gap with a reason.

The wall clock of these tests moves only while capture waits to connect again.
"""

import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from streaming.errors import (
    FootageFull,
    SourceStalled,
    SourceUnauthorised,
    SourceUnreachable,
    StreamingError,
)
from streaming.footage import FootageStore
from streaming.messages import NS_PER_S, GapReason, Span, StreamEnded
from streaming.progress import CapturePosition, StreamState, position_after
from streaming.sources import SourceOptions
from tests.streaming.capturing import (
    EPOCH_AT,
    Outcome,
    TurnedClock,
    capture,
    leaves_no_instant_out,
    watch,
)
from tests.streaming.media import film, pieces, sound_only
from tests.streaming.servers import Answer, LivePlaylist, free_port, http_server, rtsp_refusing

FRAME_NS = NS_PER_S // 15


def test_a_camera_that_starts_anew_goes_on_in_media_time(tmp_path: Path) -> None:
    before = pieces(tmp_path, count=5, first_tick=900_000)
    after = pieces(tmp_path, count=3, first_tick=126_000, first_number=1000)
    camera, clock, stop = (
        LivePlaylist(*before[:3], to_come=[*before[3:], None]),
        TurnedClock(),
        Event(),
    )
    clock.at(100, lambda: camera.restart(*after, to_come=[None]))
    clock.at(300, stop.set)

    with http_server(camera.answer) as base:
        found = watch(f"{base}/live.m3u8", tmp_path / "store", clock, stop)

    numbers, times = zip(*found.frames(), strict=True)
    assert numbers == (*range(75), *range(1000, 1045))
    assert 100 <= times[75] / NS_PER_S < 140  # where the wall stood when the camera was found again
    for (number, media_ns), (next_number, next_ns) in pairwise(found.frames()):
        if next_number == number + 1:
            assert abs(next_ns - media_ns - FRAME_NS) <= 2
    assert {gap.reason for gap in found.gaps} == {GapReason.UNREACHABLE}
    assert leaves_no_instant_out(found)
    assert found.status.reconnects > 4
    assert found.status.state is StreamState.RECONNECTING


def test_what_is_lost_because_the_disk_was_full_says_so(tmp_path: Path) -> None:
    before = pieces(tmp_path, count=5, first_tick=900_000)
    after = pieces(tmp_path, count=3, first_tick=126_000, first_number=1000)
    camera = LivePlaylist(*before[:3], to_come=[*before[3:], None])
    clock, stop = TurnedClock(), Event()
    clock.at(100, lambda: camera.restart(*after, to_come=[None]))
    clock.at(600, stop.set)

    with http_server(camera.answer) as base:
        found = watch(
            f"{base}/live.m3u8", FullStore(str(tmp_path / "store"), clock, until_s=120), clock, stop
        )

    first, *later = found.gaps
    assert first.reason is GapReason.DISK_FULL
    assert first.span.start_ns < 100 * NS_PER_S <= 120 * NS_PER_S <= first.span.end_ns
    assert {gap.reason for gap in later} == {GapReason.UNREACHABLE}
    assert StreamState.PAUSED in {status.state for status in found.statuses}
    assert leaves_no_instant_out(found)


class FullStore(FootageStore):
    """A store that has room for one segment, and for more when some time has passed."""

    def __init__(self, url: str, clock: TurnedClock, *, until_s: float) -> None:
        super().__init__(url)
        self._clock, self._until_s, self._writes = clock, until_s, 0

    def put(self, data: bytes, *, span: Span, suffix: str = ".mp4") -> str:
        if self._writes == 1 and self._clock.elapsed_s < self._until_s:
            raise FootageFull(self.url, reason="no space left on device")
        self._writes += 1
        return super().put(data, span=span, suffix=suffix)


def test_a_playlist_that_gives_its_past_again_leaves_no_seam(tmp_path: Path) -> None:
    film_pieces = pieces(tmp_path, count=6, first_tick=900_000)
    camera = LivePlaylist(*film_pieces[:3], to_come=[film_pieces[3], None])
    clock, stop = TurnedClock(), Event()
    clock.at(1, lambda: camera.switch_on(film_pieces[4], to_come=[film_pieces[5], None]))
    clock.at(30, stop.set)

    with http_server(camera.answer) as base:
        found = watch(f"{base}/live.m3u8", tmp_path / "store", clock, stop)

    assert found.status.reconnects >= 2
    assert [number for number, _ in found.frames()] == list(range(90))
    assert found.gaps == []
    assert leaves_no_instant_out(found)


def test_a_live_playlist_that_is_closed_has_ended(tmp_path: Path) -> None:
    film_pieces = pieces(tmp_path, count=3, first_tick=900_000)
    camera, clock, stop = LivePlaylist(*film_pieces, to_come=[None]), TurnedClock(), Event()

    def close() -> None:
        camera.is_over = True
        camera.switch_on()

    clock.at(1, close)
    clock.at(100, stop.set)
    with http_server(camera.answer) as base:
        found = watch(f"{base}/live.m3u8", tmp_path / "store", clock, stop)

    assert found.status.state is StreamState.ENDED
    assert isinstance(found.messages[-1], StreamEnded)
    assert [number for number, _ in found.frames()] == list(range(45))


def test_a_camera_pushed_over_rtsp_is_captured_each_time_it_comes(tmp_path: Path) -> None:
    recipe = film(tmp_path / "a.mp4")
    url = f"rtsp://127.0.0.1:{free_port()}/camera"
    clock, stop, pushes = TurnedClock(), Event(), list[subprocess.Popen[bytes]]()

    def push() -> None:
        command = [sys.executable, "-m", "tests.streaming.push", str(tmp_path / "a.mp4"), url]
        pushes.append(subprocess.Popen(command))

    push()
    clock.at(0.1, push)
    clock.at(1.05, stop.set)  # while it waits for the second time
    listen = SourceOptions(
        open_timeout_s=20,
        read_timeout_s=5,
        extra={"rtsp_flags": "listen", "listen_timeout": "20"},
    )
    found = watch(url, tmp_path / "store", clock, stop, options=listen)
    for process in pushes:
        process.wait()

    assert [number for number, _ in found.frames()] == [*range(60), *range(60)]
    first_ns = found.frames()[0][1]
    for number, media_ns in found.frames()[:60]:
        assert abs(media_ns - first_ns - recipe.times_ns[number]) <= 12_000  # a tick of RTP's clock
    assert {gap.reason for gap in found.gaps} <= {GapReason.UNREACHABLE}
    assert leaves_no_instant_out(found)


def test_a_camera_that_falls_silent_is_stalled(tmp_path: Path) -> None:
    film(tmp_path / "a.ts", frames=30)
    body = (tmp_path / "a.ts").read_bytes()
    hang, clock, stop = Event(), TurnedClock(), Event()
    clock.at(0.1, hang.set)
    clock.at(90, stop.set)
    answers = [Answer(body, then=lambda: hang.wait(10))]

    with http_server(lambda _: answers.pop() if answers else Answer(status=404)) as base:
        found = watch(
            f"{base}/camera.ts",
            tmp_path / "store",
            clock,
            stop,
            options=SourceOptions(open_timeout_s=5, read_timeout_s=0.5),
        )

    assert [number for number, _ in found.frames()] == list(range(30))
    assert isinstance(found.statuses[-1].error, SourceStalled | StreamingError)
    assert {gap.reason for gap in found.gaps} == {GapReason.STALLED}


def test_a_dead_host_is_tried_for_ever_and_ever_more_seldom(tmp_path: Path) -> None:
    clock, stop = TurnedClock(), Event()
    clock.at(600, stop.set)

    found = watch(f"rtsp://me:hunter2@127.0.0.1:{free_port()}/1", tmp_path, clock, stop)

    tries = found.status.reconnects
    assert 25 <= tries <= 50  # 600 s at 15 to 30 s each, after a few quick ones
    assert isinstance(found.status.error, SourceUnreachable)
    assert all("hunter2" not in status.detail for status in found.statuses)
    assert {gap.reason for gap in found.gaps} == {GapReason.UNREACHABLE}
    assert len(found.gaps) <= 10
    assert leaves_no_instant_out(found)
    assert found.status.last_media_ns >= 500 * NS_PER_S


def test_streams_that_fail_together_retry_apart(tmp_path: Path) -> None:
    def waits_s(stream_id: str) -> tuple[float, ...]:
        clock, stop = TurnedClock(), Event()
        clock.at(30, stop.set)
        url = f"rtsp://127.0.0.1:{free_port()}/1"
        watch(url, tmp_path, clock, stop, stream_id=stream_id)
        return tuple(clock.slept_s)

    waits = {waits_s(f"camera-{number}") for number in range(4)}

    assert len(waits) == 4


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_wrong_credentials_are_told_and_not_tried_again(tmp_path: Path, scheme: str) -> None:
    clock, stop = TurnedClock(), Event()

    with (
        rtsp_refusing("401 Unauthorized") as rtsp,
        http_server(lambda _: Answer(status=401)) as http,
    ):
        host = rtsp if scheme == "rtsp" else http.removeprefix("http://")
        found = watch(f"{scheme}://me:hunter2@{host}/1", tmp_path, clock, stop)

    assert found.status.state is StreamState.FAILED
    assert isinstance(found.status.error, SourceUnauthorised)
    assert "correct the user name and password" in found.status.detail
    assert "hunter2" not in found.status.detail
    assert clock.slept_s == []


def test_credentials_that_worked_before_are_tried_again_slowly(tmp_path: Path) -> None:
    clock, stop = TurnedClock(), Event()
    clock.at(200, stop.set)

    with http_server(lambda _: Answer(status=401)) as base:
        found = watch(
            f"{base}/1", tmp_path, clock, stop, resume_from=CapturePosition(end_ns=NS_PER_S)
        )

    assert found.status.state is StreamState.RECONNECTING
    assert found.status.reconnects == 4


def test_a_camera_without_pictures_fails(tmp_path: Path) -> None:
    sound_only(tmp_path / "sound.ts")
    body = (tmp_path / "sound.ts").read_bytes()

    with http_server(lambda _: Answer(body)) as base:
        found = watch(f"{base}/1", tmp_path / "store", TurnedClock(), Event())

    assert found.status.state is StreamState.FAILED
    assert "no video track" in found.status.detail


def test_the_time_in_which_nothing_ran_is_a_gap(tmp_path: Path) -> None:
    film_pieces = pieces(tmp_path, count=3, first_tick=900_000)
    clock, stop = TurnedClock(), Event()
    clock.now += 3600 * NS_PER_S
    clock.at(3602, stop.set)
    camera = LivePlaylist(*film_pieces, to_come=[None])

    with http_server(camera.answer) as base:
        found = watch(
            f"{base}/live.m3u8",
            tmp_path / "store",
            clock,
            stop,
            resume_from=CapturePosition(end_ns=40 * NS_PER_S, next_sequence=10),
        )

    assert found.gaps[0].reason is GapReason.NOT_RUNNING
    assert (found.gaps[0].span.start_ns, found.gaps[0].span.end_ns) == (
        40 * NS_PER_S,
        3600 * NS_PER_S,
    )
    assert [segment.sequence for segment in found.segments] == [10, 11, 12]
    assert found.segments[0].span.start_ns == 3600 * NS_PER_S


def test_a_live_segment_that_was_stored_is_published_after_a_kill(tmp_path: Path) -> None:
    film_pieces = pieces(tmp_path, count=3, first_tick=900_000)

    def seen(publish: Any, **more: Any) -> Outcome:
        clock, stop = TurnedClock(), Event()
        clock.at(1, stop.set)
        camera = LivePlaylist(*film_pieces, to_come=[None])
        with http_server(camera.answer) as base:
            return watch(
                f"{base}/live.m3u8", tmp_path / "store", clock, stop, publish=publish, **more
            )

    published: list[Any] = []

    class Killed(BaseException):
        pass

    def publish(message: Any) -> None:
        if len(published) == 1:
            raise Killed
        published.append(message)

    with pytest.raises(Killed):
        seen(publish)
    again = seen(None, resume_from=position_after(published))

    first = again.segments[0]
    assert first.span.start_ns == published[0].span.end_ns
    assert first.sequence == 1
    assert first.uri == again.store.segments("yard")[1].uri


def test_a_recording_over_http_is_captured_like_a_file(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", options={"movflags": "faststart"})
    body = (tmp_path / "a.mp4").read_bytes()

    with http_server(lambda _: Answer(body, told_length=len(body))) as base:
        found = capture(f"{base}/a.mp4", tmp_path / "far")

    near = capture(tmp_path / "a.mp4", tmp_path / "near")
    assert found.messages == near.messages


def test_a_download_that_breaks_off_is_begun_again(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", options={"movflags": "faststart"}, frames=150)
    body = (tmp_path / "a.mp4").read_bytes()
    answers = [Answer(body[: len(body) * 2 // 3], told_length=len(body))]

    with http_server(
        lambda _: answers.pop() if answers else Answer(body, told_length=len(body))
    ) as base:
        found = capture(f"{base}/a.mp4", tmp_path / "far")

    near = capture(tmp_path / "a.mp4", tmp_path / "near")
    assert found.messages == near.messages


def test_wall_time_is_epoch_plus_media_time(tmp_path: Path) -> None:
    film_pieces = pieces(tmp_path, count=3, first_tick=900_000)
    clock, stop = TurnedClock(), Event()
    clock.at(1, stop.set)
    camera = LivePlaylist(*film_pieces, to_come=[None])

    with http_server(camera.answer) as base:
        found = watch(
            f"{base}/live.m3u8",
            tmp_path / "store",
            clock,
            stop,
            epoch_at=EPOCH_AT - timedelta(hours=2),
        )

    assert found.segments[0].span.start_ns == 7200 * NS_PER_S
    assert found.segments[0].epoch_at == EPOCH_AT - timedelta(hours=2)
