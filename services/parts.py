"""The services as parts: each made in one place, whether it runs by itself or within `up`."""

import logging
import threading
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

from memory.errors import StoreError
from memory.forgetting import finish_forgetting
from memory.index import ClipSearch
from memory.values import DAY_NS
from models.errors import WeightsSwapped
from services.alerts.courier import LOOK_EVERY_S, Courier
from services.alerts.early import EarlyKeeper, claims_early
from services.alerts.judging import Judge
from services.alerts.keeper import RuleKeeper
from services.alerts.mqtt import MqttPublisher
from services.alerts.telling import Messenger
from services.alerts.webhooks import Webhooks
from services.analyse import Analyst, Sampled, Sampling, policy_of
from services.behind import BackPressure, Limit
from services.capture import CaptureParts, Supervisor
from services.describing import Describer
from services.following import EARLY, FOLLOWED, NOT_WAITED_FOR
from services.forget import everything
from services.glimpses import Glimpser
from services.index import IndexKeeper
from services.locks import Service
from services.metrics import Metrics, Stage
from services.patient import PatientRememberer
from services.progress import PAUSED, cursor_of
from services.remember import Rememberer
from services.requests import (
    Answered,
    BackTested,
    BackTestRequest,
    OnText,
    Request,
    Result,
    back_tested,
    respond,
)
from services.resident import Resident
from services.room import SelfClearingFootage
from services.signing import secret_of
from services.summaries.keeper import SummaryKeeper
from services.threads import beside, repeated
from services.turns import Turn, questions_at_once
from services.weights import Held
from services.wiring import Stores, WatchingEngine, now_ns, rules_of, sealed_sinks
from services.worker import Worker
from streaming.bus import Bus
from streaming.clock import WallClock
from streaming.decode import Decoding
from streaming.footage import FootageStore
from streaming.messages import (
    NS_PER_S,
    TOPIC_ALERTS,
    TOPIC_CLIPS,
    TOPIC_DEAD_LETTERS,
    TOPIC_GLIMPSES,
    TOPIC_SEGMENTS,
    ClipGlimpsed,
    ClipRemembered,
)
from streaming.topics import TOPICS

