"""What can be asked of a memory, and how it is replied to: the same in whatever process.

A service that runs replies to requests that come through its socket (`services.resident`); where
none runs, the command replies by itself. A request carries the words of the person who asks, so
that times are read, and refused, in one place; and that person's clock, which day words refer to.
"""

import hashlib
import logging
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, TypeAdapter

from memory.errors import StoreError
from memory.feedback import ID_TIME, Feedback, KeptAnswer
from memory.index import ClipSearch
from models import usage
from models.engine import Engine
from services.alerts.backtest import back_test
from services.alerts.judging import Judge
from services.alerts.rules import Rule
from services.answer import Answerer, Question, checked
from services.console import OURS
from services.coverage import asked_of
from services.errors import AnswerFailed
from services.follow_up import Exchange
from services.looking import Looker
from services.moments import Bounds, parse_bounds, show_ns
from services.promoted import is_named, served_model
from services.settings import Settings
from services.tracing import Tracer
from services.turns import Turn, looks_at_once
from services.wiring import Stores, now_at
from streaming.messages import NS_PER_S, Alert, Answer, ClipNote, Message, Span

OnText = Callable[[str], None]

log = logging.getLogger(__name__)


class Asked(Message):
    """What all requests share. `model` is one that was named; None leaves it open."""

    text: str
    streams: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    asked_at: AwareDatetime
    model: str | None = None

    def bounds(self) -> Bounds:
        return parse_bounds(self.since, self.until, now_at=self.asked_at)


class AskRequest(Asked):
    """A question. `earlier`: what the same conversation asked before, in order."""

    kind: Literal["ask/2"] = "ask/2"
    earlier: tuple[Exchange, ...] = ()

    @property
    def answer_id(self) -> str:
        """Under which the answer is kept: what was asked, and when."""
        asked_at = self.asked_at.astimezone(UTC)
        asked = (asked_at.isoformat(), self.text, self.streams, self.since, self.until)
        digest = hashlib.sha256(repr(asked).encode()).hexdigest()[:8]
        return f"{asked_at.strftime(ID_TIME)}-{digest}"


class SearchRequest(Asked):
    kind: Literal["search/1"] = "search/1"
    limit: Annotated[int, Field(ge=1)]


class BackTestRequest(Asked):
    """What a rule would have raised; `text` is its sentence."""

    kind: Literal["back_test/1"] = "back_test/1"
    rule: Rule


class Usage(Message):
    """Tokens that the model read and wrote for an answer, in all of its calls.

    `cached_tokens`: of those that it read, which a server had read before.
    """

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class Answered(Message):
    """An answer, and what it took; None where the model's server does not say."""

    kind: Literal["answered/1"] = "answered/1"
    answer: Answer
    usage: Usage | None


class FoundClips(Message):
    """The clips that a search found, best first."""

    kind: Literal["found_clips/1"] = "found_clips/1"
    clips: tuple[ClipNote, ...]


class BackTested(Message):
    """What a rule would have raised, over how much of the time, and what that took."""

    kind: Literal["back_tested/1"] = "back_tested/1"
    alerts: tuple[Alert, ...]
    alerts_a_day: float
    watched_s: float
    clips: int
    passed_over: int
    judgements: int
    unreadable: int
    seconds: float


class Said(Message):
    """Words of an answer, as they are written; of a back-test, how far it has come."""

    kind: Literal["said/1"] = "said/1"
    text: str


class Failed(Message):
    """An error of ours, by the name of its type."""

    kind: Literal["failed/1"] = "failed/1"
    error: str
    message: str

    @classmethod
    def of(cls, error: Exception) -> Self:
        return cls(error=type(error).__name__, message=str(error))

    def as_raised(self) -> Exception:
        """The error again: of its type and in its words."""
        kinds = list(OURS)
        for kind in kinds:
            kinds += kind.__subclasses__()
            if kind.__name__ == self.error:
                return kind.__new__(kind, self.message)
        return AnswerFailed(reason=self.message)


class Declined(Message):
    """Whoever asks is to see for itself."""

    kind: Literal["declined/1"] = "declined/1"
    reason: str


Request = AskRequest | SearchRequest | BackTestRequest
Result = Answered | FoundClips | BackTested
Reply = Said | Result | Failed | Declined

REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])


def model_named(settings: Settings) -> str | None:
    """The model that somebody named, as a request carries it."""
    return model_of(settings) if is_named(settings) or settings.model_url else None


