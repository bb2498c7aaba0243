"""Text from outside: JSON may hold half a character (a lone surrogate), which UTF-8 may not."""

from typing import Annotated

from pydantic import AfterValidator


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character") from None
    return text


Text = Annotated[str, AfterValidator(_whole)]
