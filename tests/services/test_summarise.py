"""The service that keeps summaries: what it writes is what the notes say, whatever happens."""

import json
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from memory.documents import Key
from memory.record import Record
from memory.redis_record import RedisRecord
from memory.spans import whole_stream
from memory.summaries import MINUTE_NS, Level
from memory.summary_book import SummaryBook
from services.forget import forget_span, forget_whole
from services.metrics import Metrics
from services.moments import Bounds, MediaMoment
from services.progress import note_remembered
from services.registry import NewStream
from services.settings import Settings
from services.summaries.keeper import SummaryKeeper
from services.summaries.reading import SpanSummary, summaries
from services.wiring import Stores, opened, opened_bus
from streaming.messages import NS_PER_S, ClipNote, ClipRemembered, StreamEnded
from tests.memory.notes import EPOCH_AT, MODEL, gap, note, put, segment, span
from tests.services.films import film, story
from tests.services.processes import Services, measured, until

CLIPS = 6 * 130
TEXTS = ("a light shines", "a bell rings", "nothing moves")


@pytest.fixture
def stores(bare: Settings) -> Iterator[Stores]:
    """Two hours and ten minutes, in which something goes on across many clips."""
    with opened(bare, make=True) as stores:
        stores.registry.add(NewStream("pond", "rtsp://127.0.0.1:9/pond"))
        stores.record.set_epoch("pond", EPOCH_AT)
        draw = random.Random(3)
        for number in range(CLIPS):
            if number % 50 == 7:
                stores.record.put_gap(gap(10 * number, 10 * number + 10))
                continue
            stores.record.put_segment(segment(10 * number, 10 * number + 10))
            put(stores.record, some_note(number, draw))
        yield stores


def some_note(number: int, draw: random.Random, *, model_id: str = MODEL) -> ClipNote:
    begin_s = draw.choice((-2.0, 0.0, 3.0)) if number else 0.0
    event = (begin_s, draw.choice((5.0, 10.0)), draw.choice(TEXTS))
    return note(number, events=(event,) if draw.random() < 0.7 else (), model_id=model_id)


def keeper_of(stores: Stores) -> SummaryKeeper:
    return SummaryKeeper(stores.record, monotonic_ns=ticking().__next__, metrics=Metrics())


def ticking() -> Iterator[int]:
    now_ns = 0
    while True:
        yield (now_ns := now_ns + 10 * NS_PER_S)


def keep(stores: Stores, keeper: SummaryKeeper | None = None) -> None:
    """Be idle for as long as there may be something to do."""
    keeper = keeper or keeper_of(stores)
    for _ in range(5):
        keeper.idle()


def kept(record: Record) -> dict[str, dict[str, str]]:
    return {level: record.documents.all(f"summary-{level}-pond") for level in Level}


def told(stores: Stores, *, level: Level | None = None) -> list[SpanSummary]:
    bounds = Bounds(MediaMoment(90 * NS_PER_S), MediaMoment(7_512_500_000_000))
    now_at = EPOCH_AT + timedelta(hours=3)
    return summaries(stores, ("pond",), bounds, level=level, now_at=now_at)


def test_what_is_over_is_kept_and_says_what_the_notes_say(stores: Stores) -> None:
    of_notes = told(stores), told(stores, level=Level.HOUR)
    keep(stores)

    assert {level: len(found) for level, found in kept(stores.record).items()} == {
        Level.MINUTE: 129,
        Level.HOUR: 2,
        Level.DAY: 0,
    }
    assert (told(stores), told(stores, level=Level.HOUR)) == of_notes
    assert sum(one.carried for one in of_notes[1][1].events), "something goes on across the hour"


def test_what_is_kept_is_read(stores: Stores) -> None:
    """Were the notes read nevertheless, nobody would notice that one is gone."""
    keep(stores)
    before = told(stores)
    book = SummaryBook(stores.record.documents)
    hour = book.get("pond", Level.HOUR, Level.HOUR.length_ns)
    assert hour is not None
    place = book.begin("pond", stores.registry.stream("pond").added_at)
    nothing = hour.model_copy(update={"kinds": ()})
    until_ns = place.reach.until_ns
    assert book.put(place, {(Level.HOUR, hour.span.start_ns): nothing}, until_ns=until_ns)

    assert told(stores) != before


def test_a_stream_that_has_ended_is_over_to_its_end(stores: Stores) -> None:
    end_ns = CLIPS * 10 * NS_PER_S
    stores.record.put_ended(StreamEnded(stream_id="pond", end_ns=end_ns))
    note_remembered(stores.record, stores.registry.stream("pond"), end_ns)
    keep(stores)

    assert len(kept(stores.record)[Level.MINUTE]) == 130


