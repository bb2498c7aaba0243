"""Documents in the SQLite file of the record."""

from memory.documents import Bodies, Key
from memory.sqlite_file import SqliteFile

LAST_NAME = chr(0x10FFFF)  # none is behind it


class SqliteDocuments:
    """`Documents` in a table."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def get(self, key: Key) -> str | None:
        row = self._file.row("select body from documents where kind = ? and name = ?", key)
        return None if row is None else row[0]

    def all(
        self,
        kind: str,
        *,
        after: str | None = None,
        before: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> dict[str, str]:
        count = first if last is None else last
        rows = self._file.rows(
            "select name, body from documents where kind = ? and name > ? and name < ? "
            f"order by name {'asc' if last is None else 'desc'} limit ?",
            (
                kind,
                "" if after is None else after,
                LAST_NAME if before is None else before,
                -1 if count is None else count,
            ),
        )
        return dict(rows if last is None else reversed(rows))

    def swap(self, expected: Bodies, changed: Bodies) -> bool:
        with self._file.transaction():
            if any(self.get(key) != body for key, body in expected.items()):
                return False
            for key, body in changed.items():
                if body is None:
                    self._file.rows("delete from documents where kind = ? and name = ?", key)
                else:
                    self._file.rows(
                        "insert or replace into documents values (?, ?, ?)", (*key, body)
                    )
            return True
