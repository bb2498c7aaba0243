"""What can go wrong between a person and the parts: every message says what to do about it.

ServiceError
├── QuestionError
│   ├── EmptyQuestion           no question at all
│   └── QuestionTooLong         longer than anybody asks
├── TimeError
│   ├── BadTime                 not a moment that we read
│   ├── ReversedRange           a range that ends before it starts
│   ├── RangeInFuture           a range that nobody has seen yet
│   └── RangeTooFine            a range that is to be cut into too many pieces
├── StreamNameError
│   ├── BadStreamName           a name that cannot be one
│   ├── StreamNameTaken         a name that another stream has
│   └── NoSuchStream            a name that no stream has
├── RuleError
│   ├── BadRule                 a rule that cannot be understood or kept
│   ├── RuleNameTaken           a name that another rule has
│   └── NoSuchRule              a name that no rule has
├── FeedbackError
│   ├── NoSuchAlert             an id that no alert has
│   └── NoSuchAnswer            an id that no answer has
├── DeliveryError
│   ├── AddressNotAllowed       a webhook that leads into a private network
│   └── NotDelivered            somebody who is to be told did not take it
├── DataDirectoryError
│   ├── DataDirectoryBusy       another service runs on it
│   ├── DataDirectoryUnusable   cannot be made, or may not be written
│   └── DataDirectoryEmpty      nothing was ever remembered there
├── SettingsError               a setting that cannot be used
│   └── WebhookUnsigned         a webhook, and no secret to sign it with
├── SecretUnreadable            credentials that cannot be opened
├── ModelUnavailable            the model that the settings name cannot be loaded
│   └── GpuMissing              on a GPU, because there is none
├── LayoutChanges               weights that a service cannot take over while it runs
├── ModelServerError
│   ├── ModelServerMissing      SGLang is not installed
│   └── ModelServerFailed       it cannot start, or go on
├── NoSuchFiles                 nothing to take in is there
├── AddressUnusable             nothing can listen where a service is told to
├── ExportError
│   ├── NothingStored           no footage of the range is kept
│   ├── PictureChanges          the range holds pictures that one file cannot hold
│   └── OutputUnusable          the file to write cannot be written
├── AskingError
│   ├── BadRequest              what came through the socket is no request
│   ├── AnswerFailed            the service failed at a question, and goes on
│   └── AnswerBrokenOff         the service stopped in the middle of an answer
└── WorkerCrashed               a part of the service failed for good
"""

from pathlib import Path


def reason_of(error: OSError) -> str:
    """What the system says, without the path that our message names."""
    return (error.strerror or type(error).__name__).lower()


class ServiceError(Exception):
    """Base of everything `services` raises."""


class QuestionError(ServiceError):
    """The question cannot be answered as it is put."""


class EmptyQuestion(QuestionError):
    def __init__(self) -> None:
        super().__init__("the question is empty; ask something, such as: what happened?")


class QuestionTooLong(QuestionError):
    def __init__(self, *, chars: int, most_chars: int) -> None:
        super().__init__(f"the question has {chars:,} characters; ask in at most {most_chars:,}")
        self.chars = chars
        self.most_chars = most_chars


class TimeError(ServiceError):
    """The time cannot be used."""


class BadTime(TimeError):
    def __init__(self, text: str) -> None:
        shown = text if len(text) <= 60 else f"{text[:60]}…"
        super().__init__(
            f"{shown!r} is not a time; write 1:02:03.5 (so far into the footage), "
            "2025-03-01T14:00, 'yesterday at 14:00' or '10 minutes ago'"
        )
        self.text = text


class ReversedRange(TimeError):
    def __init__(self, start: str, end: str) -> None:
        super().__init__(f"the range ends ({end}) before it starts ({start}); turn it round")
        self.start = start
        self.end = end


class RangeInFuture(TimeError):
    def __init__(self, start: str, now: str) -> None:
        super().__init__(
            f"the range starts at {start}, and the footage ends at {now}; nobody has seen that yet"
        )
        self.start = start
        self.now = now


class RangeTooFine(TimeError):
    def __init__(self, pieces: int, *, most: int) -> None:
        super().__init__(
            f"that would be {pieces:,} summaries; take a shorter range or a longer level, "
            f"for at most {most:,}"
        )
        self.pieces = pieces
        self.most = most


class StreamNameError(ServiceError):
    """The name of a stream cannot be used."""


class BadStreamName(StreamNameError):
    def __init__(self, name: str) -> None:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        super().__init__(
            f"{shown!r} cannot name a stream; use 1 to 64 of a-z, 0-9, - and _, "
            "starting with a letter or digit"
        )
        self.name = name


class StreamNameTaken(StreamNameError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"a stream named {name!r} exists; take another name, or run: longwatch forget {name}"
        )
        self.name = name


class NoSuchStream(StreamNameError):
    def __init__(self, name: str, *, known: tuple[str, ...]) -> None:
        others = f"known are: {', '.join(known)}" if known else "none was added yet"
        super().__init__(f"no stream is named {name!r}; {others}")
        self.name = name
        self.known = known


class RuleError(ServiceError):
    """The rule cannot be used."""


class BadRule(RuleError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"not a rule: {reason}; see: longwatch rule add --help")
        self.reason = reason


class RuleNameTaken(RuleError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"a rule named {name!r} exists; take another --name, or run: longwatch rule rm {name}"
        )
        self.name = name


class NoSuchRule(RuleError):
    def __init__(self, name: str, *, known: tuple[str, ...]) -> None:
        others = f"known are: {', '.join(known)}" if known else "none was added yet"
        super().__init__(f"no rule is named {name!r}; {others}")
        self.name = name
        self.known = known


