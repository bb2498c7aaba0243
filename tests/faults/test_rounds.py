"""Hit all that runs with faults, in a seeded random order; nothing is lost, nothing comes twice.

Some kinds here. Any number of rounds by hand: python -m tests.faults --rounds 22 --seed 1
"""

from itertools import islice
from pathlib import Path

import pytest

from tests.conftest import may_mount
from tests.faults.faults import FAULTS, Scheduled, schedule
from tests.faults.rounds import Round, recovery_of, run_rounds
from tests.services.conftest import MAY_NOT_MOUNT
from tests.streaming.kafka_server import LITTERED, KafkaServer

pytestmark = LITTERED

SEED = 5  # both capture and who analyses are set
KINDS = ("kill Kafka and Redis", "set clocks ahead", "set clocks back", "fill the disk")


@pytest.mark.skipif(not may_mount(), reason=MAY_NOT_MOUNT)
def test_a_full_disk_is_among_the_faults() -> None:
    assert "fill the disk" in FAULTS


def test_each_fault_comes_once_before_any_comes_again() -> None:
    names = [one.name for one in islice(schedule(SEED), 2 * len(FAULTS))]

    assert sorted(names[: len(FAULTS)]) == sorted(names[len(FAULTS) :]) == sorted(FAULTS)
    assert list(islice(schedule(SEED), 30)) == list(islice(schedule(SEED), 30))


def test_recovery_is_told_by_kind_of_fault() -> None:
    rounds = [Round("kill Redis", 1, 2, recovered_s, 9, ()) for recovered_s in (1.0, 2.0, 9.0)] + [
        Round("freeze Kafka", 1, 2, 0.0, 9, ())
    ]

    assert recovery_of(rounds) == {
        "freeze Kafka": {"rounds": 1, "p50_s": 0, "max_s": 0},
        "kill Redis": {"rounds": 3, "p50_s": 2, "max_s": 9},
    }


@pytest.mark.timeout(400)
def test_after_every_fault_all_is_remembered_once(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    kinds = [kind for kind in KINDS if kind in FAULTS]  # who may not mount has no disk to fill
    rounds = run_rounds(kafka_server, [Scheduled(kind, 1.0, SEED) for kind in kinds], tmp_path)

    assert [(one.fault, one.ended_by_themselves) for one in rounds] == [
        (kind, ()) for kind in kinds
    ]
    assert all(0 <= one.recovered_s <= one.caught_up_s for one in rounds)
