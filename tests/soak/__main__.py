"""Hours of cameras that come and go, by hand: `python -m tests.soak --hours 8`.

Prints a line a cycle and a table in the end; half an hour and more is written to the results.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.watching import machine, write_result
from services.locks import Service
from tests.soak.living import SHIPPED_MODEL, living
from tests.soak.samples import HELD, S_PER_H, Sample, summary_of
from tests.streaming.kafka_server import cache_folder, serving

WARM_UP = 10
"""Cycles after which caches are filled and the memory is as large as it is kept."""
WORTH_KEEPING_H = 0.5
WHAT = (
    "all services as processes on Kafka and Redis, with the shipped model; four live streams over "
    "RTSP, RTMP and HLS are lost and found again in each cycle, questions are asked, what is older "
    "than two minutes is forgotten, and one stream is forgotten wholly and added anew"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--hours", type=float, default=8.0)
    hours: float = parser.parse_args().hours
    samples: dict[str, list[Sample]] = {name: [] for name in Service}
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        folder = Path(scratch)
        (folder / "kafka").mkdir()
        with (
            serving(folder / "kafka", cache=cache_folder()) as kafka,
            living(kafka, folder / "stack", SHIPPED_MODEL) as alive,
        ):
            began_s = time.monotonic()
            while time.monotonic() - began_s < hours * S_PER_H:
                alive.cycle()
                now = alive.samples()
                show(f"cycle {alive.cycles}", now)
                if alive.cycles > WARM_UP:
                    for name, sample in now.items():
                        samples[name].append(sample)
            done = {
                "cycles": alive.cycles,
                "questions": alive.answers,
                "segments_forgotten": alive.forgotten,
            }
    if not all(samples.values()):
        sys.exit(f"{alive.cycles} cycles are too few to tell: {WARM_UP} go by before any counts")
    held = {name: summary_of(one) for name, one in samples.items()}
    for name, what in held.items():
        slopes = ", ".join(f"{key} {what[key]['per_hour']:+.2f}" for key in HELD)
        sys.stdout.write(f"{name}: an hour, {slopes}\n")
    if hours >= WORTH_KEEPING_H:
        command = f"python -m tests.soak --hours {hours:g}"
        result = {"what": WHAT, "command": command, "machine": machine(), "hours": hours}
        path = write_result("soak", {**result, **done, "after_warm_up": held})
        sys.stdout.write(f"written to {path}\n")


def show(what: str, now: dict[str, Sample]) -> None:
    held = " | ".join(
        f"{name} {one.files} files {one.threads} threads {one.rss_mib:.0f} MiB"
        for name, one in now.items()
    )
    at_s = max(one.at_s for one in now.values())
    sys.stdout.write(f"{at_s:7.0f} s {what}: {held}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
