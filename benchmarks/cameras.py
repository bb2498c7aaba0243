"""What cameras cost, from one to a hundred, and how many are kept up with.

Cameras of GStreamer's RTSP server show nano's world in real time. `longwatch run capture`,
`analyse` and `index`, a process each, watch them with the shipped model. Cameras are added while
they run, in steps: 1, 2, 5, ... At each step the processor time of the services is counted, and
how far behind live each clip was remembered, from its last instant on. A clip that was not
remembered by when the next one ended counts as one that was late. The steps end where the 95th
percentile is late: what came beyond would be measured on a pile of work.

    python -m benchmarks.cameras --work DIR [--steps 1 2 5 10 20 30 40 50 100]
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.films import WORLD_RATE, world_films
from benchmarks.running import Listener, Service, listening, service, until
from benchmarks.watching import load_average, machine, room_there_was, write_result
from services.registry import NewStream
from services.settings import load_settings
from services.wiring import Stores, now_ns, opened
from streaming.bus import Record
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_SEGMENTS, ClipRemembered, SegmentReady
from tests.streaming.live_server import Camera, Film, switched_on

STEPS = (1, 2, 5, 10, 20, 30, 40, 50, 100)
SERVICES = ("capture", "analyse", "index")
CLIP_NS = 10 * NS_PER_S
START_S = 180.0  # for a model to be loaded and all cameras of a step to be captured
SETTLE_S = CLIP_NS / NS_PER_S
MIB, NS_PER_MS = 2**20, NS_PER_S // 1000

PEER = {
    "name": "NVIDIA VSS (Cosmos3 Nano FP8, vLLM)",
    "captioning_streams": 33,
    "alerting_streams": 51,
    "conditions": "one H100; chunks of 10 s, 80 frames of 448x448 a chunk, 100 output tokens for a "
    "caption, 1 for an alert; p95 of a chunk 6.44 s and 4.95 s; published by NVIDIA, not measured "
    "here. Another model by three orders of magnitude: what is compared is what is kept up with",
}


@dataclass(frozen=True, slots=True)
class Used:
    """Processor time of each service, and what it was used for."""

    at_s: float
    cpu_s: Mapping[str, float]

    @classmethod
    def by(cls, running: Mapping[str, Service]) -> "Used":
        return cls(time.monotonic(), {name: one.cpu_s() for name, one in running.items()})


def add_cameras(stores: Stores, camera: Camera, first: int, end: int) -> None:
    for number in range(first, end):
        stores.registry.add(NewStream(f"camera-{number}", camera.url(f"/{number}")))


def epochs_ns(segments: Sequence[Record]) -> dict[str, int]:
    """Since when each stream counts its media time, of those that are captured."""
    found: dict[str, int] = {}
    for record in segments:
        if record.key not in found and b'"segment_ready/1"' in record.value:
            segment = SegmentReady.model_validate_json(record.value)
            found[record.key] = round(segment.epoch_at.timestamp() * 1e6) * 1000
    return found


def behind_s(
    clips: Sequence[Record],
    epochs: Mapping[str, int],
    *,
    begin_ns: int,
    end_ns: int,
    looked_ns: int | None = None,
) -> list[float]:
    """How late each clip that ended in that time was remembered.

    One that was not yet is infinitely late, or as late as it was when somebody looked.
    """
    remembered: dict[tuple[str, int], int] = {}
    for record in clips:
        span = ClipRemembered.model_validate_json(record.value).span
        remembered[record.key, epochs[record.key] + span.end_ns] = record.timestamp_ms * NS_PER_MS
    due = [
        (stream_id, epoch_ns + media_ns)
        for stream_id, epoch_ns in epochs.items()
        for media_ns in range(
            max(1, -(-(begin_ns - epoch_ns) // CLIP_NS)) * CLIP_NS, end_ns - epoch_ns, CLIP_NS
        )
    ]
    never = float("inf") if looked_ns is None else looked_ns
    return [(remembered.get((name, end), never) - end) / NS_PER_S for name, end in due]


def step(
    running: Mapping[str, Service],
    segments: Listener,
    clips: Listener,
    *,
    cameras: int,
    seconds: float,
) -> dict[str, object]:
    """Measure with so many cameras, once all of them are captured."""
    until(lambda: len(epochs_ns(segments.listen())) == cameras, *running.values(), within_s=START_S)
    time.sleep(SETTLE_S)
    begin_ns, before = now_ns(), Used.by(running)
    time.sleep(seconds)
    end_ns, after = now_ns(), Used.by(running)
    time.sleep(CLIP_NS / NS_PER_S)  # so long has the last clip time
    late_s = behind_s(
        clips.listen(), epochs_ns(segments.listen()), begin_ns=begin_ns, end_ns=end_ns
    )
    p50_s, p95_s = np.percentile(late_s, [50, 95], method="higher")
    camera_s = cameras * (after.at_s - before.at_s)
    used_s = {name: after.cpu_s[name] - before.cpu_s[name] for name in running}
    return {
        "cameras": cameras,
        "cpu_s_a_camera_second": {
            name: round(cpu_s / camera_s, 5) for name, cpu_s in used_s.items()
        },
        "cpu_percent_of_a_core": round(
            100 * sum(used_s.values()) / (after.at_s - before.at_s), 1
        ),
        "memory_mib": round(sum(one.memory_bytes() for one in running.values()) / MIB),
        "clips": len(late_s),
        "clips_not_remembered_in_time": sum(not late < CLIP_NS / NS_PER_S for late in late_s),
        "behind_live_s": {"p50": shown_s(p50_s), "p95": shown_s(p95_s)},
        "keeps_up": bool(p95_s < CLIP_NS / NS_PER_S),
    }  # fmt: skip


def shown_s(late_s: float) -> float | None:
    """None where it was not remembered while we looked."""
    return round(float(late_s), 3) if np.isfinite(late_s) else None


def measure(
    films: Sequence[Film], steps: Sequence[int], *, seconds: float
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        lenses = {f"/{number}": film for number, film in enumerate(films)}
        camera = stack.enter_context(switched_on(Camera(Path(folder), lenses)))
        settings = load_settings(data=Path(folder) / "data")
        stores = stack.enter_context(opened(settings, make=True))
        running = {
            name: stack.enter_context(service(settings, "run", name)) for name in SERVICES
        }  # fmt: skip
        segments = stack.enter_context(listening(settings, TOPIC_SEGMENTS))
        clips = stack.enter_context(listening(settings, TOPIC_CLIPS))
        for before, cameras in zip((0, *steps), steps, strict=False):
            add_cameras(stores, camera, before, cameras)
            if not before:
                until(lambda: bool(clips.listen()), *running.values(), within_s=START_S)
            rows.append(step(running, segments, clips, cameras=cameras, seconds=seconds))
            print(rows[-1])
            if not rows[-1]["keeps_up"]:
                break
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the films are kept")
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help="cameras")
    parser.add_argument("--seconds", type=float, default=30, help="for which a step is counted")
    parser.add_argument("--small", action="store_true", help="try it out, and write nothing")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    load_before = load_average()
    steps = args.steps[:2] if args.small else args.steps
    films = world_films(args.work, max(steps))
    rows = measure(films, steps, seconds=10 if args.small else args.seconds)
    if args.small:
        return
    result = {
        "what": f"640x360 H.264 at {WORLD_RATE} fps over RTSP/TCP, clips of ten seconds; behind "
        "live: from the end of a clip until it is remembered. Cameras and services share a machine",
        "command": f"python -m benchmarks.cameras --work DIR --seconds {args.seconds:g} "
        f"--steps {' '.join(map(str, args.steps))}",
        "machine": machine(),
        **room_there_was(load_before),
        "beside": PEER,
        "rows": rows,
    }
    print(write_result("cameras", result))


if __name__ == "__main__":
    main()
