"""Where a model runs that does not run in this process, as one setting says it.

The kind of the servers, and their URLs with commas between, such as

    sglang+http://gpu-1:30000,http://gpu-2:30000     our own: longwatch serve-model
    openai+https://models.example/v1                 any API that is compatible with OpenAI's
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


class ServedBy(StrEnum):
    """Whose protocol the servers speak."""

    SGLANG = "sglang"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """Servers that run the same model."""

    served_by: ServedBy
    urls: tuple[str, ...]


def model_address_of(text: str) -> ModelAddress:
    """The address that a setting means.

    Raises:
        ValueError
    """
    kind, _, urls = text.partition("+")
    if kind not in tuple(ServedBy) or not urls:
        kinds = " or ".join(f"{kind}+http" for kind in ServedBy)
        raise ValueError(f"it must begin with {kinds}, and https likewise")
    return ModelAddress(ServedBy(kind), tuple(_checked(url) for url in urls.split(",")))


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("it may hold no user or password; set LONGWATCH_MODEL_KEY")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("after its kind, it must be http:// or https:// URLs with commas between")
    return url.rstrip("/")
