"""Whether a clip shows a claim: a cheap sieve that drops most clips, then the model's judgement.

The sieve passes a clip whose note tells of the claim, or whose vectors resemble it. What passes is
judged by its stored tokens: in the words of the note where it was noted, since these are the
model's own, in those of the rule where it was not.

A judgement alone is not yet a probability. Models learn to judge from claims that are as often true
as false, while of a rule's claim nearly every clip is false; and a note, which was written with
more context, is evidence of its own. The three are put together by Bayes' rule.

Decodes nothing and encodes nothing.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum

import numpy as np

from memory.events import matches
from memory.record import Record
from memory.tokens import TokenStore
from memory.values import Vector
from models.engine import ClipTokens, Engine
from services.alerts.watch import Look, Seen
from services.looking import judgement, readable_tokens
from services.metrics import Metrics
from streaming.messages import ClipNote

RESEMBLES = 0.25
"""Cosine from which on a clip is judged; of clips that do not show a claim, one in eight has it."""
BASE_RATE = 0.02  # of clips that show what a rule speaks of
NOTED_OF_SHOWN, NOTED_OF_OTHERS = 0.75, 0.002
"""How often a note tells of a claim that its clip shows, and that it does not show."""
MOST_JUDGED = 3  # wordings in one note


class Outcome(StrEnum):
    """What became of a claim and a clip."""

    PASSED_OVER = "passed over"
    JUDGED = "judged"
    UNREADABLE = "unreadable"


class Judge:
    """Looks at clips that are remembered, for what rules speak of."""

    def __init__(
        self,
        *,
        engine: Engine,
        record: Record,
        tokens: TokenStore,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        metrics: Metrics | None = None,
    ) -> None:
        self._engine = engine
        self._record = record
        self._tokens = tokens
        self._turn = turn
        self._metrics = metrics or Metrics()
        self._vectors: dict[str, Vector] = {}
        self.count_of = dict.fromkeys(Outcome, 0)

    def look(
        self, note: ClipNote, claims: Sequence[str], *, noted_only: bool = False
    ) -> Look | None:
        """What a clip shows of each claim; None of one whose tokens cannot be read.

        `noted_only`: what its note does not tell of counts as not shown, without a judgement.
        """
        seen: list[Seen] = []
        for claim in claims:
            one = self._seen(note, claim, noted_only=noted_only)
            if one is None:
                return None
            seen.append(one)
        return Look(note.clip_id, note.span, note.epoch_at, tuple(seen))

    def _seen(self, note: ClipNote, claim: str, *, noted_only: bool) -> Seen | None:
        noted = [event for event in note.events if matches(claim, event.text)]
        is_noted = bool(noted) or matches(claim, note.text)
        if not is_noted and (noted_only or not self._resembles(note.clip_id, claim)):
            self._count(Outcome.PASSED_OVER)
            return Seen(0.0)
        tokens = readable_tokens(self._engine, self._tokens, note.clip_id)
        if tokens is None:
            self._count(Outcome.UNREADABLE)
            return None
        wordings = list(dict.fromkeys(event.text for event in noted))[:MOST_JUDGED] or [claim]
        judgement = max(self._judged(tokens, wording) for wording in wordings)
        times_ns = tuple((event.span.start_ns, event.span.end_ns) for event in noted)
        return Seen(probability_of(judgement, is_noted=is_noted), times_ns)

    def _resembles(self, clip_id: str, claim: str) -> bool:
        held = self._record.vectors_of(clip_id)
        if held is None or held.model_id != self._engine.model_id:
            return True  # nothing to go by
        vector = self._vector(claim)
        return float(max(held.text_vector @ vector, held.visual_vector @ vector)) >= RESEMBLES

    def _vector(self, claim: str) -> Vector:
        if claim not in self._vectors:
            with self._turn():
                self._vectors[claim] = np.asarray(self._engine.embed([claim])[0])
        return self._vectors[claim]

    def _judged(self, tokens: ClipTokens, claim: str) -> float:
        self._count(Outcome.JUDGED)
        with self._turn():
            return judgement(self._engine, tokens, claim) or 0.0

    def _count(self, outcome: Outcome) -> None:
        self.count_of[outcome] += 1
        self._metrics.judged(outcome.value)


def probability_of(judgement: float, *, is_noted: bool) -> float:
    """How likely a clip shows a claim, by a judgement, by its note, and by how rare such is."""
    of_shown, of_others = (
        (NOTED_OF_SHOWN, NOTED_OF_OTHERS) if is_noted else (1 - NOTED_OF_SHOWN, 1 - NOTED_OF_OTHERS)
    )
    shown = judgement * BASE_RATE * of_shown
    other = (1 - judgement) * (1 - BASE_RATE) * of_others
    return shown / (shown + other) if math.isfinite(judgement) and shown + other else 0.0
