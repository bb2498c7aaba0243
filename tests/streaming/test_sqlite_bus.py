"""What only a durable bus promises: it outlives processes, and says what is wrong with its file."""

import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from streaming.bus import Outgoing
from streaming.errors import BusDamaged, BusUnavailable
from streaming.sqlite_bus import SqliteBus

ROOT = Path(__file__).parents[2]
NOBODY = 65534
NOW_MS = 1_700_000_000_000

PUBLISHER = """
import sys
from pathlib import Path
from streaming.sqlite_bus import SqliteBus

path, key, count = sys.argv[1:]
bus = SqliteBus(Path(path), now_ms=lambda: 0)
for number in range(int(count)):
    offset = bus.publish("segments", key=key, value=f"{number} {'x' * 500}".encode())
    print(offset, flush=True)
"""


def opened(path: Path) -> closing[SqliteBus]:
    return closing(SqliteBus(path, now_ms=lambda: NOW_MS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.sqlite"


@contextmanager
def publisher(path: Path, *, key: str, count: int) -> Generator[subprocess.Popen[str]]:
    """Another process that publishes, and prints each offset once it is acknowledged."""
    command = [sys.executable, "-c", PUBLISHER, str(path), key, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str]) -> Iterator[int]:
    assert process.stdout is not None
    return (int(line) for line in process.stdout if line.endswith("\n"))


def test_everything_is_there_after_opening_again(path: Path):
    with opened(path) as bus:
        bus.publish_many("segments", [Outgoing("k", b"a"), Outgoing("k", b"b")])
        bus.consumer("segments", group="analyse").commit({0: 1})
    with opened(path) as bus:
        consumer = bus.consumer("segments", group="analyse")
        assert [r.value for r in consumer.poll(max_records=9, timeout_s=0)] == [b"b"]
        assert bus.publish("segments", key="k", value=b"c") == 2


def test_several_processes_share_one_bus(path: Path):
    with (
        publisher(path, key="one", count=150) as one,
        publisher(path, key="two", count=150) as two,
        opened(path) as bus,
    ):
        for number in range(150):
            bus.publish("segments", key="three", value=b"%d" % number)
        acknowledged = [*lines(one), *lines(two)]
        records = bus.consumer("segments", group="g").poll(max_records=999, timeout_s=0)
    assert [record.offset for record in records] == list(range(450))
    assert len(set(acknowledged)) == 300
    for key in ("one", "two", "three"):
        numbers = [int(r.value.split()[0]) for r in records if r.key == key]
        assert numbers == list(range(150))


def test_a_record_of_another_process_ends_a_waiting_poll(path: Path):
    with opened(path) as bus, publisher(path, key="other", count=1):
        consumer = bus.consumer("segments", group="g")
        [record] = consumer.poll(max_records=1, timeout_s=30)
    assert record.key == "other"


def test_no_acknowledged_record_is_lost_when_publishers_are_killed(path: Path):
    acknowledged: list[int] = []
    for after in (1, 40, 333):
        with publisher(path, key="k", count=10**6) as process:
            for _, offset in zip(range(after), lines(process), strict=False):
                acknowledged.append(offset)
            process.send_signal(signal.SIGKILL)
            acknowledged += lines(process)  # what it had said before it died
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with opened(path) as bus:
        end = bus.bounds("segments")[0].end
        records = bus.consumer("segments", group="g").poll(max_records=end, timeout_s=0)
        assert [record.offset for record in records] == list(range(end))
        assert set(acknowledged) <= set(range(end))
        assert end <= len(acknowledged) + 3  # at most one each was kept and not acknowledged
        assert all(record.value.endswith(b"x" * 500) for record in records)
        assert bus.publish("segments", key="k", value=b"goes on") == end


def test_a_waiting_poll_sleeps_most_of_the_time(path: Path):
    looks = 0

    def monotonic_s() -> float:
        nonlocal looks
        looks += 1
        return time.monotonic()

    with closing(SqliteBus(path, now_ms=lambda: 0, monotonic_s=monotonic_s)) as bus:
        assert bus.consumer("segments", group="g").poll(max_records=1, timeout_s=0.5) == []
    assert looks < 20


@contextmanager
def largest_file(size_bytes: int) -> Generator[None]:
    """Let no file of this process grow beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_refuses_records_and_loses_none(path: Path):
    with opened(path) as bus:
        acknowledged: list[int] = []
        with largest_file(300_000), pytest.raises(BusUnavailable, match="does not answer"):
            for _ in range(1000):
                acknowledged.append(bus.publish("segments", key="k", value=bytes(10_000)))
        assert acknowledged
        assert bus.publish("segments", key="k", value=b"room again") == len(acknowledged)
        records = bus.consumer("segments", group="g").poll(max_records=999, timeout_s=0)
    assert [record.offset for record in records] == [*acknowledged, len(acknowledged)]
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_trimming_gives_the_disk_its_room_back(path: Path):
    with opened(path) as bus:
        bus.publish_many("segments", [Outgoing("k", bytes(10_000)) for _ in range(200)])
    with closing(SqliteBus(path, now_ms=lambda: NOW_MS + 1)) as later:
        assert later.trim("segments", max_age_s=0, below={0: 199}) == 199
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize("where", ["no/such/folder/bus.sqlite", ""])
def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path, where: str):
    place = tmp_path / where
    with pytest.raises(BusUnavailable) as raised:
        SqliteBus(place, now_ms=lambda: 0)
    assert str(place) in str(raised.value)


def test_a_directory_that_may_not_be_written_is_named():
    place = Path("/proc/bus.sqlite")  # not even root makes files there
    with pytest.raises(BusUnavailable, match=re.escape(str(place))):
        SqliteBus(place, now_ms=lambda: 0)


@contextmanager
def without_rights() -> Generator[None]:
    """Do without the rights of root, which no file's mode can stop."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def anyones_folder() -> Iterator[Path]:
    """A folder that others may enter, which pytest's own are not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def test_a_file_that_may_only_be_read_is_named(anyones_folder: Path):
    path = anyones_folder / "bus.sqlite"
    with opened(path) as bus:
        bus.publish("segments", key="k", value=b"a")
    path.chmod(0o444)
    anyones_folder.chmod(0o555)
    with without_rights(), pytest.raises(BusUnavailable, match=r"readonly|unable to open"):
        SqliteBus(path, now_ms=lambda: 0)
    anyones_folder.chmod(0o755)
    path.chmod(0o644)
    with opened(path) as bus:
        assert bus.bounds("segments")[0].end == 1


def fill(path: Path) -> None:
    with opened(path) as bus:
        bus.publish_many("segments", [Outgoing("k", bytes(2_000)) for _ in range(100)])


def test_a_file_that_is_no_database_is_called_damaged(path: Path):
    path.write_text("not a database, however long it may be. " * 100)
    with pytest.raises(BusDamaged, match="not a database"):
        SqliteBus(path, now_ms=lambda: 0)
    assert path.read_text().startswith("not a database")  # and is left alone


def test_a_file_cut_short_is_called_damaged(path: Path):
    fill(path)
    path.write_bytes(path.read_bytes()[: 5 * 4096])
    with pytest.raises(BusDamaged, match="malformed"), opened(path) as bus:
        bus.consumer("segments", group="g").poll(max_records=100, timeout_s=0)


def test_a_file_with_overwritten_pages_is_called_damaged(path: Path):
    fill(path)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    with pytest.raises(BusDamaged, match="malformed"), opened(path) as bus:
        bus.consumer("segments", group="g").poll(max_records=100, timeout_s=0)


def test_the_database_of_another_program_is_left_alone(path: Path):
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE records (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(BusDamaged, match="another program"):
        SqliteBus(path, now_ms=lambda: 0)
    assert path.read_bytes() == before


def test_a_bus_of_another_format_is_refused(path: Path):
    fill(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 99")
    with pytest.raises(BusDamaged, match="format is 99"):
        SqliteBus(path, now_ms=lambda: 0)


def test_a_bus_held_by_another_writer_is_unavailable_for_now(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("streaming.sqlite_bus.BUSY_TIMEOUT_S", 0.05)
    with opened(path) as bus, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusUnavailable, match="locked"):
            bus.publish("segments", key="k", value=b"a")
        other.execute("ROLLBACK")
        assert bus.publish("segments", key="k", value=b"a") == 0


def test_processes_that_start_together_make_one_bus(path: Path):
    with (
        publisher(path, key="one", count=1) as one,
        publisher(path, key="two", count=1) as two,
        publisher(path, key="three", count=1) as three,
    ):
        offsets = [*lines(one), *lines(two), *lines(three)]
    assert sorted(offsets) == [0, 1, 2]
