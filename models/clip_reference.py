"""How a request to a model server names a clip, whose stored tokens the server reads by itself.

clip:CLIP_ID                                     the clip
clip:CLIP_ID?lead_in=CLIP_ID&ends_s=SECONDS      with the end of the clip before in view
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

SCHEME = "clip:"


@dataclass(frozen=True, slots=True)
class LeadInReference:
    """The clip before, by its id; see `models.engine.LeadIn`."""

    clip_id: str
    ends_s: float


@dataclass(frozen=True, slots=True)
class ClipReference:
    clip_id: str
    lead_in: LeadInReference | None = None

    def __str__(self) -> str:
        named = f"{SCHEME}{quote(self.clip_id, safe=':')}"
        if self.lead_in is None:
            return named
        seen = {"lead_in": self.lead_in.clip_id, "ends_s": self.lead_in.ends_s}
        return f"{named}?{urlencode(seen, safe=':')}"

    @classmethod
    def parse(cls, text: str) -> "ClipReference":
        """Raises ValueError for what is no reference, with what one looks like."""
        named, _, query = text.removeprefix(SCHEME).partition("?")
        if not text.startswith(SCHEME) or not named:
            raise ValueError(f"{text[:200]!r} names no clip; write {SCHEME}STREAM:START-END:LAYOUT")
        clip_id = unquote(named)
        if not query:
            return cls(clip_id)
        try:
            fields = dict(parse_qsl(query, strict_parsing=True))
            lead_in = LeadInReference(fields.pop("lead_in"), float(fields.pop("ends_s")))
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{text[:200]!r} has no whole lead-in; write ?lead_in=CLIP_ID&ends_s=SECONDS"
            ) from error
        if fields:
            raise ValueError(f"{text[:200]!r} holds what is not known: {', '.join(fields)}")
        return cls(clip_id, lead_in)
