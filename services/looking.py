"""The second look: stored visual tokens of a few clips are read again, with a claim to judge.

Two uses. What was noted is checked, and dropped where the model is sure that its note was wrong.
What was not noted at all is looked for in the clips that resemble it most. A judgement counts
against or beyond the notes only where it is confident (`DENIES`, `SHOWS`): notes were written with
more context than a single look has, so an undecided look leaves them as they are.

Decodes nothing and encodes nothing. Tokens that are missing, damaged, or of another model cannot
be looked at, which is no error: the notes then stand alone.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from memory.errors import DamagedTokens, ForeignTokens, TokensMissing
from memory.events import Occurrence, matches
from memory.index import ClipSearch, VectorKind
from memory.recall import recall
from memory.record import Record
from memory.tokens import TokenStore
from memory.values import Hit
from models.engine import ClipTokens, Engine
from models.errors import LayoutMismatch, PromptTooLong, RequestRefused, UnparsableReply
from services.describing import tokens_of
from streaming.messages import Span

AGREES = 0.5  # from here on a look agrees with a note
DENIES = 0.05  # below, it overrules the note
DOUBTS = 0.97  # from here on, below `SHOWS`, a look leaves open what nobody noted
SHOWS = 0.995  # from here on it shows what nobody noted: many clips are looked at, few hold it
MAX_CHECKED = 12  # noted moments that are looked at again: what fits in a second or so
MAX_SEARCHED = 6  # clips that are looked at for what was not noted
MAX_RANKED = 400  # clips of each ranking; levels over time are estimated from them

UNANSWERED = LayoutMismatch, PromptTooLong, RequestRefused, UnparsableReply
"""What it means that a model cannot be asked whether a clip shows a claim."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What is left of noted moments, and the verdict of the look where there was one."""

    kept: tuple[Occurrence, ...]
    agreed: dict[Occurrence, bool]


@dataclass(frozen=True, slots=True)
class Sought:
    """Clips that show what was not noted, as occurrences; and how likely the best one was."""

    shown: tuple[Occurrence, ...]
    best: float


class Looker:
    """Looks at clips that are remembered."""

    def __init__(
        self, *, engine: Engine, record: Record, tokens: TokenStore, index: ClipSearch
    ) -> None:
        self._engine = engine
        self._record = record
        self._tokens = tokens
        self._index = index

    def check(self, noted: Sequence[Occurrence], *, from_the_end: bool) -> Checked:
        """Look again at the first (or the last) of the moments, and drop what is denied."""
        chosen = noted[-MAX_CHECKED:] if from_the_end else noted[:MAX_CHECKED]
        agreed: dict[Occurrence, bool] = {}
        denied: set[Occurrence] = set()
        for occurrence in chosen:
            looks = [self._judged(clip_id, occurrence.text) for clip_id in occurrence.clip_ids[:2]]
            seen = [look for look in looks if look is not None]
            if seen:
                agreed[occurrence] = max(seen) >= AGREES
                if max(seen) < DENIES:
                    denied.add(occurrence)
        return Checked(tuple(one for one in noted if one not in denied), agreed)

    def seek(self, phrases: Sequence[str], within: Sequence[Span]) -> Sought:
        """Look for each phrase in the clips of the range that resemble it most."""
        shown: list[Occurrence] = []
        best = 0.0
        for phrase in phrases:
            for hit in self.similar(phrase, within, limit=MAX_SEARCHED):
                note = self._record.clip(hit.clip_id)
                if note is None or not _is_mostly_in(hit.span, within):
                    continue
                if any(matches(phrase, event.text) for event in note.events):
                    continue  # it was noted, outside the range
                look = self._judged(hit.clip_id, phrase) or 0.0
                best = max(best, look)
                if look >= SHOWS:
                    shown.append(Occurrence(phrase, note.span, note.epoch_at, (note.clip_id,)))
        return Sought(tuple(sorted(shown, key=lambda one: one.starts_at_ns)), best)

    def similar(self, text: str, within: Sequence[Span] | None, *, limit: int) -> list[Hit]:
        """Clips by the vectors of their notes and pictures and by their words, best first."""
        vector = self._engine.embed([text])[0]
        rankings = [
            self._index.search(vector, kind=kind, limit=MAX_RANKED, within=within)
            for kind in VectorKind
        ]
        words = self._record.search_words(text, limit=MAX_RANKED, within=within)
        return recall(rankings, [words] if words else [], limit=limit)

    def tokens_of(self, clip_id: str) -> ClipTokens | None:
        return readable_tokens(self._engine, self._tokens, clip_id)

    def _judged(self, clip_id: str, claim: str) -> float | None:
        tokens = self.tokens_of(clip_id)
        return None if tokens is None else judgement(self._engine, tokens, claim)


def readable_tokens(engine: Engine, store: TokenStore, clip_id: str) -> ClipTokens | None:
    """The stored tokens of a clip; None where this model cannot look at them."""
    try:
        return tokens_of(clip_id, store, engine)
    except (TokensMissing, DamagedTokens, ForeignTokens):
        return None


def judgement(engine: Engine, tokens: ClipTokens, claim: str) -> float | None:
    """The model's yes or no to a claim, as a probability; None where it cannot be asked."""
    try:
        return engine.judge(tokens, claim)
    except UNANSWERED:
        return None


def judgements(engine: Engine, asked: Sequence[tuple[ClipTokens, str]]) -> list[float | None]:
    """That of each clip and its claim, from one call unless one of them cannot be asked."""
    with suppress(*UNANSWERED):
        return list(engine.judge_all(asked))
    return [judgement(engine, tokens, claim) for tokens, claim in asked]


def _is_mostly_in(clip: Span, within: Sequence[Span]) -> bool:
    """Whether half of the clip or more is asked about: a look cannot tell which part shows it."""
    inside_ns = sum(
        max(0, min(clip.end_ns, span.end_ns) - max(clip.start_ns, span.start_ns))
        for span in within
        if span.stream_id == clip.stream_id
    )
    return 2 * inside_ns >= clip.end_ns - clip.start_ns