def model_of(settings: Settings) -> str:
    """The checkpoint; or where a model runs that is not in process, and its name there."""
    if settings.model_url is not None:
        return f"{settings.model_url} {settings.model_name or ''}".strip()
    return str(served_model(settings).resolve())


def refuse_early(request: Request) -> None:
    """What can be refused before anything is loaded.

    Raises:
        QuestionError, TimeError
    """
    checked(request.text)
    request.bounds()


def respond(
    request: Request,
    stores: Stores,
    engine: Engine,
    index: ClipSearch,
    *,
    on_text: OnText,
    tracer: Tracer | None = None,
) -> Result:
    """Reply; `on_text` is given the words of an answer as they come.

    Raises:
        QuestionError, TimeError, NoSuchStream, StoreError, ModelError
    """
    if isinstance(request, BackTestRequest):
        return back_tested(request, stores, engine, on_text=on_text)
    if isinstance(request, SearchRequest):
        return _search(request, stores, looker_of(stores, engine, index))
    answerer = answerer_of(stores, engine, index, now_at=lambda: request.asked_at, tracer=tracer)
    question = Question(request.text, request.streams, request.bounds(), request.earlier)
    with usage.counted() as took:
        answer = answerer.ask(question, on_text=on_text)
    _keep(request, answer, stores)
    return Answered(answer=answer, usage=_known(took))


def _known(took: usage.Usage) -> Usage | None:
    if not took.is_known:
        return None
    return Usage(
        prompt_tokens=took.prompt_tokens,
        cached_tokens=took.cached_tokens,
        completion_tokens=took.completion_tokens,
    )


def _keep(request: AskRequest, answer: Answer, stores: Stores) -> None:
    """Keep an answer, so that somebody can mark it. One that cannot be kept is an answer, too."""
    kept = KeptAnswer(answer_id=request.answer_id, asked_at=request.asked_at, answer=answer)
    try:
        Feedback(stores.record.documents).keep(kept)
    except StoreError as error:
        log.warning("answer %s cannot be marked: %s", kept.answer_id, error)


def spans_of(request: Asked, stores: Stores) -> list[Span]:
    """What a request is about, of what is remembered.

    Raises:
        TimeError, NoSuchStream, StoreError
    """
    specs = [stores.registry.stream(name) for name in request.streams or stores.registry.names()]
    asked = asked_of(stores.record, specs, request.bounds(), now_at=request.asked_at)
    return [one.span for one in asked if one.span is not None]


def back_tested(
    request: BackTestRequest,
    stores: Stores,
    engine: Engine,
    *,
    on_text: OnText = lambda piece: None,
    turn: Turn = nullcontext,
) -> BackTested:
    """Hold a rule against what is remembered; tells nobody.

    It may take long, so it asks for its turn at the model before each call.

    Raises:
        TimeError, NoSuchStream, StoreError, ModelError
    """
    judge = Judge(
        engine=engine,
        record=stores.record,
        tokens=stores.tokens,
        turn=turn,
        at_once=looks_at_once(stores.settings),
    )
    spans = spans_of(request, stores)
    tried = back_test(
        request.rule,
        stores.record,
        judge,
        spans,
        on_watched=lambda watched_s: on_text(show_ns(round(watched_s * NS_PER_S), decimals=0)),
    )
    return BackTested(
        alerts=tried.alerts,
        alerts_a_day=round(tried.alerts_a_day, 2),
        watched_s=round(tried.watched_s, 3),
        clips=tried.clips,
        passed_over=tried.passed_over,
        judgements=tried.judgements,
        unreadable=tried.unreadable,
        seconds=round(tried.seconds, 3),
    )


def _search(request: SearchRequest, stores: Stores, looker: Looker) -> FoundClips:
    text, within = checked(request.text), spans_of(request, stores)
    hits = looker.similar(text, within, limit=request.limit)
    notes = (stores.record.clip(hit.clip_id) for hit in hits)
    return FoundClips(clips=tuple(note for note in notes if note is not None))


def looker_of(stores: Stores, engine: Engine, index: ClipSearch) -> Looker:
    return Looker(engine=engine, record=stores.record, tokens=stores.tokens, index=index)


def answerer_of(
    stores: Stores,
    engine: Engine,
    index: ClipSearch,
    *,
    now_at: Callable[[], datetime] = now_at,
    tracer: Tracer | None = None,
) -> Answerer:
    return Answerer(
        engine=engine,
        record=stores.record,
        registry=stores.registry,
        looker=looker_of(stores, engine, index),
        now_at=now_at,
        tracer=tracer,
    )