KEEP_MESSAGES_S = 7 * 86_400  # after they were handled; for a person who wants to see what was
SWEEP_EVERY_S = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service works with: its stores, its bus, its clock and what it measures."""

    stores: Stores
    bus: Bus
    clock: WallClock
    metrics: Metrics


def supervisor_of(parts: Parts, *, stood_in: Collection[Service]) -> Supervisor:
    """Capture, after what an earlier one left undone is done.

    The caller is the only capture, and those of `stood_in` run nowhere else.
    """
    stores = parts.stores
    stores.secrets.seal_all()
    finish_forgetting(everything(stores, stood_in))
    for spec in stores.record.streams():
        stores.record.set_cursor(cursor_of(PAUSED, spec), 0)
    return Supervisor(
        CaptureParts(
            *(stores.record, stores.registry, parts.bus, footage_of(parts), parts.clock),
            metrics=parts.metrics,
        )
    )


def footage_of(parts: Parts) -> FootageStore:
    """Where captures store, which is where all read."""
    stores = parts.stores
    if stores.settings.when_full == "wait":
        return stores.footage
    return SelfClearingFootage(stores.settings.footage, record=stores.record, metrics=parts.metrics)


Serving = Callable[[], WatchingEngine]
"""The engine that serves just now; whoever asks keeps it until his piece of work is done."""


def analyst_of(
    parts: Parts, serving: Serving, decoding: Decoding, *, turn: Turn = nullcontext
) -> Worker[Sampled]:
    """Analysis, whose calls of the model wait for their turn."""
    bus, metrics = parts.bus, parts.metrics
    return Worker(
        Service.ANALYSE,
        bus=bus,
        consumer=bus.consumer(TOPIC_SEGMENTS, group=Service.ANALYSE),
        handler=analysis(parts, serving, decoding, turn=turn),
        metrics=metrics,
    )


def analysis(
    parts: Parts,
    serving: Serving,
    decoding: Decoding,
    *,
    turn: Turn = nullcontext,
    kind: type[Analyst] = Analyst,
) -> Analyst:
    """What analysis does with its messages, whoever brings them."""
    stores, metrics = parts.stores, parts.metrics
    metrics.decoder(decoding)

    def rememberer() -> Rememberer:
        return Rememberer(
            engine=serving(),
            record=stores.record,
            tokens=stores.tokens,
            bus=parts.bus,
            turn=turn,
            metrics=metrics,
        )

    glimpser = Glimpser(
        rememberer=rememberer,
        tokens=stores.tokens,
        bus=parts.bus,
        clock=parts.clock,
        claims=lambda stream_id, at: claims_early(rules_of(stores).rules(), stream_id, at),
        metrics=metrics,
    )
    return kind(
        record=stores.record,
        footage=stores.footage,
        rememberer=PatientRememberer(rememberer, glimpser, monotonic_ns=parts.clock.monotonic_ns),
        sampling=Sampling(policy_of(serving().layout), decoding),
        pressure=BackPressure(
            stores.record,
            Limit(stores.settings.when_behind, stores.settings.behind_s),
            parts.clock,
        ),
        metrics=metrics,
    )


def indexer_of(parts: Parts, keeper: IndexKeeper) -> Worker[None]:
    return Worker(
        Service.INDEX,
        bus=parts.bus,
        consumer=parts.bus.consumer(TOPIC_CLIPS, group=Service.INDEX),
        handler=keeper,
        metrics=parts.metrics,
    )


@dataclass(frozen=True, slots=True)
class Keepers:
    """Who holds rules against clips, and against what there is of unfinished ones."""

    whole: Worker[ClipRemembered]
    early: Worker[ClipGlimpsed]


def keepers_of(parts: Parts, serving: Serving, *, turn: Turn = nullcontext) -> Keepers:
    """Rules, whose calls of the model wait for their turn."""
    stores, bus, metrics = parts.stores, parts.bus, parts.metrics

    @lru_cache(1)
    def judge(engine: WatchingEngine) -> Judge:
        return Judge(
            engine=engine, record=stores.record, tokens=stores.tokens, turn=turn, metrics=metrics
        )

    def describer() -> Describer:
        return Describer(
            engine=serving(),
            record=stores.record,
            tokens=stores.tokens,
            turn=turn,
            metrics=metrics,
        )

    keeper = RuleKeeper(
        book=rules_of(stores),
        judge=lambda: judge(serving()),
        record=stores.record,
        monotonic_ns=parts.clock.monotonic_ns,
        metrics=metrics,
    )
    return Keepers(
        Worker(
            Service.ALERTS,
            bus=bus,
            consumer=bus.consumer(TOPIC_CLIPS, group=Service.ALERTS),
            handler=keeper,
            metrics=metrics,
        ),
        Worker(
            Service.ALERTS,
            bus=bus,
            consumer=bus.consumer(TOPIC_GLIMPSES, group=EARLY),
            handler=EarlyKeeper(keeper, describer, serving().layout, metrics),
            metrics=metrics,
        ),
    )


def keep_rules(parts: Parts, keepers: Keepers, stop: threading.Event) -> None:
    """Hold rules against clips until `stop` is set, and tell of alerts; of the last ones, too."""
    courier = courier_of(parts)
    book = rules_of(parts.stores)
    keep_ns = parts.stores.settings.alerts_keep_days * DAY_NS

    def sweep() -> None:
        book.sweep(keep_ns=keep_ns)
        rules = book.rules()  # first: what a rule that is removed then has to tell is in the outbox
        to_tell = (*book.outbox().values(), *book.shared().values())
        named = {one.rule_id for one in (*rules, *to_tell)}
        since_s = now_ns() / NS_PER_S - SWEEP_EVERY_S
        sealed_sinks(parts.stores).keep_only(named, since_s=since_s)

    with (
        repeated("deliver", courier.deliver, every_s=LOOK_EVERY_S),
        repeated("sweep alerts", sweep, every_s=SWEEP_EVERY_S),
        beside("glimpses", keepers.early.run, stop),
    ):
        keepers.whole.run(stop)
    try:
        courier.deliver()
    except StoreError as error:
        log.warning("the last alerts are told of later: %s", error)


def courier_of(parts: Parts) -> Courier:
    """Whoever tells of alerts, wherever they come from."""
    settings, webhooks = parts.stores.settings, None
    if settings.webhook_secret is not None:
        secret = secret_of(settings.webhook_secret.get_secret_value())
        webhooks = Webhooks(secret, allow_private=settings.webhook_private)
    mqtt, sealed = MqttPublisher(settings.mqtt_ca_file), sealed_sinks(parts.stores)
    messenger = Messenger(parts.bus, webhooks, mqtt, sealed, now_ns=now_ns)
    return Courier(rules_of(parts.stores), messenger, now_ns=now_ns, metrics=parts.metrics)


def summariser_of(parts: Parts) -> Worker[None]:
    return Worker(
        Service.SUMMARISE,
        bus=parts.bus,
        consumer=parts.bus.consumer(TOPIC_CLIPS, group=Service.SUMMARISE),
        handler=SummaryKeeper(
            parts.stores.record, monotonic_ns=parts.clock.monotonic_ns, metrics=parts.metrics
        ),
        metrics=parts.metrics,
    )


Index = Callable[[], ClipSearch]
"""Gives the index of an engine's vectors, up to date."""


