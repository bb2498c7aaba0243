"""The SQLite file under the record: opening, schema, transactions, and errors in our words.

WAL lets other processes read while one writes; `synchronous=NORMAL` loses no committed row
when a process is killed, and at worst the last ones when the power fails, which redelivery
brings back. `secure_delete` overwrites what is deleted. Knows tables, not what they mean.

One connection serves all threads, one at a time; no cursor stays open between calls, so that
the log can always be folded back into the file.
"""

import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memory.errors import (
    DamagedRecord,
    DiskFull,
    StoreError,
    StoreReadOnly,
    StoreUnavailable,
    WrongSchema,
    from_os_error,
)

SCHEMA_VERSION = 1
APPLICATION_ID = 0x4C574D31  # "LWM1": tells our files from those of other programs
BUSY_TIMEOUT_S = 30.0
WAL_TRIES, WAL_WAIT_S = 100, 0.1

_SCHEMA = """
create table meta (
    record_id text not null,
    revision integer not null,
    last_deletion integer not null
);
create table streams (
    stream_id text primary key,
    spec text not null,
    status text,
    ended_ns integer
) without rowid;
create table clips (
    number integer primary key,
    clip_id text not null unique,
    stream_id text not null,
    start_ns integer not null,
    end_ns integer not null,
    revision integer not null,
    model_id text not null,
    epoch_at text not null,
    note text not null,
    text_vector blob not null,
    visual_vector blob not null
);
create index clips_by_time on clips (stream_id, start_ns, end_ns);
create unique index clips_by_revision on clips (revision);
create table events (
    clip_number integer not null,
    position integer not null,
    stream_id text not null,
    start_ns integer not null,
    end_ns integer not null,
    text text not null,
    primary key (clip_number, position)
) without rowid;
create index events_by_time on events (stream_id, start_ns, end_ns);
create virtual table words using fts5 (stems, tokenize = "unicode61 remove_diacritics 0");
create table segments (
    stream_id text not null,
    start_ns integer not null,
    end_ns integer not null,
    body text not null,
    primary key (stream_id, start_ns)
) without rowid;
create table gaps (
    stream_id text not null,
    start_ns integer not null,
    end_ns integer not null,
    body text not null,
    primary key (stream_id, start_ns)
) without rowid;
create table forgotten (
    stream_id text not null,
    start_ns integer not null,
    end_ns integer not null,
    finished integer not null,
    primary key (stream_id, start_ns, end_ns)
) without rowid;
create table cursors (name text primary key, value integer not null) without rowid;
insert into meta values (lower(hex(randomblob(16))), 0, 0);
"""

_DOCUMENTS = """
create table if not exists documents (
    kind text not null,
    name text not null,
    body text not null,
    primary key (kind, name)
) without rowid
"""
"""Came after the first files were made, so it is added where it is missing."""


class SqliteFile:
    """One database file with our schema, made where there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, str(path)) from error
        with self._translated():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All writes inside happen together or not at all. Does not nest."""
        with self._lock, self._translated():
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        with self._lock, self._translated():
            return self._connection.execute(statement, parameters).fetchall()

    def row(self, statement: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        rows = self.rows(statement, parameters)
        return rows[0] if rows else None

    def write_many(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters; call it within a transaction."""
        with self._lock, self._translated():
            self._connection.executemany(statement, parameters)

    def fold_log(self) -> None:
        """Bring the log into the file and empty it; readers in its way leave it for later."""
        self.rows("pragma wal_checkpoint(truncate)")

    def check(self) -> None:
        """Read every page; `DamagedRecord` if one is not as it should be."""
        (verdict,) = self.rows("pragma quick_check(1)")[0]
        if verdict != "ok":
            raise DamagedRecord(str(self._path), detail=verdict)

    def close(self) -> None:
        with self._lock, self._translated():
            self._connection.close()

    def _prepare(self) -> None:
        self.rows(f"pragma busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
        if not self._is_ready():
            with self.transaction():
                if not self._is_ready():  # another process may have been faster
                    for statement in _SCHEMA.strip().removesuffix(";").split(";\n"):
                        self.rows(statement)
                    self.rows(f"pragma application_id = {APPLICATION_ID}")
                    self.rows(f"pragma user_version = {SCHEMA_VERSION}")
        if not self.rows("select 1 from sqlite_schema where name = 'documents'"):
            with self.transaction():
                self.rows(_DOCUMENTS)
        self._keep_a_log()
        self.rows("pragma synchronous = normal")
        self.rows("pragma secure_delete = on")

    def _keep_a_log(self) -> None:
        """Write ahead from now on. Where two begin at once, SQLite refuses one of them."""
        for _ in range(WAL_TRIES):
            try:
                self.rows("pragma journal_mode = wal")
            except StoreUnavailable:
                time.sleep(WAL_WAIT_S)
            else:
                return
        self.rows("pragma journal_mode = wal")

    def _is_ready(self) -> bool:
        (tables,) = self.rows("select count(*) from sqlite_schema")[0]
        if not tables:  # asked first: another process makes the tables and the rest at once
            return False
        (application_id,) = self.rows("pragma application_id")[0]
        (version,) = self.rows("pragma user_version")[0]
        if application_id != APPLICATION_ID:
            raise DamagedRecord(str(self._path), detail="it belongs to another program")
        if version != SCHEMA_VERSION:
            raise WrongSchema(str(self._path), expected=SCHEMA_VERSION, got=version)
        return True

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if (ours := _translation(error, str(self._path))) is None:
                raise
            raise ours from error


def _translation(error: sqlite3.Error, where: str) -> StoreError | None:
    """Our error for one of SQLite's; None if it is no state of the world but our mistake."""
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    code, detail = extended & 0xFF, str(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return StoreUnavailable(where, retry_after_s=1.0, detail=detail)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return StoreReadOnly(where, detail=detail)
    if code == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:
        return DiskFull(where)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedRecord(where, detail=detail)
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailable(where, retry_after_s=5.0, detail=detail)
    return None
