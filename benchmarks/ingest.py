"""How fast footage is captured and remembered, in how much memory, and how soon answers come.

A film of nano's world is repeated, packet by packet, to the hours asked for, and watched by
`longwatch up` in a process of its own while its memory is read. Then questions are asked of it.

    python -m benchmarks.ingest --work DIR [--hours 12]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from threading import Event

import av
import numpy as np
import psutil

from benchmarks.accuracy import STREAM, render_once
from benchmarks.watching import answerer, machine, write_result
from models.nano.questions import questions
from models.nano.world import write_script
from services.answer import Question
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import opened, wall_clock
from streaming.capture import Capture
from streaming.footage import FootageStore
from streaming.messages import CaptureMessage
from streaming.progress import CapturePlan

SEED, FILM_HOURS = 91_000_001, 2
LOOK_EVERY_S = 2.0
MIB = 2**20


def repeated(film: Path, path: Path, *, times: int) -> None:
    """Write a film `times` over, without encoding anything."""
    if path.exists():
        return
    unfinished = path.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w") as out:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(film)) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                end = 0
                for packet in source.demux(video):
                    if packet.pts is None or packet.dts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = stream
                    out.mux(packet)
                offset += end
    unfinished.rename(path)


def capture_speed(film: Path, *, hours: float) -> dict[str, float]:
    """Capture alone: demux, cut, store with fsync; nothing is decoded or analysed."""
    messages: list[CaptureMessage] = []
    with tempfile.TemporaryDirectory() as folder:
        plan = CapturePlan(
            stream_id=STREAM, url=str(film), epoch_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        capture = Capture(
            plan, store=FootageStore(folder), publish=messages.append, clock=wall_clock()
        )
        wall_s, cpu_s = time.monotonic(), time.process_time()
        capture.run(Event())
        wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    return {
        "segments": len(messages) - 1,
        "times_real_time": round(hours * 3600 / wall_s, 1),
        "times_real_time_of_one_core": round(hours * 3600 / cpu_s, 1),
    }


def watch_with_memory(settings: Settings, film: Path) -> dict[str, object]:
    """Run `longwatch up` to the film's end; memory of its process while hours go by."""
    with opened(settings, make=True) as stores:
        if STREAM not in stores.registry.names():
            stores.registry.add(NewStream(STREAM, str(film.resolve())))
    command = [sys.executable, "-m", "services.cli", "--data", str(settings.data), "up"]
    begun = time.monotonic()
    curve: list[list[float]] = []
    with subprocess.Popen([*command, "--until-idle", "--json"], stdout=subprocess.DEVNULL) as up:
        process = psutil.Process(up.pid)
        with opened(settings) as stores:
            while up.poll() is None:
                time.sleep(LOOK_EVERY_S)
                try:
                    used = sum(
                        one.memory_info().rss
                        for one in (process, *process.children(recursive=True))
                    )
                except psutil.NoSuchProcess:
                    break
                clips = stores.record.counts(STREAM).clips
                curve.append(
                    [round(time.monotonic() - begun, 1), clips / 360, round(used / MIB, 1)]
                )
    seconds = time.monotonic() - begun
    with opened(settings) as stores:
        hours = stores.record.counts(STREAM).clips / 360
    late = [mib for _, at_h, mib in curve if at_h > 0.25 * hours]
    return {
        "hours": round(hours, 3),
        "seconds": round(seconds, 1),
        "times_real_time": round(hours * 3600 / seconds, 1),
        "peak_mib": max(mib for _, _, mib in curve),
        "mib_after_a_quarter": [min(late), max(late)],
        "curve_s_hours_mib": curve[:: max(1, len(curve) // 200)],
    }


def answer_latency(settings: Settings, *, film_hours: float, count: int) -> dict[str, object]:
    """Seconds to the first and to the last word of answers; the model is loaded beforehand."""
    script = write_script(SEED, duration_s=film_hours * 3600)
    asked = questions(script, rng=Random(6), per_kind=count, unseen=False)
    firsts: list[float] = []
    wholes: list[float] = []
    with answerer(settings) as (ready, _):
        ready.ask(Question(asked[0].question))
        for one in asked:
            said_at: list[float] = [time.monotonic()]
            ready.ask(Question(one.question), on_text=partial(_note_time, said_at))
            firsts.append(said_at[1] - said_at[0])
            wholes.append(time.monotonic() - said_at[0])
    return {
        "questions": len(asked),
        "first_word_s": percentiles(firsts),
        "whole_answer_s": percentiles(wholes),
    }


def _note_time(times: list[float], _piece: str) -> None:
    times.append(time.monotonic())


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {
        name: round(float(np.percentile(seconds, share)), 3)
        for name, share in (("p50", 50), ("p95", 95), ("max", 100))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where footage and memory go")
    parser.add_argument("--hours", type=int, default=12, help=f"a multiple of {FILM_HOURS}")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    film = args.work / f"{SEED}.mp4"
    render_once(write_script(SEED, duration_s=FILM_HOURS * 3600), film)
    long = args.work / f"{SEED}-{args.hours}h.mp4"
    repeated(film, long, times=args.hours // FILM_HOURS)
    settings = load_settings(data=args.work / f"memory-{args.hours}h")
    shutil.rmtree(settings.data, ignore_errors=True)  # what other weights remembered
    result = {
        "what": "640x360 H.264 at 15 fps, a keyframe a second, watched as fast as it goes",
        "command": f"python -m benchmarks.ingest --work DIR --hours {args.hours}",
        "machine": machine(),
        "capture_alone": capture_speed(film, hours=FILM_HOURS),
        "end_to_end": watch_with_memory(settings, long),
        "answers": answer_latency(settings, film_hours=FILM_HOURS, count=8),
    }
    path = write_result("ingest", result)
    print(path, result["capture_alone"], result["answers"])


if __name__ == "__main__":
    main()
