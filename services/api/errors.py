"""What can go wrong between a client of the API and the parts, beside what they raise themselves.

ServiceError
├── AccessError
│   ├── KeyRefused          a request without a key that is known
│   ├── NotAllowed          a key that may not do that
│   ├── TooManyRequests     more of them than a key may send
│   ├── KeyNeeded           without a key, only this machine is listened to
│   ├── BadKeyName          a name that cannot be one
│   ├── KeyNameTaken        a name that another key has
│   ├── NoSuchKey           a name that no key has
│   └── KeysDamaged         the file of the keys cannot be read or written
├── NoSuchClip              an id that no clip has
├── NoSuchFile              an id that no uploaded recording has
├── BadForm                 a form that holds no file, or cannot be read
├── ExportError
│   ├── RangeTooLong        longer than what is cut at once
│   └── NotPlayable         players of the web cannot play what is stored
└── AskingError
    ├── UnknownVideo        a video that no stream shows
    ├── UnknownModel        a model of another name than the one that there is
    └── AnswersAway         no service answers just now
"""

from pathlib import Path

from services.errors import AskingError, ExportError, ServiceError


class AccessError(ServiceError):
    """Somebody may not do that, or a key cannot be used."""


class KeyRefused(AccessError):
    def __init__(self) -> None:
        super().__init__(
            "no key, or none that is known; send one as: Authorization: Bearer KEY "
            "(they are made with: longwatch key add NAME)"
        )


class NotAllowed(AccessError):
    def __init__(self, what: str) -> None:
        super().__init__(f"this key may not {what}; ask for one that may")
        self.what = what


class TooManyRequests(AccessError):
    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(f"too many requests at once; wait {retry_after_s} s")
        self.retry_after_s = retry_after_s


class KeyNeeded(AccessError):
    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} can be reached from elsewhere, and there is no key yet; make one with: "
            "longwatch key add NAME --role admin, or listen on 127.0.0.1"
        )
        self.address = address


class BadKeyName(AccessError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name[:80]!r} cannot name a key; use 1 to 64 of a-z, 0-9, - and _, "
            "starting with a letter or digit"
        )
        self.name = name


class KeyNameTaken(AccessError):
    def __init__(self, name: str) -> None:
        super().__init__(f"a key named {name!r} exists; take another name, or: longwatch key rm")
        self.name = name


class NoSuchKey(AccessError):
    def __init__(self, name: str) -> None:
        super().__init__(f"no key is named {name!r}; see: longwatch key list")
        self.name = name


class KeysDamaged(AccessError):
    def __init__(self, path: Path, *, reason: str) -> None:
        super().__init__(f"{path} cannot be used ({reason}); restore it, or make all keys anew")
        self.path = path
        self.reason = reason


class NoSuchClip(ServiceError):
    def __init__(self, clip_id: str) -> None:
        super().__init__(f"no clip {clip_id[:200]!r} is remembered; /v1/search finds clips")
        self.clip_id = clip_id


class NoSuchFile(ServiceError):
    def __init__(self, name: str) -> None:
        super().__init__(f"no recording {name[:200]!r} was uploaded; see /v1/files")
        self.name = name


class BadForm(ServiceError):
    def __init__(self, why: str) -> None:
        super().__init__(f"the form cannot be used: {why}; send the recording as: file")
        self.why = why


class RangeTooLong(ExportError):
    def __init__(self, *, length_s: float, most_s: float) -> None:
        super().__init__(f"the range is {length_s:,.0f} s long; take at most {most_s:,.0f} s")
        self.length_s = length_s
        self.most_s = most_s


class NotPlayable(ExportError):
    def __init__(self, stream_id: str, *, codec: str) -> None:
        super().__init__(
            f"{codec} of {stream_id} does not fit into MP4, which players of the web want; "
            "run: longwatch export, with a file that ends in .mkv"
        )
        self.stream_id = stream_id
        self.codec = codec


class UnknownVideo(AskingError):
    def __init__(self, url: str) -> None:
        super().__init__(
            f"no stream shows {url[:200]!r}; add it as a stream first, and name it stream:NAME"
        )
        self.url = url


class UnknownModel(AskingError):
    def __init__(self, name: str, *, known: str) -> None:
        super().__init__(f"there is no model {name[:200]!r}; take {known!r}")
        self.name = name
        self.known = known


class AnswersAway(AskingError):
    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(
            "no service answers just now: none runs, it still loads its model, or it has too many "
            f"questions; start it with: longwatch run answer, and ask again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s