def resident_of(
    parts: Parts,
    serving: Callable[[], Held[Index]],
    *,
    look: Callable[[], None] = lambda: None,
    turn: Turn = nullcontext,
    on_listening: Callable[[], None] = lambda: None,
) -> Resident:
    """Answers through the socket, each with what serves when its turn has come.

    Where the model's servers have other weights by then, `look` is to find these, too, and the
    question is answered by them: none of its words was said yet.
    """
    stores, metrics = parts.stores, parts.metrics

    def answered(request: Request, on_text: OnText) -> Result:
        if isinstance(request, BackTestRequest):
            engine = serving().engine
            return back_tested(request, stores, engine, on_text=on_text, turn=turn)
        with turn(), metrics.timed(Stage.ANSWER):
            held = serving()
            try:
                return by(held, request, on_text)
            except WeightsSwapped:
                look()
                if (now := serving()).engine is held.engine:
                    raise
                return by(now, request, on_text)

    def by(held: Held[Index], request: Request, on_text: OnText) -> Result:
        return respond(
            *(request, stores, held.engine, held.other()), on_text=on_text, tracer=metrics.tracer
        )

    def measured(request: Request, on_text: OnText) -> Result:
        outcome = "failed"
        try:
            result = answered(request, on_text)
            outcome = outcome_of(result)
        finally:
            metrics.answered(outcome)
        return result

    at_once = questions_at_once(stores.settings)
    return Resident(stores.settings, measured, at_once=at_once, on_listening=on_listening)


def outcome_of(result: Result) -> str:
    match result:
        case Answered():
            return result.answer.verdict.value
        case BackTested():
            return "tried"
        case _:
            return "searched"


def trim(bus: Bus) -> None:
    """Drop old messages that their follower has handled, so that the bus does not grow for ever."""
    for topic in {topic for topic, _ in FOLLOWED}:
        waited_for = [
            bus.committed(topic, group=group)
            for followed, group in FOLLOWED
            if followed == topic and group not in NOT_WAITED_FOR
        ]
        handled = {
            partition: min(committed[partition] for committed in waited_for)
            for partition in bus.bounds(topic)
            if all(partition in committed for committed in waited_for)
        }
        bus.trim(topic, max_age_s=KEEP_MESSAGES_S, below=handled)
    for topic in (TOPIC_DEAD_LETTERS, TOPIC_ALERTS, TOPIC_GLIMPSES):
        bus.trim(topic, max_age_s=TOPICS[topic].keep_s or KEEP_MESSAGES_S)
