"""A capture in a process of its own, for tests that kill it.

    python -m tests.streaming.capture_process RECORDING FOLDER LOG

Appends each message to LOG, one a line; prints a word before and after each write.
"""

import os
import sys
from pathlib import Path

from pydantic import TypeAdapter

from streaming.footage import FootageStore
from streaming.messages import CaptureMessage, Span
from streaming.progress import position_after
from tests.streaming.capturing import capture

MESSAGE: TypeAdapter[CaptureMessage] = TypeAdapter(CaptureMessage)


class TellingStore(FootageStore):
    def put(self, data: bytes, *, span: Span, suffix: str = ".mp4") -> str:
        sys.stdout.write("writing\n")
        sys.stdout.flush()
        uri = super().put(data, span=span, suffix=suffix)
        sys.stdout.write("written\n")
        sys.stdout.flush()
        return uri


def main(recording: Path, folder: Path, log: Path) -> None:
    published = [MESSAGE.validate_json(line) for line in log.read_text().splitlines()]
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)

    def publish(message: CaptureMessage) -> None:
        os.write(descriptor, MESSAGE.dump_json(message) + b"\n")

    store = TellingStore(str(folder / "store"))
    capture(recording, store, resume_from=position_after(published), publish=publish)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
