"""The durable `Bus` of one machine: a SQLite file that several threads and processes share.

Write-ahead log, synchronous=NORMAL: what `publish` returned survives any death of the process;
a loss of power may take the last moments, never the file. One writer at a time; others wait for
it, at most `BUSY_TIMEOUT_S`.

`poll` sleeps. A record published by this process wakes it at once; for those of other processes
it looks again every few milliseconds at first, then 20 times a second, which costs next to no
time of the processor.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

from streaming.bus import (
    NO_HEADERS,
    Bounds,
    LogConsumer,
    Outgoing,
    Record,
    check_name,
    check_record,
    oldest_kept_ms,
)
from streaming.errors import BusClosed, BusDamaged, BusError, BusUnavailable

BUSY_TIMEOUT_S = 5.0
WAL_TRIES, WAL_WAIT_S = 100, 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.05

APPLICATION_ID = 0x4C574255  # LWBU: tells our file from anyone's
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE records (
    topic TEXT NOT NULL,
    "offset" INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    headers TEXT NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, "offset")
);
CREATE TABLE topics (
    topic TEXT PRIMARY KEY,
    end_offset INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE committed (
    topic TEXT NOT NULL,
    group_name TEXT NOT NULL,
    "offset" INTEGER NOT NULL,
    PRIMARY KEY (topic, group_name)
) WITHOUT ROWID;
"""
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SqliteBus:
    """A bus in one file. May be used from any thread."""

    def __init__(
        self,
        path: Path,
        *,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._changed = Condition()  # also guards the connection
        self._connection: sqlite3.Connection | None = None
        with _translated(path):
            self._connection = _connect(path)

    def publish(
        self, topic: str, *, key: str, value: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        return self.publish_many(topic, [Outgoing(key, value, headers)])[0]

    def publish_many(self, topic: str, records: Iterable[Outgoing]) -> list[int]:
        checked = [check_record(topic, record) for record in records]
        with self._writing(topic) as connection:
            first, now_ms = _bounds(connection, topic).end, self._now_ms()
            end = first + len(checked)
            rows = (
                (topic, offset, new.key, new.value, json.dumps(dict(new.headers)), now_ms)
                for offset, new in enumerate(checked, first)
            )
            connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.execute("INSERT OR REPLACE INTO topics VALUES (?, ?)", (topic, end))
            self._changed.notify_all()
        return list(range(first, end))

    def consumer(self, topic: str, *, group: str) -> LogConsumer:
        return LogConsumer(self, topic, group=group)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        with self._reading(topic) as connection:
            return {0: _bounds(connection, topic)}

    def read(self, topic: str, *, first: int, limit: int, timeout_s: float) -> list[Record]:
        deadline_s = self._monotonic_s() + timeout_s
        pause_s = FIRST_PAUSE_S
        with self._reading(topic) as connection:
            while True:
                rows = connection.execute(
                    'SELECT "offset", key, value, headers, timestamp_ms FROM records'
                    ' WHERE topic = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?',
                    (topic, first, limit),
                ).fetchall()
                remaining_s = deadline_s - self._monotonic_s()
                if rows or remaining_s <= 0:
                    return [
                        Record(topic, 0, offset, key, value, json.loads(headers), timestamp_ms)
                        for offset, key, value, headers, timestamp_ms in rows
                    ]
                self._changed.wait(min(pause_s, remaining_s))
                self._open_connection()  # raises if the bus was closed meanwhile
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def committed(self, topic: str, *, group: str) -> dict[int, int]:
        with self._reading(topic) as connection:
            row = connection.execute(
                'SELECT "offset" FROM committed WHERE topic = ? AND group_name = ?', (topic, group)
            ).fetchone()
        return {} if row is None else {0: row[0]}

    def commit(self, topic: str, *, group: str, offset: int) -> None:
        with self._writing(topic) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO committed VALUES (?, ?, ?)", (topic, group, offset)
            )

    def trim(self, topic: str, *, max_age_s: float, below: Mapping[int, int] | None = None) -> int:
        with self._writing(topic) as connection:
            held = _bounds(connection, topic)
            first_kept = connection.execute(
                'SELECT min("offset") FROM records WHERE topic = ? AND timestamp_ms >= ?',
                (topic, oldest_kept_ms(self._now_ms(), max_age_s)),
            ).fetchone()[0]
            begin_after = held.end if first_kept is None else first_kept
            if below is not None:
                begin_after = max(held.begin, min(begin_after, below.get(0, held.begin)))
            # Where nothing is left, `topics` alone knows the end offset: it must know the topic.
            connection.execute("INSERT OR IGNORE INTO topics VALUES (?, ?)", (topic, held.end))
            connection.execute(
                'DELETE FROM records WHERE topic = ? AND "offset" < ?', (topic, begin_after)
            )
        with self._reading(topic) as connection:
            connection.executescript("PRAGMA incremental_vacuum")  # `execute` frees one page only
        return begin_after - held.begin

    def close(self) -> None:
        with self._changed, _translated(self._path):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._changed.notify_all()

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise BusClosed
        return self._connection

    @contextmanager
    def _reading(self, topic: str) -> Generator[sqlite3.Connection]:
        """The connection, for this thread alone; its errors as ours."""
        check_name(topic)
        with self._changed, _translated(self._path):
            yield self._open_connection()

    @contextmanager
    def _writing(self, topic: str) -> Generator[sqlite3.Connection]:
        """The connection in a transaction, which is taken back if anything fails."""
        with self._reading(topic) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file; refuse a file that is not ours."""
    if _is_empty(connection):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    else:
        _refuse_foreign(connection, path)
    _keep_a_log(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    if _is_empty(connection):  # else another process was faster
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Write ahead from now on. Where two begin at once, SQLite refuses one of them."""
    for _ in range(WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(WAL_WAIT_S)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL").fetchall()


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not _number(connection, "SELECT count(*) FROM sqlite_schema")


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    if _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise BusDamaged(str(path), reason="it is another program's database")
    if (version := _number(connection, "PRAGMA user_version")) != SCHEMA_VERSION:
        raise BusDamaged(str(path), reason=f"its format is {version}, not {SCHEMA_VERSION}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    return connection.execute(query).fetchone()[0]


def _bounds(connection: sqlite3.Connection, topic: str) -> Bounds:
    row = connection.execute("SELECT end_offset FROM topics WHERE topic = ?", (topic,)).fetchone()
    end = row[0] if row else 0
    begin = connection.execute(
        'SELECT min("offset") FROM records WHERE topic = ?', (topic,)
    ).fetchone()[0]
    return Bounds(end if begin is None else begin, end)


@contextmanager
def _translated(path: Path) -> Generator[None]:
    """SQLite's errors as the bus's own."""
    try:
        yield
    except sqlite3.Error as error:
        raise _bus_error(path, error) from error


def _bus_error(path: Path, error: sqlite3.Error) -> BusError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in DAMAGE:
        return BusDamaged(str(path), reason=str(error))
    return BusUnavailable(str(path), reason=str(error))
