"""What the topic `segments` says, read from its records."""

from pydantic import TypeAdapter, ValidationError

from streaming import bus
from streaming.errors import BadMessage
from streaming.messages import CaptureMessage, StreamEnded

CAPTURE_MESSAGE: TypeAdapter[CaptureMessage] = TypeAdapter(CaptureMessage)


def message_of(record: bus.Record) -> CaptureMessage:
    """Read a record of the topic `segments`, or `BadMessage`.

    One whose key is not its stream's name may lie in another partition than the rest of the stream.
    """
    try:
        message = CAPTURE_MESSAGE.validate_json(record.value)
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"])
        raise BadMessage(record.topic, offset=record.offset, reason=reason) from error
    if record.key != stream_of(message):
        reason = f"its key is {record.key!r}, not the name of its stream"
        raise BadMessage(record.topic, offset=record.offset, reason=reason)
    return message


def stream_of(message: CaptureMessage) -> str:
    return message.stream_id if isinstance(message, StreamEnded) else message.span.stream_id