def of_notes_alone(stores: Stores) -> list[SpanSummary]:
    """What would be told if nothing were kept."""
    documents, key = stores.record.documents, Key("summarised", "pond")
    body = documents.get(key)
    documents.swap({}, {key: None})
    alone = told(stores)
    documents.swap({}, {key: body})
    return alone


@pytest.mark.parametrize("seed", [1, 2])
def test_messages_that_come_twice_late_or_not_at_all_change_nothing(
    stores: Stores, bare: Settings, seed: int
) -> None:
    keep(stores)
    expected = kept(stores.record)
    SummaryBook(stores.record.documents).forget(whole_stream("pond"))
    draw = random.Random(seed)
    notes = draw.choices(stores.record.clips(), k=20)
    with opened_bus(bare) as bus:
        for one in notes:
            message = ClipRemembered(clip_id=one.clip_id, span=one.span)
            bus.publish("again", key="pond", value=message.model_dump_json().encode())
        keeper = keeper_of(stores)
        for record in bus.consumer("again", group="test").poll(max_records=20, timeout_s=0):
            keeper.handle(record, keeper.prepare(record))

    assert kept(stores.record) == expected


def test_clips_that_come_late_or_anew_have_their_spans_written_again(stores: Stores) -> None:
    keeper = keeper_of(stores)
    keep(stores, keeper)
    before = kept(stores.record)
    draw = random.Random(8)
    for number in (7, 5, 6, 359, 360, 500):
        put(stores.record, some_note(number, draw, model_id="other@2"))
    of_notes = of_notes_alone(stores)
    keep(stores, keeper)

    after = kept(stores.record)
    changed = {
        int(name) // MINUTE_NS
        for name, body in after[Level.MINUTE].items()
        if body != before[Level.MINUTE][name]
    }
    assert changed
    assert changed <= {0, 1, 2, 58, 59, 60, 61, 82, 83, 84}
    assert told(stores) == of_notes


def test_what_is_forgotten_is_in_no_summary(stores: Stores) -> None:
    keep(stores)
    forget_span(stores, span(3590, 3720))

    of_notes = of_notes_alone(stores)
    assert told(stores) == of_notes
    keep(stores)
    assert told(stores) == of_notes
    assert list(kept(stores.record)[Level.HOUR]) == []
    forget_whole(stores, "pond")
    assert kept(stores.record) == {level: {} for level in Level}
    assert stores.record.documents.all("summarised") == {}


def test_nothing_is_written_while_something_of_the_stream_is_being_forgotten(
    stores: Stores,
) -> None:
    stores.record.begin_forgetting(span(0, 60))
    keep(stores)
    assert kept(stores.record) == {level: {} for level in Level}

    stores.record.delete_span(span(0, 60))
    keep(stores)
    assert len(kept(stores.record)[Level.MINUTE]) == 129


def test_services_apart_keep_them_and_a_killed_one_goes_on(
    redis_url: str, kafka_servers: str, tmp_path: Path
) -> None:
    """On Kafka and Redis; the service is killed before there is anything, and after it began."""
    path = film(tmp_path / "long.mp4", story(("dark", 50), ("bright", 20), ("dark", 60)))
    environment = {
        "LONGWATCH_DATA": str(tmp_path / "data"),
        "LONGWATCH_REDIS": redis_url,
        "LONGWATCH_KAFKA": kafka_servers,
        "LONGWATCH_KAFKA_PREFIX": f"{tmp_path.name}.",
    }
    names = ("capture", "analyse", "summarise")
    services = Services(
        {name: ("run", name) for name in names}, environment=environment, logs=tmp_path / "logs"
    )
    try:
        services.start()
        services.until_ready()
        services["summarise"].kill()
        assert services.command("add", "cam", str(path)).returncode == 0
        services.start("summarise")
        services.until_ready()
        service = services["summarise"]

        def written() -> float:
            said = service.get("/metrics").text
            return measured(said, "longwatch_summaries_total", level="minute") or 0

        with closing(RedisRecord(redis_url)) as record:
            until(lambda: len(record.documents.all(f"summary-{Level.MINUTE}-cam")) == 2, service)
        until(lambda: written() >= 2, service)  # a minute is written again for a clip that was late
        said = services.command("summarize", "--level", "minute", "--json")
        assert services.stop() == dict.fromkeys(names, 0)
    finally:
        services.clean_up()

    first, second, _ = json.loads(said.stdout)
    assert [(one["text"], one["begun"], one["carried"]) for one in first["events"]] == [
        ("a bright light shines", 1, 0)
    ]
    assert [(one["text"], one["begun"], one["carried"]) for one in second["events"]] == [
        ("a bright light shines", 0, 1)
    ]
