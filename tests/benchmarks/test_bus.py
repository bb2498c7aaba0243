"""The benchmark of the buses has each do each job, and the report can be drawn of what it says."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from benchmarks.bus import JOBS, SQLITE, measure
from benchmarks.report import bus_rows


def test_every_bus_does_every_job(kafka_servers: str, tmp_path: Path) -> None:
    jobs = [replace(job, messages=2 * job.a_call) for job in JOBS]

    rows = measure(tmp_path, kafka_servers, jobs, turns=1, prefix=f"{uuid4().hex}.")

    assert [row["job"] for row in rows] == [job.name for job in JOBS]
    for row in rows:
        assert len(row["rivals"]) == 3
        assert all(one["messages_a_second"]["median"] > 0 for one in row["rivals"].values())
    rate = rows[0]["rivals"][SQLITE]["messages_a_second"]["median"]
    assert f"SQLite {rate:.0f}" in bus_rows({"rows": rows})[0]
