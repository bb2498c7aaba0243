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
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from functools import partial
from itertools import islice, pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from memory.events import matches
from memory.record import Record
from memory.tokens import TokenStore
from memory.values import ClipVectors, Vector
from models.engine import ClipTokens, Engine
from services.alerts.watch import Look, Seen
from services.looking import judgements, readable_tokens
from services.metrics import Metrics
from streaming.messages import NS_PER_S, ClipNote

READS_ALIKE, LOOKS_ALIKE = 0.4, 0.25
"""Cosines from which on a clip is judged, of its text and of its picture to the claim.

Texts lie nearer to each other. Of 1,038 clips with a cosine from 0.25 on whose notes did not tell
of a claim, no judgement showed any; of notes that say the same in other words, none was judged to
be likely enough below 0.5.
"""
BASE_RATE = 0.02  # of clips that show what a rule speaks of
NOTED_OF_SHOWN, NOTED_OF_OTHERS = 0.75, 0.002
"""How often a note tells of a claim that its clip shows, and that it does not show."""
MOST_JUDGED = 3  # wordings in one note
NOTES_AT_ONCE = 64  # of which one in four or so is judged
JUDGED_TOGETHER = 8
"""Clips in one call. On a CPU each takes longer where there are twice as many, or half as many."""

S = TypeVar("S")
T = TypeVar("T")


class Outcome(StrEnum):
    """What became of a claim and a clip."""

    PASSED_OVER = "passed over"
    JUDGED = "judged"
    UNREADABLE = "unreadable"


