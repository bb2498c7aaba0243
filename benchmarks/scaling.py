"""What analysis costs, from one to a hundred cameras, also beyond what it keeps up with.

Cameras are replayed (`benchmarks.replay`): segments that were captured before come in real time,
from a process that does little else. `longwatch run analyse` works at them with the shipped model.
Each number of cameras has a data directory and a process of its own. When all cameras have shown a
clip, what the service uses and does is counted for a while. Seconds behind live are from the end of
a clip until it is remembered; of clips that had not been when the time was over, until then, so
that they are at least as late as is said.

    python -m benchmarks.scaling --work DIR [--steps 1 2 5 10 20 30 50 100] [--seconds 50]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.cameras import CLIP_NS, MIB, NS_PER_MS, START_S, behind_s, epochs_ns
from benchmarks.films import WORLD_RATE, WORLD_SEEDS, world_film
from benchmarks.replay import SPREAD_NS, Reel, Replay, reel_of
from benchmarks.running import Service, is_ready, listening, service, until
from benchmarks.watching import load_average, machine, room_there_was, write_result
from services.settings import load_settings
from services.wiring import now_ns, opened, opened_bus
from streaming.bus import Record
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_SEGMENTS
from tests.streaming.servers import free_port

STEPS = (1, 2, 5, 10, 20, 30, 50, 100)
SETTLE_NS = SPREAD_NS + 2 * CLIP_NS  # until a clip of each camera was due, and had its time


def play(replay: Replay, analyse: Service, until_ns: int) -> int:
    """Show what cameras show until then; return when it was."""
    while (at_ns := now_ns()) < until_ns:
        analyse.refuse_ended()
        next_ns = min(replay.publish_due(at_ns), until_ns)
        time.sleep(max(0, next_ns - now_ns()) / NS_PER_S)
    return at_ns


def step(reels: Sequence[Reel], *, cameras: int, seconds: float) -> dict[str, object]:
    """Measure with so many cameras, from an empty memory on."""
    with tempfile.TemporaryDirectory(dir=reels[0].folder) as folder, ExitStack() as stack:
        settings = load_settings(data=Path(folder))
        stores = stack.enter_context(opened(settings, make=True))
        bus = stack.enter_context(opened_bus(settings))
        health = f"127.0.0.1:{free_port()}"
        analyse = stack.enter_context(service(settings, "run", "analyse", "--health", health))
        until(lambda: is_ready(health), analyse, within_s=START_S)
        replay = Replay(reels, cameras, stores, bus, begins_ns=now_ns())
        begin_ns = play(replay, analyse, now_ns() + SETTLE_NS)
        cpu_s, own_s, published = analyse.cpu_s(), time.process_time(), len(replay.late_ns)
        end_ns = play(replay, analyse, begin_ns + round(seconds * NS_PER_S))
        cpu_s, own_s = analyse.cpu_s() - cpu_s, time.process_time() - own_s
        memory_bytes = analyse.memory_bytes()
        segments = stack.enter_context(listening(settings, TOPIC_SEGMENTS)).listen()
        clips = stack.enter_context(listening(settings, TOPIC_CLIPS)).listen()
    window_s = (end_ns - begin_ns) / NS_PER_S
    late_ns = replay.late_ns[published:]
    return {
        "cameras": cameras,
        **row_of(clips, epochs_ns(segments), cpu_s=cpu_s, begin_ns=begin_ns, end_ns=end_ns),
        "memory_mib": round(memory_bytes / MIB),
        "replay": {
            "cpu_percent_of_a_core": round(100 * own_s / window_s, 1),
            "published_late_s_p95": round(float(np.percentile(late_ns, 95)) / NS_PER_S, 3),
        },
    }


def row_of(
    clips: Sequence[Record],
    epochs: Mapping[str, int],
    *,
    cpu_s: float,
    begin_ns: int,
    end_ns: int,
) -> dict[str, object]:
    """What was done between two instants. Of seconds behind live: clips that had their time."""
    known = remembered_until(clips, end_ns)
    done = len(known) - len(remembered_until(clips, begin_ns))
    minutes = (end_ns - begin_ns) / NS_PER_S / 60
    late_s = behind_s(
        *(known, epochs),
        begin_ns=begin_ns - CLIP_NS,
        end_ns=end_ns - CLIP_NS,
        looked_ns=end_ns,
    )
    p50_s, p95_s = np.percentile(late_s, [50, 95], method="higher")
    before, after = (backlog(clips, epochs, at_ns) for at_ns in (begin_ns, end_ns))
    fallen_s = (after - before) * CLIP_NS / NS_PER_S / len(epochs)
    return {
        "cpu_s_a_camera_minute": round(cpu_s / (done * CLIP_NS / NS_PER_S / 60), 3)
        if done
        else None,
        "share_of_cores": round(cpu_s / minutes / 60 / len(os.sched_getaffinity(0)), 3),
        "clips_a_minute": {
            "due": round(len(epochs) * 60 * NS_PER_S / CLIP_NS, 1),
            "remembered": round(done / minutes, 1),
        },
        "behind_live_s": {"p50": round(float(p50_s), 3), "p95": round(float(p95_s), 3)},
        "backlog_clips": {"begin": before, "end": after},
        "falls_behind_s_a_minute": round(fallen_s / minutes, 1),
        "keeps_up": bool(p95_s < CLIP_NS / NS_PER_S),
    }


def remembered_until(clips: Sequence[Record], at_ns: int) -> list[Record]:
    return [record for record in clips if record.timestamp_ms * NS_PER_MS < at_ns]


def backlog(clips: Sequence[Record], epochs: Mapping[str, int], at_ns: int) -> int:
    """How many clips had ended by then and were not remembered."""
    known = remembered_until(clips, at_ns)
    late_s = behind_s(known, epochs, begin_ns=min(epochs.values()), end_ns=at_ns)
    return sum(late == float("inf") for late in late_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the films are kept")
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help="cameras")
    parser.add_argument("--seconds", type=float, default=50, help="for which a step is counted")
    parser.add_argument("--small", action="store_true", help="try it out, and write nothing")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    load_before = load_average()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        reels: list[Reel] = []
        for seed in WORLD_SEEDS:
            film = world_film(args.work / f"plain-{seed}.mp4", seed, has_clock=False)
            reels.append(reel_of(film.path, Path(folder, str(seed))))
        for cameras in args.steps[:2] if args.small else args.steps:
            rows.append(step(reels, cameras=cameras, seconds=10 if args.small else args.seconds))
            print(rows[-1])
    if args.small:
        return
    result = {
        "what": f"640x360 H.264 at {WORLD_RATE} fps, replayed in segments of four seconds; clips "
        "of ten. Counted is the service analyse alone; who replays shares the machine",
        "command": f"python -m benchmarks.scaling --work DIR --seconds {args.seconds:g} "
        f"--steps {' '.join(map(str, args.steps))}",
        "machine": machine(),
        **room_there_was(load_before),
        "rows": rows,
    }
    print(write_result("scaling", result))


if __name__ == "__main__":
    main()
