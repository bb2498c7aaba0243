"""The command `longwatch` with the scripted engine, for tests that need a process of its own.

    python -m tests.services.scripted_service --data DIR up --until-idle

Environment:
    SCRIPTED_SLOWNESS_S  how long each note takes, so that there is something to kill
    SCRIPTED_CLOCK       the file of a clock to go by, see `tests.services.clocks`
"""

import os
import time
from pathlib import Path
from typing import Any

from models.engine import ClipTokens
from models.schemas import Note
from services.cli import app
from services.console import Tools
from tests.services.clocks import VARIABLE, go_by
from tests.services.scripted_engine import ScriptedEngine


class SlowEngine(ScriptedEngine):
    def describe(self, clip: ClipTokens, **known: Any) -> Note:
        time.sleep(float(os.environ.get("SCRIPTED_SLOWNESS_S", "0")))  # noqa: TID251
        return super().describe(clip, **known)


if __name__ == "__main__":
    if clock := os.environ.get(VARIABLE):  # noqa: TID251
        go_by(Path(clock))
    app(obj=Tools(load_engine=lambda settings: SlowEngine()))
