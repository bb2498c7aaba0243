"""Rules, progress and alerts in each kind of record: whole, once, and whatever is killed."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memory.documents import Key
from memory.record import Record
from memory.redis_record import RedisRecord
from memory.spans import END_OF_TIME_NS
from memory.sqlite_record import SqliteRecord
from services.alerts.book import RuleBook, ends_of
from services.alerts.machine import step
from services.errors import BadRule, NoSuchAlert, NoSuchRule, RuleNameTaken
from streaming.messages import NS_PER_S, AlertState
from tests.memory.notes import note, put, spec
from tests.services.alerts.looks import CLIP_NS, in_short, looks, rule

STREAM = "pond"


@pytest.fixture(params=["sqlite", "redis"])
def record(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Record]:
    made = (
        SqliteRecord(tmp_path / "record.sqlite")
        if request.param == "sqlite"
        else RedisRecord(request.getfixturevalue("redis_url"))
    )
    made.add_stream(spec(STREAM))
    with closing(made):
        yield made


@pytest.fixture
def book(record: Record) -> RuleBook:
    return RuleBook(record.documents, now_ns=lambda: 1000 * NS_PER_S)


def watch(book: RuleBook, name: str, shown: str) -> None:
    """Have a rule look at clips, as the service does."""
    for one in looks(shown, claims=1):
        while (place := book.place(book.rule(name), STREAM)) is not None:
            if book.advance(place, step(place.rule, place.rule.condition, place.watch, one)):
                break


def test_alerts_are_kept_for_a_while_after_they_ended(record: Record) -> None:
    now_ns = 0
    book = RuleBook(record.documents, now_ns=lambda: now_ns)
    book.add(rule(name="r"))
    watch(book, "r", "a.a")
    assert book.sweep(keep_ns=10 * NS_PER_S) == 0

    now_ns = 15 * NS_PER_S
    assert book.sweep(keep_ns=10 * NS_PER_S) == 1
    assert in_short(book.alerts()) == ["new 20-30"]
    assert book.told(after="") == {}
    now_ns = 20 * NS_PER_S
    book.pause("r")
    now_ns = 30 * NS_PER_S
    assert book.sweep(keep_ns=10 * NS_PER_S) == 0
    now_ns = 31 * NS_PER_S
    assert book.sweep(keep_ns=10 * NS_PER_S) == 1
    assert (book.alerts(), book.told(after="")) == ([], {})


def test_an_alert_is_kept_from_its_last_message_on(record: Record) -> None:
    now_ns = 0
    book = RuleBook(record.documents, now_ns=lambda: now_ns)
    book.add(rule(name="r"))
    watch(book, "r", "a")
    now_ns = 8 * NS_PER_S
    book.pause("r")
    now_ns = 15 * NS_PER_S

    assert book.sweep(keep_ns=10 * NS_PER_S) == 0
    assert in_short(book.alerts()) == ["end 0-10"]
    assert in_short(book.told(after="").values()) == ["end 0-10"]


def test_who_reads_on_misses_nothing_whatever_the_clock_says(record: Record) -> None:
    now_ns = 20 * NS_PER_S
    book = RuleBook(record.documents, now_ns=lambda: now_ns)
    for name in ("r", "s"):
        book.add(rule(name=name))
    assert (book.last_told(), book.told(after="")) == ("", {})
    watch(book, "r", "a.")
    first, read = book.told(after=""), book.last_told()
    now_ns = 10 * NS_PER_S
    watch(book, "s", "a")
    later = book.told(after=read)

    assert in_short(first.values()) == ["new 0-10", "end 0-10"]
    assert [(one.rule, one.state) for one in later.values()] == [("s", AlertState.NEW)]
    assert list(first)[-1] == read
    assert book.last_told() == next(iter(later))
    assert list(book.told(after="")) == [*first, *later]


def test_what_is_forgotten_was_never_told(book: RuleBook) -> None:
    book.add(rule())
    watch(book, "r", "aa.a")
    assert in_short(book.told(after="").values()) == ["new 0-10", "end 0-20", "new 30-40"]

    assert book.forget(STREAM, start_ns=CLIP_NS, end_ns=2 * CLIP_NS) == 1
    assert in_short(book.told(after="").values()) == ["new 30-40"]


def test_an_alert_is_found_by_its_id(book: RuleBook) -> None:
    book.add(rule())
    watch(book, "r", "aa.a")
    first, second = book.alerts()

    assert list(book.backwards()) == [second, first]
    assert book.alert(first.alert_id) == first
    with pytest.raises(NoSuchAlert, match="longwatch alerts"):
        book.alert("r@1:pond:5")


def test_rules_are_kept_by_name(book: RuleBook) -> None:
    book.add(rule("a heron", name="b"))
    book.add(rule("a fox", name="a"))

    assert [one.name for one in book.rules()] == ["a", "b"]
    assert book.rule("a") == rule("a fox", name="a")
    with pytest.raises(RuleNameTaken):
        book.add(rule("a goose", name="a"))
    with pytest.raises(NoSuchRule, match="known are: a, b"):
        book.rule("c")
    with pytest.raises(BadRule):
        book.add(rule("a fox then a heron within 5s", name="c", for_ns=1))
    assert book.remove("a").name == "a"
    assert [one.name for one in book.rules()] == ["b"]


def test_alerts_and_who_is_told_come_with_the_progress(book: RuleBook) -> None:
    book.add(rule(to=("log", "kafka")))
    watch(book, "r", "aa.a")

    assert in_short(book.alerts()) == ["end 0-20", "new 30-40"]
    assert in_short(book.alerts(last=1)) == ["new 30-40"]
    lanes = {lane: book.waiting(lane, first=9) for lane in book.lanes()}
    sinks = [{one.sink for one in some.values()} for some in lanes.values()]
    assert sorted(map(sorted, sinks)) == [["kafka"], ["log"]]
    for lane, some in lanes.items():
        told = in_short(one.alert for one in some.values())
        assert told == ["new 0-10", "end 0-20", "new 30-40"]
        assert list(book.waiting(lane, first=2)) == list(some)[:2]
        book.done(next(iter(some)))
        assert list(book.waiting(lane, first=2)) == list(some)[1:]


def test_who_comes_second_changes_nothing(book: RuleBook) -> None:
    book.add(rule())
    place = book.place(rule(), STREAM)
    assert place is not None
    done = step(rule(), rule().condition, place.watch, looks("a", claims=1)[0])

    assert book.advance(place, done)
    assert not book.advance(place, done)
    assert len(book.outbox()) == len(book.alerts()) == 1


def test_a_rule_that_changed_meanwhile_raises_nothing(book: RuleBook) -> None:
    book.add(rule())
    place = book.place(rule(), STREAM)
    assert place is not None
    book.pause("r")

    assert not book.advance(
        place, step(rule(), rule().condition, place.watch, looks("a", claims=1)[0])
    )
    assert book.place(rule(), STREAM) is None
    assert book.alerts() == []


@pytest.mark.parametrize("how", [RuleBook.pause, RuleBook.remove])
def test_a_rule_that_rests_or_goes_ends_its_alerts(book: RuleBook, how: object) -> None:
    book.add(rule())
    watch(book, "r", "a")
    assert callable(how)
    how(book, "r")

    assert in_short(book.alerts()) == ["end 0-10"]
    assert [one.alert.state for one in book.outbox().values()] == [AlertState.NEW, AlertState.END]


def test_a_rule_counts_from_when_it_was_added_or_resumed(book: RuleBook, record: Record) -> None:
    put(record, note(0), note(1))
    assert ends_of(record) == {STREAM: 2 * CLIP_NS}
    book.add(rule(from_ns=ends_of(record)))
    watch(book, "r", "aaa")
    assert in_short(book.alerts()) == ["new 20-30"]

    book.pause("r")
    resumed = book.resume("r", {STREAM: 5 * CLIP_NS})
    watch(book, "r", "aaaaaa")
    assert book.resume("r", {}) == resumed
    assert in_short(book.alerts()) == ["end 20-30", "new 50-60"]


def test_what_is_forgotten_is_told_to_nobody(book: RuleBook, record: Record) -> None:
    book.add(rule())
    watch(book, "r", "a.a.a")

    assert book.forget(STREAM, start_ns=0, end_ns=CLIP_NS) == 1
    assert in_short(book.alerts()) == ["end 20-30", "new 40-50"]
    assert len(book.outbox()) == 3
    book.forget(STREAM, start_ns=0, end_ns=END_OF_TIME_NS)
    assert book.alerts() == []
    assert not book.outbox()
    assert record.documents.all("watch") == {}
    assert record.documents.get(Key("rule", "r")) is not None


def test_rules_with_a_key_in_common_raise_one_alert(book: RuleBook) -> None:
    book.add(rule(name="r", dedupe_key="fox", to=("log",)))
    book.add(rule(name="s", dedupe_key="fox"))
    book.add(rule(name="t"))
    for number, shown in enumerate(["a", ".a", "..a"]):
        watch(book, "rst"[number], shown)

    assert [one.rule for one in book.alerts()] == ["r", "t"]
    watch(book, "r", "a.")
    assert in_short(book.alerts())[0] == "new 0-10", "the other one goes on"
    assert book.remove("s").name == "s"
    assert in_short(book.alerts())[0] == "end 0-10"
    assert [(one.rule_id[0], one.sink) for one in book.outbox().values()].count(("r", "log")) == 2
    assert book.shared() == {}


def test_what_goes_on_under_a_key_is_forgotten_with_its_stream(book: RuleBook) -> None:
    book.add(rule(name="r", dedupe_key="fox"))
    watch(book, "r", "a")
    assert book.shared()["fox"].rule_id.startswith("r@")
    book.forget(STREAM, start_ns=0, end_ns=END_OF_TIME_NS)

    assert book.shared() == {}
    watch(book, "r", "..a")
    assert in_short(book.alerts()) == ["new 20-30"]
