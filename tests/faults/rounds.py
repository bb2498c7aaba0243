"""Rounds of faults, one after the other, and the memory after all of them."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from memory.dump import dump_lines
from tests.faults.faults import Scheduled
from tests.faults.memories import check_memory, films, plans_of, undisturbed
from tests.faults.topology import running
from tests.streaming.kafka_server import KafkaServer


@dataclass(frozen=True, slots=True)
class Round:
    """What happened in one round."""

    fault: str
    after_s: float
    """How long the round had lasted when the fault came."""
    lasted_s: float
    """From the fault to when what had died was started again, or what had frozen thawed."""
    recovered_s: float
    """From then on until every service was ready, and no whole clip waited to be remembered."""
    caught_up_s: float
    """From the end of the fault until the films were over and remembered, and every lag 0."""
    ended_by_themselves: tuple[str, ...]
    """Services that ended although nobody killed them."""


def recovery_of(rounds: Iterable[Round]) -> dict[str, dict[str, float]]:
    """How long recovering from each kind of fault took, by the kind's name."""
    times_s: dict[str, list[float]] = {}
    for one in rounds:
        times_s.setdefault(one.fault, []).append(one.recovered_s)
    return {
        fault: {"rounds": len(of_one), "p50_s": median(of_one), "max_s": max(of_one)}
        for fault, of_one in sorted(times_s.items())
    }


def run_rounds(
    kafka: KafkaServer,
    faults: Iterable[Scheduled],
    folder: Path,
    *,
    on_round: Callable[[Round], None] = lambda round: None,
) -> list[Round]:
    """Let the faults come, one a round; fail where the memory is not what it should be."""
    fast, slow = films(folder / "films")
    schedule = [(fault, plans_of(number, fast, slow)) for number, fault in enumerate(faults)]
    plans = [plan for _, added in schedule for plan in added]
    rounds: list[Round] = []
    with ThreadPoolExecutor(1) as aside, running(kafka, folder) as topology:
        expected = aside.submit(undisturbed, plans, folder / "undisturbed")
        for fault, added in schedule:
            topology.watch(added)
            time.sleep(fault.after_s)
            began_s = time.monotonic()
            fault.strike(topology)
            lasted_s = time.monotonic() - began_s
            topology.ended_by_themselves.clear()
            recovered_s = topology.until_recovered()
            caught_up_s = recovered_s + topology.until_caught_up()
            check_memory(topology.stores, added)
            done = Round(
                fault.name,
                round(fault.after_s, 1),
                round(lasted_s, 1),
                round(recovered_s, 1),
                round(caught_up_s, 1),
                tuple(topology.ended_by_themselves),
            )
            rounds.append(done)
            on_round(done)
        check_memory(topology.stores, plans)
        assert set(topology.lags().values()) == {0}
        assert topology.stores.record.counts().clips == len(topology.stores.record.clip_ids())
        assert list(dump_lines(topology.stores.record)) == expected.result()
    return rounds
