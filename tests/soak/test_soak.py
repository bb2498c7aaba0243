"""A minute or two of it; hours by hand: python -m tests.soak --hours 8"""

from pathlib import Path

import pytest

from tests.soak.living import SCRIPTED_ENGINE, Living, living
from tests.soak.samples import Sample, has_grown, slope_per_h, summary_of
from tests.streaming.kafka_server import LITTERED, KafkaServer

pytestmark = LITTERED

WARM_UP, CYCLES = 1, 8
TRIES = 3
"""A pool of connections takes in more while the machine is busy, some time; a leak goes on."""


def held(*files: int) -> list[Sample]:
    return [Sample(60.0 * number, count, 9, 80.0) for number, count in enumerate(files)]


def test_what_each_cycle_leaves_behind_has_grown() -> None:
    assert has_grown(held(20, 20, 21, 21, 22, 22, 23, 23), "files")
    assert not has_grown(held(20, 25, 21, 26, 22, 24, 20, 25), "files")
    assert not has_grown(held(20, 20, 20, 20, 22, 22, 22, 22), "files")
    assert not has_grown(held(20, 21, 22, 23, 24, 25, 26, 27), "threads")


def test_a_slope_is_told_by_the_hour_and_not_by_an_outlier() -> None:
    samples = held(10, 11, 12, 90, 14)

    assert slope_per_h(samples, "files") == 60
    assert slope_per_h(samples, "rss_mib") == 0
    assert summary_of(samples)["files"] == {"first": 10, "last": 14, "most": 90, "per_hour": 60}


@pytest.mark.timeout(600)
def test_cameras_that_come_and_go_leave_no_files_or_threads_behind(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    with living(kafka_server, tmp_path / "stack", SCRIPTED_ENGINE) as alive:
        for _ in range(WARM_UP):
            alive.cycle()
        grew = [what_grew(alive)]
        while grew[-1] and len(grew) < TRIES:
            grew.append(what_grew(alive))

    assert not grew[-1], grew


def what_grew(alive: Living) -> list[tuple[str, str, list[Sample]]]:
    samples: list[dict[str, Sample]] = []
    for _ in range(CYCLES):
        alive.cycle()
        samples.append(alive.samples())
    each = {name: [one[name] for one in samples] for name in samples[0]}
    return [
        (name, what, of_one)
        for name, of_one in each.items()
        for what in ("files", "threads")
        if has_grown(of_one, what)
    ]
