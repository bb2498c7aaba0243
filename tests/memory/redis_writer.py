"""Another process that puts clips into a record in Redis, and says which were acknowledged."""

import subprocess
import sys
from pathlib import Path

_WRITER = """
import sys, time
from memory.redis_record import RedisRecord
from tests.memory.notes import note, put

record = RedisRecord(sys.argv[1], patience_s=float(sys.argv[5]))
first, last, stream = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
for number in range(first, last):
    events = tuple((second, second + 0.5, f"heron {second} lands") for second in range(9))
    put(record, note(number, f"clip {number} shows herons", events, stream=stream))
    print(number, time.monotonic(), flush=True)
"""


def writer(
    url: str, first: int, last: int, *, stream: str = "pond", patience_s: float = 10.0
) -> subprocess.Popen[str]:
    """Put the clips from `first` on up to `last`, and print each with the time when it was put."""
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, url, str(first), str(last), stream, str(patience_s)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a writer and return its exit status."""
    process.communicate()
    return process.returncode
