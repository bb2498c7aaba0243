"""What can go wrong while remembering.

StoreError                     (not `MemoryError`: Python has taken the name)
├── StoreUnavailable           locked by another process for too long; try again
│   └── ServerAway             its server does not answer
├── StoreReadOnly              no right to write there
├── StoreDenied                the server refuses the user, the password or a command
├── StoreFull                  the server has no memory left for more
├── EvictingStore              the server drops what it holds when its memory is full
├── BadStoreAddress            not the address of a server
├── DiskFull                   no room left
├── DamagedStore               what is stored does not read back
│   ├── DamagedRecord          the record's file
│   ├── CorruptNote            one clip's note
│   ├── DamagedTokens          one clip's visual tokens
│   ├── DamagedIndex           the index's files; it is rebuilt from the record
│   └── BadExample             a line of a data set
├── WrongSchema                the record was written by another version
├── UnknownStream              no stream of that name is registered
├── StreamExists               the name is taken
├── SpanForgotten              what is offered lies in a span that was forgotten
├── TokensMissing              no visual tokens are stored for a clip
├── ForeignTokens              the stored tokens were made by other weights or another layout
├── ExamplesMissing            there is no data set
├── LabelsMissing              there is no file of labels
├── WrongWidth                 a vector is not as wide as the index
├── BadVector                  a vector is not a row of finite numbers
├── IndexEngineMissing         faiss is not installed
├── GpuSearchUnavailable       FAISS cannot search on the GPU; on the CPU it can
└── RecordEngineMissing        the client of the record's server is not installed
"""

import errno
from pathlib import Path


class StoreError(Exception):
    """Base of everything `memory` raises on purpose."""


class StoreUnavailable(StoreError):
    def __init__(self, where: str, *, retry_after_s: float, detail: str) -> None:
        super().__init__(f"{where} is busy ({detail}); retry in {retry_after_s:g} s")
        self.where = where
        self.retry_after_s = retry_after_s


class ServerAway(StoreUnavailable):
    def __init__(self, where: str, *, retry_after_s: float, detail: str) -> None:
        super().__init__(where, retry_after_s=retry_after_s, detail=detail)
        self.args = (
            f"{where} does not answer ({detail}); start it, or correct its address; "
            f"we go on by ourselves when it is back, and try again in {retry_after_s:g} s",
        )


class StoreReadOnly(StoreError):
    def __init__(self, where: str, *, detail: str) -> None:
        super().__init__(f"cannot write to {where} ({detail}); give this user write access to it")
        self.where = where


class StoreDenied(StoreError):
    def __init__(self, where: str, *, detail: str) -> None:
        super().__init__(
            f"{where} refuses us ({detail}); give its address with a user and password "
            "that may do this"
        )
        self.where = where


class StoreFull(StoreError):
    def __init__(self, where: str) -> None:
        super().__init__(f"no memory left on {where}; raise its maxmemory or forget old footage")
        self.where = where


class EvictingStore(StoreError):
    def __init__(self, where: str, *, policy: str) -> None:
        super().__init__(
            f"{where} would drop memories when it is full (maxmemory-policy {policy}); "
            "set its maxmemory-policy to noeviction"
        )
        self.where = where
        self.policy = policy


class BadStoreAddress(StoreError):
    def __init__(self) -> None:
        super().__init__(
            "not the address of a Redis server; write redis://[USER:PASSWORD@]HOST:PORT/0, "
            "rediss:// for TLS, or unix:///PATH/OF/SOCKET"
        )


class DiskFull(StoreError):
    def __init__(self, where: str) -> None:
        super().__init__(f"no room left for {where}; free some disk space or forget old footage")
        self.where = where


class DamagedStore(StoreError):
    """Base of what does not read back."""


class DamagedRecord(DamagedStore):
    def __init__(self, where: str, *, detail: str) -> None:
        super().__init__(
            f"the record {where} is damaged ({detail}); "
            "restore it from a backup, or move it aside to start an empty one"
        )
        self.where = where


