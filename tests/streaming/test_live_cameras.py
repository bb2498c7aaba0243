"""Real cameras over real connections: RTSP, RTMP and HLS servers, and the clock in their films.

These tests go by the wall clock. Time is told to one frame: what a picture shows, and when it was
taken, against the media time that it was given.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from streaming.cutter import LIVE
from streaming.errors import SourceUnauthorised, SourceUntrusted
from streaming.messages import NS_PER_S, GapReason
from streaming.progress import StreamState
from streaming.sources import SourceOptions
from tests.streaming.live_server import (
    Broadcaster,
    Camera,
    Film,
    broadcasting,
    clock_film,
    switched_on,
)
from tests.streaming.servers import self_signed
from tests.streaming.watching import wall_ns, watching

RATE = 30
FRAME_NS = NS_PER_S // RATE
CAMERAS = 10
MINUTE_NS = 60 * NS_PER_S


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return clock_film(tmp_path_factory.mktemp("film") / "clock.h264", rate=RATE, frames=1200)


@pytest.fixture(scope="module")
def large_film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("large")
    return clock_film(folder / "clock.h264", rate=RATE, size_px=(320, 180))


@pytest.fixture(scope="module")
def broadcaster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broadcaster]:
    with broadcasting(tmp_path_factory.mktemp("nginx")) as server:
        yield server


def test_ten_cameras_tell_the_time_to_one_frame(tmp_path: Path, film: Film) -> None:
    lenses = {f"/{number}": film for number in range(CAMERAS)}
    with switched_on(Camera(tmp_path, lenses)) as camera, ExitStack() as stack:
        watches = [
            stack.enter_context(watching(camera.url(path), tmp_path / path[1:])) for path in lenses
        ]
        late = stack.enter_context(watching(camera.url("/0"), tmp_path / "late"))  # in mid-stream
        late.until_segments(11, within_s=25)

    for watch in (*watches, late):
        errors_ns = watch.errors_ns(camera.clock("/0"))
        assert len(errors_ns) == sum(one.frame_count for one in watch.segments)  # all decode
        assert max(map(abs, errors_ns)) < FRAME_NS
        assert watch.leaves_no_instant_out()
        assert [gap.reason for gap in watch.gaps] == [GapReason.NOT_RUNNING]
        assert len(errors_ns) >= 10 * RATE


def test_a_camera_that_stops_for_a_while_leaves_a_gap_of_that_length(
    tmp_path: Path, film: Film
) -> None:
    with (
        switched_on(Camera(tmp_path, {"/1": film})) as camera,
        watching(camera.url(), tmp_path / "store") as watch,
    ):
        watch.until_segments(1)
        camera.process.freeze()
        watch.until(lambda: watch.status.state is StreamState.RECONNECTING)
        camera.process.thaw()
        watch.until_segments(2)

    assert StreamState.RECONNECTING in watch.states
    assert watch.states[-1] is StreamState.RUNNING
    lost = watch.gaps[1].span
    assert watch.gaps[1].reason is GapReason.STALLED
    assert 1.5 < (lost.end_ns - lost.start_ns) / NS_PER_S < 7
    assert max(map(abs, watch.errors_ns(camera.clock()))) < FRAME_NS
    assert watch.leaves_no_instant_out()


def test_a_camera_that_dies_comes_back_with_other_pictures(
    tmp_path: Path, film: Film, large_film: Film
) -> None:
    with (
        switched_on(Camera(tmp_path, {"/1": film})) as camera,
        watching(camera.url(), tmp_path / "store") as watch,
    ):
        watch.until_segments(2)
        camera.process.kill()
        watch.until(lambda: watch.status.state is StreamState.RECONNECTING)
        before, clock_before = list(watch.segments), camera.clock()
        camera.lenses = {"/1": large_film}
        camera.start()
        watch.until_segments(2)

    after = [one for one in watch.segments if one.width_px == 320]
    assert {one.width_px for one in before} == {192}
    assert len(after) >= 2
    assert max(map(abs, watch.errors_ns(clock_before, before))) < FRAME_NS
    assert max(map(abs, watch.errors_ns(camera.clock(), after))) < FRAME_NS
    assert (watch.status.width_px, watch.status.height_px) == (320, 180)
    assert watch.gaps[-1].reason is GapReason.UNREACHABLE
    assert watch.leaves_no_instant_out()


def test_a_camera_that_goes_away_for_a_minute_leaves_a_gap_of_a_minute(
    tmp_path: Path, film: Film
) -> None:
    """With the patience and the segments of a service, and not with those of these tests."""
    with (
        switched_on(Camera(tmp_path, {"/1": film})) as camera,
        watching(camera.url(), tmp_path / "store", options=SourceOptions(), policy=LIVE) as watch,
    ):
        watch.until_segments(2)
        camera.process.kill()
        gone_ns = wall_ns()
        watch.until(lambda: wall_ns() - gone_ns > MINUTE_NS, within_s=70)
        assert watch.status.state is StreamState.RECONNECTING
        before, clock_before = list(watch.segments), camera.clock()
        camera.start()
        back_ns = wall_ns()
        watch.until_segments(2, within_s=45)

    after = watch.segments[len(before) :]
    assert max(map(abs, watch.errors_ns(clock_before, before))) < FRAME_NS
    assert max(map(abs, watch.errors_ns(camera.clock(), after))) < FRAME_NS
    away = [gap for gap in watch.gaps if watch.wall_ns(gap.span.end_ns) > gone_ns]
    assert {gap.reason for gap in away} == {GapReason.UNREACHABLE}
    assert watch.wall_ns(away[0].span.start_ns) < gone_ns + FRAME_NS
    assert back_ns < watch.wall_ns(away[-1].span.end_ns) < back_ns + 35 * NS_PER_S
    assert watch.leaves_no_instant_out()


def test_lost_packets_harm_pictures_and_not_times(tmp_path: Path, film: Film) -> None:
    udp = SourceOptions(rtsp_transport="udp", open_timeout_s=8, read_timeout_s=1.5)
    with (
        switched_on(Camera(tmp_path, {"/1": film}, loss=0.05)) as camera,
        watching(camera.url(), tmp_path / "store", options=udp) as watch,
    ):
        watch.until_segments(4)

    frames = sum(one.frame_count for one in watch.segments)
    seconds = (watch.segments[-1].span.end_ns - watch.segments[0].span.start_ns) / NS_PER_S
    assert 0.8 * RATE * seconds < frames < RATE * seconds
    assert watch.leaves_no_instant_out()


def test_a_publisher_that_starts_anew_keeps_the_time_right(
    tmp_path: Path, film: Film, broadcaster: Broadcaster
) -> None:
    """Its stamps begin at zero again, while the server keeps us connected."""
    with ExitStack() as first, ExitStack() as watched:
        clock_before = first.enter_context(broadcaster.publishing(film))
        rtmp = watched.enter_context(watching(broadcaster.rtmp_url, tmp_path / "rtmp"))
        hls = watched.enter_context(watching(broadcaster.hls_url, tmp_path / "hls"))
        rtmp.until_segments(1)
        hls.until_segments(2)
        first.close()
        gone_ns = wall_ns()
        with broadcaster.publishing(film) as clock:
            rtmp.until_segments(3)
            assert rtmp.status.reconnects == 0

    before = [one for one in rtmp.segments if rtmp.wall_ns(one.span.start_ns) < gone_ns]
    assert max(map(abs, rtmp.errors_ns(clock_before, before))) < FRAME_NS
    assert max(map(abs, rtmp.errors_ns(clock, rtmp.segments[len(before) :]))) < FRAME_NS
    assert rtmp.gaps[1].reason is GapReason.SOURCE_JUMPED
    pieces = [one for one in hls.segments if hls.wall_ns(one.span.start_ns) < gone_ns - NS_PER_S]
    assert max(map(abs, hls.errors_ns(clock_before, pieces))) < 2 * NS_PER_S  # told by the piece
    for watch in (rtmp, hls):
        assert watch.leaves_no_instant_out()


def test_an_rtmp_server_that_dies_is_found_again(tmp_path: Path, film: Film) -> None:
    with broadcasting(tmp_path) as server, ExitStack() as published:
        watch = published.enter_context(watching(server.rtmp_url, tmp_path / "store"))
        clock_before = published.enter_context(server.publishing(film))  # which we awaited
        watch.until_segments(2)
        server.process.kill()
        watch.until(lambda: watch.status.state is StreamState.RECONNECTING)
        before = list(watch.segments)
        server.start()
        clock = published.enter_context(server.publishing(film))
        watch.until_segments(2, within_s=40)

    after = watch.segments[len(before) :]
    assert max(map(abs, watch.errors_ns(clock_before, before))) < FRAME_NS
    assert max(map(abs, watch.errors_ns(clock, after))) < FRAME_NS
    assert GapReason.UNREACHABLE in {gap.reason for gap in watch.gaps}
    assert watch.leaves_no_instant_out()


def test_pictures_that_change_size_in_one_connection_begin_a_segment(
    tmp_path: Path, film: Film, large_film: Film, broadcaster: Broadcaster
) -> None:
    with watching(broadcaster.rtmp_url, tmp_path / "store") as watch:
        with broadcaster.publishing(film) as clock_before:
            watch.until_segments(2)
        with broadcaster.publishing(large_film) as clock:
            watch.until(lambda: len([one for one in watch.segments if one.width_px == 320]) > 1)
        assert watch.status.reconnects == 0

    before = [one for one in watch.segments if one.width_px == 192]
    after = watch.segments[len(before) :]
    assert {one.width_px for one in after} == {320}
    assert max(map(abs, watch.errors_ns(clock_before, before))) < FRAME_NS
    errors_ns = watch.errors_ns(clock, after)
    assert len(errors_ns) == sum(one.frame_count for one in after)  # all decode
    assert max(map(abs, errors_ns)) < FRAME_NS
    assert watch.leaves_no_instant_out()


@pytest.mark.parametrize("login", ["watcher:wr0ng", "watcher:s3cret"])
def test_a_camera_lets_in_who_knows_its_password(
    tmp_path: Path, film: Film, login: str, caplog: pytest.LogCaptureFixture
) -> None:
    is_right = login == "watcher:s3cret"
    camera = Camera(tmp_path, {"/1": film}, login=("watcher", "s3cret"))
    with (
        switched_on(camera),
        watching(camera.url(login=login), tmp_path / "store") as watch,
    ):
        if is_right:
            watch.until_segments(1)
        else:
            watch.until(lambda: watch.status.state is StreamState.FAILED)
            assert isinstance(watch.status.error, SourceUnauthorised)

    kept = b"".join(file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file())
    told = f"{watch.messages} {watch.statuses} {caplog.text}"
    assert login.partition(":")[2] not in told + kept.decode(errors="replace")
    assert bool(kept) is is_right


def test_connecting_again_leaves_nothing_behind(
    tmp_path: Path, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.capture.RETRY_FIRST_S", 0.02)
    ourselves, lenses = psutil.Process(), {f"/{number}": film for number in range(10)}

    def used() -> tuple[int, int]:
        return ourselves.num_fds(), ourselves.num_threads()

    with switched_on(Camera(tmp_path, lenses)) as camera, ExitStack() as stack:
        watches = [
            stack.enter_context(watching(camera.url(path), tmp_path / path[1:])) for path in lenses
        ]

        def connect_again(times: int) -> None:
            for _ in range(times):
                reconnects = [watch.status.reconnects for watch in watches]
                camera.drop_all()
                for watch, before in zip(watches, reconnects, strict=True):
                    watch.until(lambda w=watch, n=before: w.status.reconnects > n)
                    watch.until(lambda w=watch: w.status.state is StreamState.RUNNING)

        for watch in watches:
            watch.until(lambda w=watch: bool(w.segments))
        connect_again(1)
        before, before_bytes = used(), ourselves.memory_info().rss
        connect_again(2)
        after, after_bytes = used(), ourselves.memory_info().rss

    assert sum(watch.status.reconnects for watch in watches) >= 30
    assert after == before
    assert after_bytes - before_bytes < 16 * 2**20


@pytest.mark.parametrize("trusts", ["any", "this", "others", "nobody"])
def test_a_camera_with_a_certificate_of_its_own(tmp_path: Path, film: Film, trusts: str) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    camera = Camera(tmp_path, {"/1": film}, login=("watcher", "s3cret"), has_tls=True)
    with switched_on(camera):
        authorities = {
            "any": None,
            "this": camera.certificate,
            "others": self_signed(stranger)[0],
            "nobody": tmp_path / "missing.pem",
        }
        options = SourceOptions(open_timeout_s=8, read_timeout_s=1.5, ca_file=authorities[trusts])
        url = camera.url(login="watcher:s3cret")
        with watching(url, tmp_path / "store", options=options) as watch:
            if trusts in ("any", "this"):
                watch.until_segments(1)
                return
            watch.until(lambda: watch.status.state is StreamState.FAILED)

    assert isinstance(watch.status.error, SourceUntrusted)
    assert ("self-signed" if trusts == "others" else "cannot be read") in watch.status.detail
    assert "s3cret" not in f"{watch.statuses} {camera.process.log.read_text()}"
