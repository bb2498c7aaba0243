"""What live cameras cost, and how soon what they film is published.

A camera of GStreamer's RTSP server, a process of its own, films its clock: each picture carries its
number. The real `Capture` follows it over RTSP/TCP, several of them in one process as the service
has them. Counted is the CPU time of that process: reading, cutting, storing with fsync, publishing
to a list. Whoever publishes notes when; the stored pictures tell when they were taken.

    python -m benchmarks.live --work DIR [--seconds 60]
"""

import argparse
import gc
import resource
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.films import noisy_film
from benchmarks.ingest import percentiles
from benchmarks.watching import load_average, machine, room_there_was, write_result
from streaming.cutter import LIVE
from streaming.messages import NS_PER_S, SegmentReady
from streaming.sources import SourceOptions
from tests.streaming.capturing import shown
from tests.streaming.live_server import Camera, Clock, Film, switched_on
from tests.streaming.watching import Watch, watching

RATE, FILM_S = 25, 20
CASES = (
    ("1920x1080", (1920, 1080), 4_000_000, 1),
    ("640x360", (640, 360), 800_000, 1),
    ("640x360", (640, 360), 800_000, 5),
    ("640x360", (640, 360), 800_000, 10),
)
MIB = 2**20


def measure(film: Film, *, cameras: int, seconds: float) -> dict[str, object]:
    """Follow so many cameras, and count once all of them are stored."""
    lenses = {f"/{number}": film for number in range(cameras)}
    gc.collect()
    gc.freeze()  # what the benchmark itself brought along is not looked through while it measures
    empty_bytes = psutil.Process().memory_info().rss
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        camera = stack.enter_context(switched_on(Camera(Path(folder), lenses)))
        watches = [
            stack.enter_context(
                watching(
                    camera.url(path),
                    Path(folder) / path[1:],
                    policy=LIVE,
                    options=SourceOptions(),
                    stream_id=f"camera-{path[1:]}",
                )
            )
            for path in lenses
        ]
        for watch in watches:
            watch.until(lambda w=watch: bool(w.segments), within_s=60)
        first = [len(watch.segments) for watch in watches]
        before = resource.getrusage(resource.RUSAGE_SELF)
        wall_s = time.monotonic()
        time.sleep(seconds)
        wall_s = time.monotonic() - wall_s
        after = resource.getrusage(resource.RUSAGE_SELF)
        more_bytes = psutil.Process().memory_info().rss - empty_bytes
        last = [len(watch.segments) for watch in watches]
        user_s, system_s = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        clock = camera.clock("/0")
        late_s: list[float] = []
        wait_s: list[float] = []
        errors_ms: list[float] = []
        for watch, begin, end in zip(watches, first, last, strict=True):
            for segment, published_ns in published(watch)[begin:end]:
                filmed_ns, told_ns = times_ns(watch, clock, segment)
                late_s.append((published_ns - filmed_ns[-1]) / NS_PER_S)
                wait_s += [(published_ns - one_ns) / NS_PER_S for one_ns in filmed_ns]
                pairs = zip(filmed_ns, told_ns, strict=True)
                errors_ms += [abs(told - filmed) / 1e6 for filmed, told in pairs]
        gaps = sum(len(watch.gaps) - 1 for watch in watches)
    return {
        "cameras": cameras,
        "cpu_percent_of_a_core": round(100 * (user_s + system_s) / wall_s, 2),
        "cpu_percent_a_camera": round(100 * (user_s + system_s) / wall_s / cameras, 2),
        "of_that_in_the_kernel_percent": round(100 * system_s / (user_s + system_s), 1),
        "more_mib_than_before": round(more_bytes / MIB, 1),
        "segments": sum(last) - sum(first),
        "pictures": len(wait_s),
        "gaps": gaps,
        "filmed_to_published_s": percentiles(wait_s),
        "last_picture_of_a_segment_to_published_s": percentiles(late_s),
        "time_told_wrong_by_ms": percentiles(errors_ms),
    }


def published(watch: Watch) -> list[tuple[SegmentReady, int]]:
    """The segments, and when each was published."""
    both = zip(watch.messages, watch.published_ns, strict=True)
    return [(one, at_ns) for one, at_ns in both if isinstance(one, SegmentReady)]


def times_ns(watch: Watch, clock: Clock, segment: SegmentReady) -> tuple[list[int], list[int]]:
    """When each picture was taken, and when it is said to have been."""
    pictures = shown(watch.store, segment)
    told_ns = [watch.wall_ns(media_ns) for _, media_ns in pictures]
    filmed_ns = [
        clock.filmed_ns(number, near_ns=near_ns)
        for (number, _), near_ns in zip(pictures, told_ns, strict=True)
    ]
    return filmed_ns, told_ns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the films are kept")
    parser.add_argument("--seconds", type=float, default=60, help="for which each case is measured")
    parser.add_argument("--beside", default="", help="what else the machine does, for the record")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    load_before = load_average()
    rows: list[dict[str, object]] = []
    for name, size_px, bit_rate, cameras in CASES:
        film = noisy_film(
            args.work / f"live-{name}.h264",
            size_px=size_px,
            bit_rate=bit_rate,
            rate=RATE,
            seconds=FILM_S,
        )
        mbit_s = sum(film.sizes_bytes) * 8 / FILM_S / 1e6
        row = {"size_px": size_px, "fps": RATE, "mbit_s": round(mbit_s, 2)}
        rows.append(row | measure(film, cameras=cameras, seconds=args.seconds))
        print(rows[-1])
    result = {
        "what": "H.264 over RTSP/TCP, a keyframe a second, segments of two seconds; camera and "
        "capture are two processes on one machine",
        "command": f"python -m benchmarks.live --work DIR --seconds {args.seconds:g}",
        "machine": machine(),
        **room_there_was(load_before),
        "beside": args.beside,
        "rows": rows,
    }
    print(write_result("live", result))


if __name__ == "__main__":
    main()
