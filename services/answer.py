"""A question becomes an answer: plan, recall, look, arithmetic, and words with evidence.

    times     explicit times are cut out of the question and resolved for each stream; what it
              leaves open is taken from what was asked before (`services.follow_up`)
    plan      the model says what is asked for: an intent, and the events it is about
    recall    all noted events of the range that match; by vectors and words where none does
    look      the model reads stored tokens of a few clips again (`services.looking`)
    compute   counting, ordering and the rest are arithmetic (`services.findings`)
    say       the model writes from numbered findings; their exact times replace its [n], and
              their words its [what n]

Where there is no evidence the model is not asked to say anything: that something was not found,
cannot be made out, or was not watched is three different answers, and all are ours.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from memory.events import Occurrence, in_range, matching, occurrences
from memory.record import Record
from models.engine import ClipTokens, Engine
from models.errors import PromptTooLong, UnparsableReply
from models.schemas import Plan
from services.coverage import Asked, asked_of, coverage_of
from services.errors import EmptyQuestion, QuestionTooLong
from services.findings import Finding, find, phrases_of
from services.follow_up import Exchange, understood
from services.looking import DOUBTS, Checked, Looker, Sought
from services.moments import MINUTE_NS, Bounds, show_ns
from services.progress import is_recording
from services.registry import Registry
from services.respelling import respelt
from services.tracing import CarryingTracer, Tracer
from services.wording import Told, cite, counted, without_evidence
from streaming.messages import Answer, Citation, Coverage, Span, Verdict, wall_time

MAX_QUESTION_CHARS = 2000
MAX_FINDINGS = 8  # moments that the model is told; all of them are evidence
MAX_CLIPS = 4  # clips whose tokens are read while the answer is written
MAX_NOTES = 3  # whole notes that describe a time in which no event was noted
REACH_NS = MINUTE_NS  # an event that goes on across the edge of a range is read whole
RECENT_NS = MINUTE_NS  # "describe what you see", without a time, is about the latest minute
DEFAULT_QUESTION = "What happened?"
SOUGHT = ("when", "count", "exists", "describe")  # intents for which unnoted events are looked for

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what was said beside it: streams (none: all), and a range of time.

    `earlier`: what the same conversation asked before, in order.
    """

    text: str
    streams: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    earlier: tuple[Exchange, ...] = ()


