"""From photon to memory: how soon after it was filmed a clip is remembered.

Cameras of GStreamer's RTSP server show nano's world in real time, with a clock in its sky.
`longwatch up`, a process of its own, watches them with the shipped model. When a segment was
published and a clip remembered, the bus says; when the pictures were filmed, they themselves.

    python -m benchmarks.latency --work DIR [--seconds 120] [--cameras 1 5]
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.films import WORLD_RATE, world_films, world_pictures
from benchmarks.ingest import percentiles
from benchmarks.running import listening, service, until
from benchmarks.watching import load_average, machine, room_there_was, write_result
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import opened
from streaming.bus import Record
from streaming.footage import FootageStore
from streaming.messages import (
    NS_PER_S,
    TOPIC_CLIPS,
    TOPIC_SEGMENTS,
    ClipRemembered,
    SegmentReady,
    Span,
)
from tests.streaming.live_server import Camera, Clock, Film, switched_on

START_S = 180.0  # for the model to be loaded and a first clip to be remembered
NS_PER_MS = NS_PER_S // 1000


def measure(films: Sequence[Film], *, seconds: float) -> dict[str, object]:
    """Watch so many cameras, and count clips from when each of them has had one remembered."""
    lenses, cameras = {f"/{number}": film for number, film in enumerate(films)}, len(films)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        camera = stack.enter_context(switched_on(Camera(Path(folder), lenses)))
        settings = load_settings(data=Path(folder) / "data")
        with opened(settings, make=True) as stores:
            for path in lenses:
                stores.registry.add(NewStream(stream_of(path), camera.url(path)))
        segments = stack.enter_context(listening(settings, TOPIC_SEGMENTS))
        clips = stack.enter_context(listening(settings, TOPIC_CLIPS))
        with service(settings, "up", "--json") as up:
            until(
                lambda: len({record.key for record in clips.listen()}) == cameras,
                *(up,),
                within_s=START_S,
            )
            seen, cpu_s = len(clips.records), up.cpu_s()
            time.sleep(seconds)
            counted = clips.listen()[seen:]
            cpu_s = up.cpu_s() - cpu_s
        clocks = {stream_of(path): camera.clock(path) for path in lenses}
        return {
            "cameras": cameras,
            "cpu_percent_of_a_core": round(100 * cpu_s / seconds, 1),
            **delays(settings, counted, segments.listen(), clocks),
        }


def stream_of(path: str) -> str:
    return f"camera-{path[1:]}"


def delays(
    settings: Settings,
    clips: Sequence[Record],
    segments: Sequence[Record],
    clocks: dict[str, Clock],
) -> dict[str, object]:
    """What lies between the filming of a clip's pictures and its being remembered."""
    store = FootageStore(settings.footage)
    published = [
        (SegmentReady.model_validate_json(record.value), record.timestamp_ms * NS_PER_MS)
        for record in segments
        if b'"segment_ready/1"' in record.value
    ]
    to_published_s: list[float] = []
    to_remembered_s: list[float] = []
    whole_s: list[float] = []
    of_any_picture_s: list[float] = []
    for record in clips:
        remembered_ns = record.timestamp_ms * NS_PER_MS
        span = ClipRemembered.model_validate_json(record.value).span
        filmed = [
            (filmed_ns, published_ns)
            for segment, published_ns in published
            if segment.span.stream_id == span.stream_id
            and segment.span.overlaps(span.start_ns, span.end_ns)
            for filmed_ns in filmed_in(store, segment, span, clocks[span.stream_id])
        ]
        last_ns, published_ns = max(filmed)
        to_published_s.append((published_ns - last_ns) / NS_PER_S)
        to_remembered_s.append((remembered_ns - published_ns) / NS_PER_S)
        whole_s.append((remembered_ns - last_ns) / NS_PER_S)
        of_any_picture_s += [(remembered_ns - filmed_ns) / NS_PER_S for filmed_ns, _ in filmed]
    return {
        "clips": len(clips),
        "last_picture_to_remembered_s": percentiles(whole_s),
        "of_that_until_its_segment_was_published_s": percentiles(to_published_s),
        "of_that_until_the_clip_was_remembered_s": percentiles(to_remembered_s),
        "any_picture_to_remembered_s": percentiles(of_any_picture_s),
    }


def filmed_in(store: FootageStore, segment: SegmentReady, clip: Span, clock: Clock) -> list[int]:
    """When the pictures that a segment gives to a clip were filmed, by the wall clock."""
    epoch_ns = round(segment.epoch_at.timestamp() * 1e6) * 1000
    return [
        clock.filmed_ns(number, near_ns=epoch_ns + media_ns)
        for number, media_ns in world_pictures(store, segment)
        if clip.overlaps(media_ns, media_ns + 1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the films are kept")
    parser.add_argument("--seconds", type=float, default=120, help="for which each case is counted")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--small", action="store_true", help="try it out, and write nothing")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    load_before = load_average()
    rows: list[dict[str, object]] = []
    for cameras in args.cameras[:1] if args.small else args.cameras:
        films = world_films(args.work, cameras)
        rows.append(measure(films, seconds=25 if args.small else args.seconds))
        print(rows[-1])
    if args.small:
        return
    result = {
        "what": f"640x360 H.264 at {WORLD_RATE} fps over RTSP/TCP, a keyframe a second, segments "
        "of two seconds, clips of ten; cameras and service are processes on one machine",
        "command": f"python -m benchmarks.latency --work DIR --seconds {args.seconds:g} "
        f"--cameras {' '.join(map(str, args.cameras))}",
        "machine": machine(),
        **room_there_was(load_before),
        "rows": rows,
    }
    print(write_result("latency", result))


if __name__ == "__main__":
    main()
