"""A form with a file in it, as it comes: the file goes to where the caller says, and nowhere else.

FastAPI's own way reads all of a form, to wherever temporary files are, before it asks who sends it.
"""

from collections.abc import Callable

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.api.errors import BadForm

MAX_FIELD_BYTES = 1024
FILE = "file"


class Form:
    """Reads a form. `fields` are its texts, `file_name` what the client calls the file."""

    def __init__(self, content_type: str, write: Callable[[bytes], None]) -> None:
        """Raises BadForm."""
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise BadForm("it is not multipart/form-data")
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        self._write = write
        self._header = self._value = b""
        self._part = self._text = b""
        self._is_file = self._is_whole = False
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header,
                "on_part_data": self._on_data,
                "on_part_end": self._on_end,
                "on_end": self._on_whole,
            },
        )

    def feed(self, data: bytes) -> None:
        """Raises BadForm, and what `write` does."""
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise BadForm("it is no form") from error

    def close(self) -> None:
        """Raises BadForm: there is no file in it, or not all of it came."""
        if not self._is_whole:
            raise BadForm("it breaks off")
        if self.file_name is None:
            raise BadForm(f"there is no part named {FILE!r} that is a file")

    def _begin(self) -> None:
        self._part, self._text, self._is_file = b"", b"", False

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._part = options.get(b"name", b"")
            if self._part == FILE.encode() and b"filename" in options:
                if self.file_name is not None:
                    raise BadForm("there is more than one file in it")
                self._is_file = True
                self.file_name = options[b"filename"].decode(errors="replace")
        self._header = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MAX_FIELD_BYTES:
            raise BadForm(f"a text in it has more than {MAX_FIELD_BYTES:,} bytes")

    def _on_end(self) -> None:
        if not self._is_file:
            name = self._part.decode(errors="replace")
            self.fields[name] = self._text.decode(errors="replace")

    def _on_whole(self) -> None:
        self._is_whole = True
