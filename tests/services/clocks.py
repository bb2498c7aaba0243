"""Wall clocks that a test sets under services that run, each in a process of its own.

A preloaded library that sets clocks (libfaketime 0.9.10) upsets what Python 3.11 waits with:
threads hang and sleeps fail. So a service that is given a file adds the seconds in it to what the
machine's clock says, at the one place where services ask (`services.wiring`) and at `time.time`,
which libraries and the log ask. Clocks that count from a start go on, as when a clock is set.
"""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from services import wiring

VARIABLE = "SCRIPTED_CLOCK"


class WallClockFile:
    """The wall clock of one service, wherever it is started anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(ahead_s=0)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a service finds there to go by this clock."""
        return {VARIABLE: str(self._file)}

    def set(self, *, ahead_s: int) -> None:
        """Set it so far ahead of this machine's, or behind."""
        aside = self._file.with_suffix(".new")
        aside.write_text(str(ahead_s))
        aside.replace(self._file)


def go_by(file: Path) -> None:
    """Let this process go by a clock from now on."""
    machine_s, machine_ns = time.time, time.time_ns  # noqa: TID251 - it is they that are set

    def ahead_s() -> int:
        return int(file.read_text())

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(seconds=ahead_s())

    time.time = lambda: machine_s() + ahead_s()  # noqa: TID251
    time.time_ns = lambda: machine_ns() + ahead_s() * 10**9  # noqa: TID251
    wiring.datetime = Shifted
