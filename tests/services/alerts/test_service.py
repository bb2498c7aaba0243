"""Rules within the running service: a film is watched, and what it shows is raised and told."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.spans import whole_stream
from models.engine import EncodedClip
from models.errors import UnusableFrames
from services.alerts.backtest import back_test
from services.alerts.book import RuleBook
from services.alerts.judging import Judge
from services.alerts.keeper import CLOSE_EVERY_NS, RuleKeeper
from services.alerts.machine import passed_over, step
from services.alerts.rules import Rule
from services.alerts.watch import Look, Seen, Watch
from services.forget import forget_span
from services.metrics import Metrics
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import Stores, now_ns, opened, opened_bus
from streaming.messages import (
    NS_PER_S,
    TOPIC_CLIPS,
    ClipNote,
    ClipRemembered,
    GapReason,
    Span,
)
from tests.services.alerts.looks import in_short
from tests.services.alerts.receiver import receiving
from tests.services.alerts.test_courier import SECRET
from tests.services.analysing import analyse
from tests.services.conftest import EPOCH, remember, serve
from tests.services.processes import Services, until
from tests.services.scripted_engine import LAYOUT, ScriptedEngine

BRIGHT, DIM_AFTER = "a bright light shines", "a bright light then a dim light within 20s"


def rule(sentence: str = BRIGHT, **changes: object) -> Rule:
    fields = {"name": "r", "cooldown_ns": 0, "to": ("kafka",), "added_at": EPOCH, **changes}
    return Rule.model_validate({"sentence": sentence, **fields})


def book_of(stores: Stores) -> RuleBook:
    return RuleBook(stores.record.documents, now_ns=now_ns)


def judge_of(stores: Stores) -> Judge:
    return Judge(engine=ScriptedEngine(), record=stores.record, tokens=stores.tokens)


def everything(stores: Stores) -> list[Span]:
    return [whole_stream(spec.stream_id) for spec in stores.record.streams()]


@pytest.mark.parametrize(
    ("sentence", "raised"),
    [
        (BRIGHT, ["end 12-15", "end 34-36"]),
        ("a light shines", ["end 12-24", "end 34-36"]),
        (DIM_AFTER, ["end 12-20"]),
        ("absent a light for 15s", []),
        ("absent a light for 8s", ["end 0-10", "end 24-34", "end 36-45"]),
        ("more than 1 bright lights within 40s", ["end 34-45"]),
        ("a bright light while a dim light", []),
        ("a green light", []),
    ],
)
def test_a_film_is_watched_for_a_rule_and_a_back_test_says_so(
    bare: Settings, light_film: Path, sentence: str, raised: list[str]
) -> None:
    with opened(bare, make=True) as stores:
        stores.registry.add(NewStream("cam", str(light_film)))
        book_of(stores).add(rule(sentence))
    serve(bare)
    with opened(bare) as stores:
        alerts = book_of(stores).alerts()
        tried = back_test(rule(sentence), stores.record, judge_of(stores), everything(stores))

        assert book_of(stores).outbox() == {}

    assert in_short(alerts) == raised
    assert list(tried.alerts) == alerts
    assert tried.clips == 5


def test_a_rule_counts_for_what_is_yet_to_come(settings: Settings, light_film: Path) -> None:
    with opened(settings) as stores:
        book_of(stores).add(rule(from_ns={"cam": 45 * NS_PER_S}))
    remember(settings, "door", light_film)
    with opened(settings) as stores:
        assert [one.span.stream_id for one in book_of(stores).alerts()] == ["door", "door"]


def keeper_of(stores: Stores) -> RuleKeeper:
    return RuleKeeper(
        book=book_of(stores),
        judge=lambda: judge_of(stores),
        record=stores.record,
        monotonic_ns=lambda: 0,
        metrics=Metrics(),
    )


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4,), (2, 0, 4, 4, 1, 3), (1, 1, 0, 3, 2, 4)])
def test_messages_that_come_twice_late_or_not_at_all_change_nothing(
    stores: Stores, settings: Settings, order: tuple[int, ...]
) -> None:
    book_of(stores).add(rule("a light shines"))
    notes = stores.record.clips()
    with opened_bus(settings) as bus:
        for number in order:
            note = notes[number]
            message = ClipRemembered(clip_id=note.clip_id, span=note.span)
            bus.publish("again", key="cam", value=message.model_dump_json().encode())
        for record in bus.consumer("again", group="test").poll(max_records=10, timeout_s=0):
            keeper = keeper_of(stores)
            keeper.handle(record, keeper.prepare(record))

    assert in_short(book_of(stores).alerts()) == ["end 12-24", "end 34-36"]
    assert len(book_of(stores).outbox()) == 4


def test_the_service_lets_go_of_alerts_that_ended_long_ago(
    bare: Settings, light_film: Path
) -> None:
    keeping = bare.model_copy(update={"alerts_keep_days": 10})
    with opened(keeping, make=True) as stores:
        at_ns = now_ns()
        for name, days in (("old", 11), ("young", 9)):
            raised_ns = at_ns - days * 86_400 * NS_PER_S
            book = RuleBook(stores.record.documents, now_ns=lambda raised_ns=raised_ns: raised_ns)
            book.add(rule(name=name))
            stores.registry.add(NewStream(name, str(light_film)))
            place = book.place(rule(name=name), name)
            assert place is not None
            seen = Look("clip", Span(stream_id=name, start_ns=0, end_ns=9), EPOCH, (Seen(0.9),))
            assert book.advance(place, step(rule(name=name), rule().condition, Watch(), seen))
            book.remove(name)
    serve(keeping)

    with opened(keeping) as stores:
        assert [one.rule for one in book_of(stores).alerts()] == ["young"]


def test_what_no_message_tells_any_more_is_caught_up_with(stores: Stores) -> None:
    book_of(stores).add(rule("a light shines"))
    keeper = keeper_of(stores)
    for _ in stores.record.clips():
        keeper.idle()

    assert in_short(book_of(stores).alerts()) == ["end 12-24", "end 34-36"]


def test_an_alert_ends_with_its_stream_though_no_clip_tells(stores: Stores) -> None:
    book, times_ns = book_of(stores), iter([0, 0, CLOSE_EVERY_NS])
    book.add(rule())
    place = book.place(rule(), "cam")
    assert place is not None
    going_on = passed_over(rule(), place.watch, 35 * NS_PER_S).watch
    last = Span(stream_id="cam", start_ns=35 * NS_PER_S, end_ns=45 * NS_PER_S)
    look = Look("clip", last, EPOCH, (Seen(0.9),))
    assert book.advance(place, step(rule(), rule().condition, going_on, look))
    keeper = RuleKeeper(
        book=book,
        judge=lambda: judge_of(stores),
        record=stores.record,
        monotonic_ns=lambda: next(times_ns, 2 * CLOSE_EVERY_NS),
        metrics=Metrics(),
    )

    keeper.idle()
    assert in_short(book.alerts()) == ["new 35-45"]
    keeper.idle()
    assert in_short(book.alerts()) == ["end 35-45"]


class Blinking(ScriptedEngine):
    """Cannot read the last clip of the film, which is shorter."""

    def encode(
        self,
        frames_THWC: NDArray[np.uint8],
        times_s_T: Sequence[float],
        *,
        before: EncodedClip | None = None,
    ) -> EncodedClip:
        if len(frames_THWC) < LAYOUT.max_frames:
            raise UnusableFrames(frames_THWC.shape)
        return super().encode(frames_THWC, times_s_T, before=before)


def test_an_alert_ends_with_its_stream_though_the_last_clip_cannot_be_read(
    captured: Settings,
) -> None:
    analyse(captured, engine=Blinking())
    times_ns = count(step=CLOSE_EVERY_NS)
    with opened(captured) as stores:
        assert [gap.reason for gap in stores.record.gaps()] == [GapReason.CORRUPT]
        book = book_of(stores)
        book.add(rule())
        keeper = RuleKeeper(
            book=book,
            judge=lambda: judge_of(stores),
            record=stores.record,
            monotonic_ns=lambda: next(times_ns),
            metrics=Metrics(),
        )
        for _ in stores.record.clips():
            keeper.idle()
        assert in_short(book.alerts()) == ["end 12-15", "end 34-36"]


def test_a_clip_whose_tokens_are_gone_was_not_watched(stores: Stores) -> None:
    third = stores.record.clips()[2]
    stores.tokens.delete(third.clip_id)
    tried = back_test(rule("a light shines"), stores.record, judge_of(stores), everything(stores))

    assert in_short(tried.alerts) == ["end 12-20", "end 34-36"]
    assert tried.unreadable == 1


def test_a_schedule_is_heeded(stores: Stores) -> None:
    (spec,) = stores.record.streams()
    assert spec.epoch_at is not None
    day = spec.epoch_at.astimezone().strftime("%a").lower()
    others = ",".join({"mon", "tue", "wed", "thu", "fri", "sat", "sun"} - {day})
    for schedule, expected in ((day, 2), (others, 0)):
        tried = back_test(
            rule(schedule=schedule), stores.record, judge_of(stores), everything(stores)
        )
        assert len(tried.alerts) == expected


def test_what_is_forgotten_leaves_no_alert(settings: Settings, light_film: Path) -> None:
    with opened(settings) as stores:
        book_of(stores).add(rule(from_ns={"cam": 45 * NS_PER_S}))
    remember(settings, "door", light_film)
    with opened(settings) as stores:
        forget_span(stores, Span(stream_id="door", start_ns=0, end_ns=20 * NS_PER_S))
        assert in_short(book_of(stores).alerts()) == ["end 34-36"]


@pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")  # a bus that closes
def test_on_kafka_and_redis_a_webhook_is_told(
    light_film: Path, redis_url: str, kafka_servers: str, tmp_path: Path
) -> None:
    with receiving() as receiver:
        settings = load_settings(
            data=tmp_path / "data",
            redis=redis_url,
            kafka=kafka_servers,
            kafka_prefix=f"{uuid4().hex}.",
            webhook_secret=SECRET,
            webhook_private=True,
        )
        with opened(settings, make=True) as stores:
            book_of(stores).add(rule(to=(f"webhook:{receiver.url}/hook", "kafka")))
        remember(settings, "cam", light_film)
        with opened(settings) as stores:
            assert book_of(stores).outbox() == {}

    told = [one.alert for one in receiver.posted]
    assert in_short(told) == ["new 12-15", "end 12-15", "new 34-36", "end 34-36"]


def test_a_service_that_is_killed_goes_on(settings: Settings, tmp_path: Path) -> None:
    """`longwatch run alerts` alone, fed with what the film's analysis announced."""
    with receiving() as receiver, opened(settings) as stores, opened_bus(settings) as bus:
        book_of(stores).add(rule(to=(f"webhook:{receiver.url}/hook",)))
        notes = stores.record.clips()
        services = Services(
            {"alerts": ("run", "alerts")},
            environment={
                "LONGWATCH_DATA": str(settings.data),
                "LONGWATCH_WEBHOOK_SECRET": SECRET,
                "LONGWATCH_WEBHOOK_PRIVATE": "true",
            },
            logs=tmp_path / "logs",
        )

        def announce(note: ClipNote) -> None:
            message = ClipRemembered(clip_id=note.clip_id, span=note.span)
            bus.publish(TOPIC_CLIPS, key="cam", value=message.model_dump_json().encode())

        try:
            services.start()
            for note in notes[:2]:
                announce(note)
            until(lambda: len(receiver.posted) > 0, services["alerts"])
            services["alerts"].kill()
            for note in notes:
                announce(note)
            services.start("alerts")
            services.until_ready()
            until(lambda: len({*receiver.taken("/hook")}) == 4, services["alerts"])
            assert services.stop() == {"alerts": 0}
        finally:
            services.clean_up()

    told = {one.alert.message_id: one.alert for one in receiver.posted}
    assert in_short(told.values()) == ["new 12-15", "end 12-15", "new 34-36", "end 34-36"]
