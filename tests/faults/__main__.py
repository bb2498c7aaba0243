"""Rounds of faults by hand: `python -m tests.faults --rounds 22 --seed 1`."""

import argparse
import sys
import tempfile
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from benchmarks.watching import machine, write_result
from tests.faults.faults import FAULTS, schedule
from tests.faults.rounds import Round, recovery_of, run_rounds
from tests.streaming.kafka_server import cache_folder, serving

WHAT = (
    "the services as processes on Kafka and Redis, two of them analysing, one fault a round while "
    "three files are watched, two of them at the pace of a clock; every memory was that of an "
    "undisturbed run"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--rounds", type=int, default=len(FAULTS), help="by default each kind once")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        folder = Path(scratch)
        (folder / "kafka").mkdir()
        with serving(folder / "kafka", cache=cache_folder()) as kafka:
            faults = islice(schedule(asked.seed), asked.rounds)
            rounds = run_rounds(kafka, faults, folder / "stack", on_round=show)
    result = {
        "what": WHAT,
        "command": f"python -m tests.faults --rounds {asked.rounds} --seed {asked.seed}",
        "machine": machine(),
        "recovery": recovery_of(rounds),
        "rounds": [asdict(one) for one in rounds],
    }
    sys.stdout.write(f"written to {write_result('faults', result)}\n")


def show(done: Round) -> None:
    sys.stdout.write(
        f"{done.fault:22} lasted {done.lasted_s:5.1f} s, recovered {done.recovered_s:5.1f} s "
        f"later, all remembered {done.caught_up_s:5.1f} s later "
        f"{' '.join(done.ended_by_themselves)}".rstrip()
        + "\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