class Answerer:
    """Answers from what is remembered. Reads everything, changes nothing."""

    def __init__(
        self,
        *,
        engine: Engine,
        record: Record,
        registry: Registry,
        looker: Looker,
        now_at: Callable[[], datetime],
        tracer: Tracer | None = None,
    ) -> None:
        self._engine = engine
        self._record = record
        self._registry = registry
        self._looker = looker
        self._now_at = now_at
        self._tracer = tracer or CarryingTracer()

    def ask(
        self, question: Question, *, on_text: Callable[[str], None] = lambda piece: None
    ) -> Answer:
        """Answer; `on_text` is given the answer's words as they come.

        Raises:
            QuestionError, TimeError, NoSuchStream, StoreError, ModelError
        """
        text = checked(question.text)
        now_at = self._now_at()
        with self._tracer.span("answer.plan"):
            meant = understood(
                text, question.earlier, self._plan, now_at=now_at, otherwise=DEFAULT_QUESTION
            )
        plan, bounds = meant.plan, meant.bounds.within(question.bounds)
        with self._tracer.span("answer.recall"):
            asked = self._asked(question.streams, bounds, plan, now_at=now_at)
            coverage = coverage_of(self._record, asked)
            noted = self._noted(plan, asked)
            plan = respelt(plan, asked=meant.text, noted=(one.text for one in noted))
        finding, looked, sought = self._find(plan, asked, noted)
        verdict = _verdict(finding, coverage, sought)
        if verdict is Verdict.FOUND:
            pieces = self._say(meant.rest, plan, finding, asked)
        else:
            pieces = iter([without_evidence(verdict, plan.intent, coverage)])
        said: list[str] = []
        with self._tracer.span("answer.write"):
            for piece in pieces:
                said.append(piece)
                on_text(piece)
        is_known = verdict in (Verdict.FOUND, Verdict.NOT_FOUND)
        return Answer(
            question=meant.text,
            intent=plan.intent,
            text="".join(said).strip(),
            value=finding.value if is_known else None,
            verdict=verdict,
            evidence=tuple(_citation(one, looked) for one in finding.moments),
            coverage=coverage,
            model_id=self._engine.model_id,
        )

    def _plan(self, question: str) -> Plan:
        """The model's plan; where it makes none, the words of the question are looked for."""
        try:
            return self._engine.plan(question)
        except UnparsableReply as error:
            log.warning("no plan: %s", error)
            return Plan(intent="when", events=(question,))
        except PromptTooLong as error:
            raise QuestionTooLong(
                chars=len(question), most_chars=len(question) * error.limit // error.num_tokens
            ) from error

    def _asked(
        self, streams: Sequence[str], bounds: Bounds, plan: Plan, *, now_at: datetime
    ) -> list[Asked]:
        names = streams or self._registry.names()
        specs = [self._registry.stream(name) for name in names]
        asked = asked_of(self._record, specs, bounds, now_at=now_at)
        if plan.intent == "describe" and not plan.events and bounds == Bounds():
            return [one.latest(self._record, RECENT_NS) for one in asked]
        return asked

    def _noted(self, plan: Plan, asked: Sequence[Asked]) -> list[Occurrence]:
        """All that was noted in the range that the plan is about."""
        spans = [one.span for one in asked if one.span is not None]
        reached = [_from_the_start(span) if plan.intent == "state" else span for span in spans]
        return in_range(
            occurrences(self._record.events([_widened(span) for span in reached])), reached
        )

    def _find(
        self, plan: Plan, asked: Sequence[Asked], noted: Sequence[Occurrence]
    ) -> tuple[Finding, Checked, Sought | None]:
        spans = [one.span for one in asked if one.span is not None]
        phrases = phrases_of(plan)
        relevant = matching(phrases, noted) if phrases else noted
        with self._tracer.span("answer.look"):
            looked = self._looker.check(
                relevant, from_the_end=plan.which == "last" or plan.intent == "state"
            )
        kept = set(looked.kept)
        left = [one for one in noted if one in kept or one not in set(relevant)]
        finding = find(plan, left)
        if plan.intent == "describe" and not phrases and not finding.is_found:
            finding = find(plan, self._notes(spans))
        if finding.is_found or not phrases or plan.intent not in SOUGHT or not spans:
            return finding, looked, None
        with self._tracer.span("answer.look"):
            sought = self._looker.seek(plan.events, spans)
        agreed = looked.agreed | dict.fromkeys(sought.shown, True)
        return find(plan, sought.shown), Checked(looked.kept, agreed), sought

    def _notes(self, spans: Sequence[Span]) -> list[Occurrence]:
        """The latest notes as such: a picture in which nothing happens can be described too."""
        notes = [note for note in self._record.clips(spans) if note.text]
        return [
            Occurrence(note.text, note.span, note.epoch_at, (note.clip_id,))
            for note in notes[-MAX_NOTES:]
        ]

    def _say(
        self, question: str, plan: Plan, finding: Finding, asked: Sequence[Asked]
    ) -> Iterator[str]:
        """The model's words about the finding; ours if it has none, or miscounts."""
        told = finding.moments[:MAX_FINDINGS]
        findings = [
            f"result: {finding.result}",
            *(f"[{number}] {one.text}" for number, one in enumerate(told, start=1)),
        ]
        cited = [Told(one.text, at=_shown(one, asked)) for one in told]
        written, ours = self._written(question, findings, self._clips(told)), ""
        if plan.intent == "count":
            written = counted(written, finding.result, asked=question)
            ours = "once: " if finding.value == 1 else f"{finding.result} times: "
        spoke = False
        for piece in cite(written, cited):
            spoke = spoke or any(character.isalnum() for character in piece)
            yield piece
        if not spoke:
            yield ours + "; ".join(f"{one.text}: {one.at}" for one in cited)

    def _written(
        self, question: str, findings: Sequence[str], clips: Sequence[ClipTokens]
    ) -> Iterator[str]:
        try:
            yield from self._engine.answer(question, findings=findings, clips=clips)
        except PromptTooLong as error:
            log.warning("answering without looking: %s", error)
            yield from self._engine.answer(question, findings=findings, clips=())

    def _clips(self, told: Sequence[Occurrence]) -> list[ClipTokens]:
        clip_ids = list(dict.fromkeys(one.clip_ids[0] for one in told))[:MAX_CLIPS]
        tokens = [self._looker.tokens_of(clip_id) for clip_id in clip_ids]
        return [one for one in tokens if one is not None]


def checked(question: str) -> str:
    """The question without blanks around it, or a `QuestionError`."""
    question = question.strip()
    if not question:
        raise EmptyQuestion
    if len(question) > MAX_QUESTION_CHARS:
        raise QuestionTooLong(chars=len(question), most_chars=MAX_QUESTION_CHARS)
    return question


def _verdict(finding: Finding, coverage: Coverage, sought: Sought | None) -> Verdict:
    if finding.is_found:
        return Verdict.FOUND
    if not coverage.watched_ns:
        return Verdict.NOT_WATCHED
    if sought is not None and sought.best >= DOUBTS:
        return Verdict.NOT_VISIBLE
    return Verdict.NOT_FOUND


def _citation(one: Occurrence, looked: Checked) -> Citation:
    return Citation(
        span=one.span,
        clip_id=one.clip_ids[0],
        text=one.text,
        start_at=wall_time(one.epoch_at, one.span.start_ns),
        end_at=wall_time(one.epoch_at, one.span.end_ns),
        verified=looked.agreed.get(one),
    )


def _shown(one: Occurrence, asked: Sequence[Asked]) -> str:
    """The moment in words: media time of a recording, the clock on the wall of a camera."""
    of_stream = next(each for each in asked if each.spec.stream_id == one.span.stream_id)
    where = f"{one.span.stream_id} " if len(asked) > 1 else ""
    if is_recording(of_stream.spec):
        return f"{where}{show_ns(one.span.start_ns)}–{show_ns(one.span.end_ns)}"
    starts, ends = (
        _clock(wall_time(one.epoch_at, ns)) for ns in (one.span.start_ns, one.span.end_ns)
    )
    return f"{where}{starts}–{ends.partition(' ')[2]}"


def _clock(at: datetime) -> str:
    return at.astimezone().replace(tzinfo=None).isoformat(" ", "milliseconds")


def _widened(span: Span) -> Span:
    return span.model_copy(
        update={"start_ns": max(0, span.start_ns - REACH_NS), "end_ns": span.end_ns + REACH_NS}
    )


def _from_the_start(span: Span) -> Span:
    return span.model_copy(update={"start_ns": 0})