class FeedbackError(ServiceError):
    """What is to be marked is not there."""


class NoSuchAlert(FeedbackError):
    def __init__(self, alert_id: str) -> None:
        super().__init__(f"no alert {alert_id[:200]!r} is kept; see: longwatch alerts")
        self.alert_id = alert_id


class NoSuchAnswer(FeedbackError):
    def __init__(self, answer_id: str) -> None:
        super().__init__(f"no answer {answer_id[:200]!r} is kept; see: longwatch answers")
        self.answer_id = answer_id


class DeliveryError(ServiceError):
    """Somebody could not be told of an alert; it is tried again."""


class AddressNotAllowed(DeliveryError):
    def __init__(self, host: str, address: str) -> None:
        super().__init__(
            f"{host} is {address}, which is no public address; to tell it nevertheless, "
            "set LONGWATCH_WEBHOOK_PRIVATE=true"
        )
        self.host = host
        self.address = address


class NotDelivered(DeliveryError):
    def __init__(self, where: str, *, reason: str) -> None:
        super().__init__(f"{where} did not take an alert ({reason})")
        self.where = where
        self.reason = reason


class DataDirectoryError(ServiceError):
    """The data directory cannot be used."""


class DataDirectoryBusy(DataDirectoryError):
    def __init__(self, path: Path, *, holder: str = "another longwatch") -> None:
        super().__init__(f"{holder} runs on {path}; stop it, or give this one another --data")
        self.path = path
        self.holder = holder


class DataDirectoryUnusable(DataDirectoryError):
    def __init__(self, path: Path, *, reason: str) -> None:
        super().__init__(f"data directory {path} cannot be used ({reason}); give another --data")
        self.path = path
        self.reason = reason


class DataDirectoryEmpty(DataDirectoryError):
    def __init__(self, path: Path) -> None:
        super().__init__(
            f"nothing is remembered in {path}; add a stream (longwatch add NAME URL) "
            "and run: longwatch up"
        )
        self.path = path


class SettingsError(ServiceError):
    """A setting cannot be used."""


class WebhookUnsigned(SettingsError):
    def __init__(self) -> None:
        super().__init__("webhooks are signed; set LONGWATCH_WEBHOOK_SECRET, here and there")


class SecretUnreadable(ServiceError):
    def __init__(self, name: str, *, reason: str) -> None:
        super().__init__(
            f"the credentials of {name} cannot be opened: {reason}; give the key back that sealed "
            "them, or add it again as it was added"
        )
        self.name = name
        self.reason = reason


class ModelUnavailable(ServiceError):
    def __init__(self, where: str, *, reason: str) -> None:
        super().__init__(f"model {where} cannot be loaded ({reason}); see: longwatch doctor")
        self.where = where
        self.reason = reason


class GpuMissing(ModelUnavailable):
    def __init__(self, where: str, *, device: str) -> None:
        super().__init__(where, reason=f"torch finds no GPU for {device!r}")
        self.device = device


class LayoutChanges(ServiceError):
    def __init__(self, model_id: str, *, serving: str) -> None:
        super().__init__(
            f"{model_id} has another stream layout than {serving}, so it looks at streams in "
            "another way; restart the services to change over, or run: longwatch promote --back"
        )
        self.model_id = model_id
        self.serving = serving


class ModelServerError(ServiceError):
    """The model cannot be served."""


class ModelServerMissing(ModelServerError):
    def __init__(self) -> None:
        super().__init__(
            "SGLang is not installed; docs/model.md says how it is, on a GPU and on the CPU"
        )


class ModelServerFailed(ModelServerError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the model server cannot go on ({reason}); its log above says more")
        self.reason = reason


class NoSuchFiles(ServiceError):
    def __init__(self, source: str) -> None:
        super().__init__(
            f"{source} means no video file; give a directory that holds some, a file, or a pattern "
            "in quotes"
        )
        self.source = source


class AddressUnusable(ServiceError):
    def __init__(self, address: str, *, option: str, reason: str) -> None:
        super().__init__(f"nothing can listen at {address} ({reason}); give another {option}")
        self.address = address
        self.reason = reason


class ExportError(ServiceError):
    """The range cannot be written to one file."""


class NothingStored(ExportError):
    def __init__(self, stream_id: str, start: str, end: str) -> None:
        super().__init__(f"no footage of {stream_id} between {start} and {end} is stored")
        self.stream_id = stream_id


class PictureChanges(ExportError):
    def __init__(self, stream_id: str, at: str) -> None:
        super().__init__(
            f"the picture of {stream_id} changes its size or format at {at}, which one file "
            f"cannot hold; export up to {at}, and from {at} on"
        )
        self.stream_id = stream_id
        self.at = at


class OutputUnusable(ExportError):
    def __init__(self, path: Path, *, reason: str) -> None:
        super().__init__(f"{path} cannot be written ({reason})")
        self.path = path
        self.reason = reason


class AskingError(ServiceError):
    """The service that runs gives no answer."""


class BadRequest(AskingError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"not a request that this service understands ({reason})")
        self.reason = reason


class AnswerFailed(AskingError):
    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the service failed at this question ({reason}); its log says more")
        self.reason = reason


class AnswerBrokenOff(AskingError):
    def __init__(self) -> None:
        super().__init__("the service stopped in the middle of the answer; ask again")


class WorkerCrashed(ServiceError):
    def __init__(self, worker: str, *, reason: str) -> None:
        super().__init__(
            f"{worker} failed ({reason}); nothing is lost: it goes on when it is started again"
        )
        self.worker = worker
        self.reason = reason
