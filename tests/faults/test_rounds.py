"""Hit all that runs with faults, in a seeded random order; nothing is lost, nothing comes twice.

One round here. Any number by hand: python -m tests.faults --rounds 20 --seed 1
"""

from itertools import islice
from pathlib import Path

import pytest

from tests.faults.faults import FAULTS, schedule
from tests.faults.rounds import run_rounds
from tests.streaming.kafka_server import LITTERED, KafkaServer

pytestmark = LITTERED

ROUNDS, SEED = 1, 0  # Kafka and Redis die at once


def test_each_fault_comes_once_before_any_comes_again() -> None:
    names = [one.name for one in islice(schedule(SEED), 2 * len(FAULTS))]

    assert sorted(names[: len(FAULTS)]) == sorted(names[len(FAULTS) :]) == sorted(FAULTS)
    assert list(islice(schedule(SEED), 30)) == list(islice(schedule(SEED), 30))


@pytest.mark.timeout(400)
def test_after_every_fault_all_is_remembered_once(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    rounds = run_rounds(kafka_server, islice(schedule(SEED), ROUNDS), tmp_path)

    assert [one.ended_by_themselves for one in rounds] == [()] * ROUNDS