class CorruptNote(DamagedStore):
    def __init__(self, clip_id: str, *, detail: str) -> None:
        super().__init__(f"the note of clip {clip_id!r} does not parse ({detail})")
        self.clip_id = clip_id


class DamagedTokens(DamagedStore):
    def __init__(self, where: str, *, detail: str) -> None:
        super().__init__(f"the visual tokens {where} are damaged ({detail})")
        self.where = where


class DamagedIndex(DamagedStore):
    def __init__(self, where: str, *, detail: str) -> None:
        super().__init__(f"the index {where} cannot be used ({detail}); rebuild it")
        self.where = where
        self.detail = detail


class BadExample(DamagedStore):
    def __init__(self, path: Path, *, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line} is no example ({reason}); correct or delete it")
        self.path = path
        self.line = line


class WrongSchema(StoreError):
    def __init__(self, where: str, *, expected: int, got: int) -> None:
        super().__init__(
            f"the record {where} has schema {got}, this version reads {expected}; "
            "use the version that wrote it"
        )
        self.expected = expected
        self.got = got


class UnknownStream(StoreError):
    def __init__(self, stream_id: str) -> None:
        super().__init__(f"no stream is named {stream_id!r}; add it first")
        self.stream_id = stream_id


class StreamExists(StoreError):
    def __init__(self, stream_id: str) -> None:
        super().__init__(f"a stream named {stream_id!r} exists; choose another name")
        self.stream_id = stream_id


class SpanForgotten(StoreError):
    def __init__(self, stream_id: str, *, start_ns: int, end_ns: int) -> None:
        super().__init__(
            f"[{start_ns}, {end_ns}) ns of stream {stream_id!r} was forgotten on request; "
            "drop what was to be stored"
        )
        self.stream_id = stream_id
        self.start_ns = start_ns
        self.end_ns = end_ns


class TokensMissing(StoreError):
    def __init__(self, clip_id: str) -> None:
        super().__init__(f"no visual tokens are stored for clip {clip_id!r}")
        self.clip_id = clip_id


class ForeignTokens(StoreError):
    def __init__(self, clip_id: str, *, what: str, expected: str, got: str) -> None:
        super().__init__(
            f"the tokens of clip {clip_id!r} have {what} {got!r}, not {expected!r}; "
            "analyse the footage again, or use the checkpoint that made them"
        )
        self.clip_id = clip_id
        self.expected = expected
        self.got = got


class ExamplesMissing(StoreError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"no examples at {path}; make some with: longwatch dataset build")
        self.path = path


class LabelsMissing(StoreError):
    def __init__(self, path: Path) -> None:
        super().__init__(
            f"no labels at {path}; name a file with a label in JSON on each line, such as "
            '{"stream": "dock", "start": "0:05:00", "text": "a van stops"}'
        )
        self.path = path


class WrongWidth(StoreError):
    def __init__(self, *, expected: int, got: int) -> None:
        super().__init__(f"vector is {got} wide, the index holds {expected}")
        self.expected = expected
        self.got = got


class BadVector(StoreError):
    def __init__(self, detail: str) -> None:
        super().__init__(f"not a vector of finite numbers: {detail}")


class IndexEngineMissing(StoreError):
    def __init__(self) -> None:
        super().__init__(
            "faiss is not installed; install longwatch[cpu], or longwatch[gpu] on a machine "
            "with CUDA (never both: they overwrite each other)"
        )


class GpuSearchUnavailable(StoreError):
    remedy = "install longwatch[gpu] in place of longwatch[cpu], and a GPU's driver"

    def __init__(self, device: str, *, reason: str) -> None:
        super().__init__(f"FAISS cannot search on {device}: {reason}; {self.remedy}")
        self.device = device
        self.reason = reason


class RecordEngineMissing(StoreError):
    def __init__(self) -> None:
        super().__init__("the client of Redis is not installed; install longwatch[redis]")


def from_os_error(error: OSError, where: str) -> StoreError:
    """Our error for what the operating system said about writing to `where`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull(where)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(where, detail=error.strerror or str(error))
    return StoreUnavailable(where, retry_after_s=1.0, detail=str(error))