class Judge:
    """Looks at clips that are remembered, for what rules speak of, in so many calls at once."""

    def __init__(
        self,
        *,
        engine: Engine,
        record: Record,
        tokens: TokenStore,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        metrics: Metrics | None = None,
        at_once: int = 1,
    ) -> None:
        self._engine = engine
        self._record = record
        self._tokens = tokens
        self._turn = turn
        self._metrics = metrics or Metrics()
        self._at_once = at_once
        self._vectors: dict[str, Vector] = {}
        self.count_of = dict.fromkeys(Outcome, 0)

    @property
    def notes_at_once(self) -> int:
        """Of how many notes `looks` makes the most: enough for all that it judges together."""
        return max(NOTES_AT_ONCE, 4 * self._at_once)

    def looks(
        self,
        notes: Sequence[ClipNote],
        claims: Sequence[str],
        *,
        noted_only: bool = False,
        together_from: float | None = None,
    ) -> list[Look | None]:
        """What clips show of each claim; None of one whose tokens cannot be read.

        They are judged in `at_once` calls at a time, all in one turn at the model.

        `noted_only`: what its note does not tell of counts as not shown, without a judgement.
        `together_from`: the claims matter only where a clip shows all of them at one time, each as
        likely as this or more. What cannot, by the sieve or by an earlier claim, is not judged.
        """
        sieved = [self._sieved(note, claims, noted_only=noted_only) for note in notes]
        passed = {
            note.clip_id: some if together_from is None else _that_meet(some)
            for note, some in zip(notes, sieved, strict=True)
            if any(one.wordings for one in some)
        }
        tokens = dict(zip(passed, self._each(self._read, list(passed)), strict=True))
        readable = {clip_id: clip for clip_id, clip in tokens.items() if clip is not None}
        wanted = [passed[clip_id] for clip_id in readable]
        with self._turn() if passed else nullcontext():
            judged = self._judged(list(readable.values()), wanted, least=together_from or 0.0)
        judged_of = dict.fromkeys(passed) | dict(zip(readable, judged, strict=True))
        nothing = [_UNSEEN] * len(claims)
        return [self._look(note, judged_of.get(note.clip_id, nothing)) for note in notes]

    def _look(self, note: ClipNote, judged: Sequence["_Judged"] | None) -> Look | None:
        if judged is None:
            self._count(Outcome.UNREADABLE)
            return None
        for one in judged:
            for outcome in [Outcome.JUDGED] * one.judgements or [Outcome.PASSED_OVER]:
                self._count(outcome)
        seen = tuple(one.seen for one in judged)
        saw_from_ns = note.span.start_ns - round(self._engine.lead_in_s * NS_PER_S)
        return Look(note.clip_id, note.span, note.epoch_at, seen, saw_from_ns)

    def _each(self, do: Callable[[S], T], of: Sequence[S]) -> list[T]:
        if self._at_once == 1 or len(of) <= 1:
            return list(map(do, of))
        with ThreadPoolExecutor(self._at_once) as pool:
            return list(pool.map(do, of))

    def _read(self, clip_id: str) -> ClipTokens | None:
        return readable_tokens(self._engine, self._tokens, clip_id)

    def _sieved(
        self, note: ClipNote, claims: Sequence[str], *, noted_only: bool
    ) -> list["_Sieved"]:
        passed = [_noted(note, claim) for claim in claims]
        if noted_only or all(passed):
            return [one or _DROPPED for one in passed]
        held = self._record.vectors_of(note.clip_id)
        return [
            one or (_Sieved((claim,)) if self._resembles(held, claim) else _DROPPED)
            for one, claim in zip(passed, claims, strict=True)
        ]

    def _judged(
        self, clips: Sequence[ClipTokens], sieved: Sequence[Sequence["_Sieved"]], *, least: float
    ) -> list[list["_Judged"]]:
        """What became of each clip's claims: of the first in all clips, then of the next."""
        judged: list[list[_Judged]] = [[] for _ in clips]
        for of_clips in zip(*sieved, strict=True):
            wanted = [
                one
                if one.times_ns or all(other.seen.probability >= least for other in earlier)
                else _DROPPED
                for one, earlier in zip(of_clips, judged, strict=True)
            ]
            pairs = zip(clips, wanted, strict=True)
            asked = [(clip, said) for clip, one in pairs for said in one.wordings]
            told = iter(self._judgements(asked))
            for one, earlier in zip(wanted, judged, strict=True):
                earlier.append(one.judged(list(islice(told, len(one.wordings)))))
        return judged

    def _judgements(self, asked: Sequence[tuple[ClipTokens, str]]) -> list[float]:
        """Of each clip and its wording, in calls that are about as long as each other."""
        rounds = math.ceil(len(asked) / (self._at_once * JUDGED_TOGETHER))
        calls = min(len(asked), self._at_once * rounds)
        bounds = [len(asked) * call // calls for call in range(calls)]
        parts = [asked[at:end] for at, end in pairwise([*bounds, len(asked)])]
        told = self._each(partial(judgements, self._engine), parts)
        return [one or 0.0 for some in told for one in some]

    def _resembles(self, held: ClipVectors | None, claim: str) -> bool:
        if held is None or held.model_id != self._engine.model_id:
            return True  # nothing to go by
        vector = self._vector(claim)
        reads, looks = float(held.text_vector @ vector), float(held.visual_vector @ vector)
        return reads >= READS_ALIKE or looks >= LOOKS_ALIKE

    def _vector(self, claim: str) -> Vector:
        if claim not in self._vectors:
            with self._turn():
                self._vectors[claim] = np.asarray(self._engine.embed([claim])[0])
        return self._vectors[claim]

    def _count(self, outcome: Outcome) -> None:
        self.count_of[outcome] += 1
        self._metrics.judged(outcome.value)


class _Sieved(NamedTuple):
    """What the sieve says of a claim and a clip: what to judge, if anything, and when it is."""

    wordings: tuple[str, ...]
    times_ns: tuple[tuple[int, int], ...] = ()
    is_noted: bool = False

    def judged(self, judgements: Sequence[float]) -> "_Judged":
        """What comes of the judgements of its wordings."""
        if not judgements:
            return _UNSEEN
        probability = probability_of(max(judgements), is_noted=self.is_noted)
        return _Judged(Seen(probability, self.times_ns), len(judgements))


class _Judged(NamedTuple):
    """What became of a claim and a clip, and how many judgements that took."""

    seen: Seen
    judgements: int


_DROPPED, _UNSEEN = _Sieved(()), _Judged(Seen(0.0), 0)


def _noted(note: ClipNote, claim: str) -> _Sieved | None:
    """What there is to judge of a claim that a note tells of."""
    events = [event for event in note.events if matches(claim, event.text)]
    if not events and not matches(claim, _told_beside_events(note)):
        return None
    wordings = tuple(dict.fromkeys(event.text for event in events))[:MOST_JUDGED] or (claim,)
    times_ns = tuple((event.span.start_ns, event.span.end_ns) for event in events)
    return _Sieved(wordings, times_ns, is_noted=True)


def _told_beside_events(note: ClipNote) -> str:
    """The text without its events, whose words must not be mixed.

    Who reads that a door opens and a window closes has not read that a door closes.
    """
    text = note.text
    for said in sorted({event.text for event in note.events}, key=len, reverse=True):
        text = text.replace(said, "")
    return text


def _that_meet(sieved: Sequence[_Sieved]) -> list[_Sieved]:
    """Without what has no time and cannot meet another that has none: one with a time never does.

    What has times stays, which may meet what a clip beside this one tells of.
    """
    if all(one.wordings and not one.times_ns for one in sieved):
        return list(sieved)
    return [one if one.times_ns else _DROPPED for one in sieved]


def probability_of(judgement: float, *, is_noted: bool) -> float:
    """How likely a clip shows a claim, by a judgement, by its note, and by how rare such is."""
    of_shown, of_others = (
        (NOTED_OF_SHOWN, NOTED_OF_OTHERS) if is_noted else (1 - NOTED_OF_SHOWN, 1 - NOTED_OF_OTHERS)
    )
    shown = judgement * BASE_RATE * of_shown
    other = (1 - judgement) * (1 - BASE_RATE) * of_others
    return shown / (shown + other) if math.isfinite(judgement) and shown + other else 0.0
