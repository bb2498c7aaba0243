"""Alerts over time: what each kind of rule raises, and that nothing but what was seen decides."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.machine import let_go, passed_over, raised_early, step
from services.alerts.rules import Rule
from services.alerts.watch import Look, Seen, Step, Watch
from streaming.messages import NS_PER_S, Alert, AlertEnd, AlertState, wall_time
from tests.memory.notes import EPOCH_AT
from tests.services.alerts.looks import CLIP_NS, followed, in_short, look, looks, rule

S = NS_PER_S
THEN, ABSENT = "a fox then a heron within 30s", "absent a fox for 30s"
MORE, WHILE = "more than 2 foxes within 60s", "a fox while a heron waits"
SENTENCES = ("a fox", WHILE, THEN, ABSENT, MORE)


@pytest.mark.parametrize(
    ("sentence", "shown", "told"),
    [
        ("a fox", "..", []),
        ("a fox", ".aa.", ["new 10-20", "end 10-30"]),
        ("a fox", "a.a.", ["new 0-10", "end 0-10", "new 20-30", "end 20-30"]),
        ("a fox", "aaaaaaaa.", ["new 0-10", "update 0-70", "end 0-80"]),
        ("a fox", "w.aw.", ["new 20-30", "end 20-40"]),
        ("a fox", "a-a", ["new 0-10", "end 0-10", "new 20-30"]),
        (WHILE, "abcb", ["new 20-30", "end 20-30"]),
        (THEN, "ab.", ["new 0-20", "end 0-20"]),
        (THEN, "ba", []),
        (THEN, "c", []),
        (THEN, "a..b.", ["new 0-40", "end 0-40"]),
        (THEN, "a...b", []),
        (THEN, "aabb.", ["new 10-30", "end 10-30"]),
        (THEN, "a-b.", ["new 0-30", "end 0-30"]),
        (ABSENT, "..", []),
        (ABSENT, "...", ["new 0-30"]),
        (ABSENT, "a...a", ["new 10-40", "end 10-40"]),
        (ABSENT, "..-..", []),
        (ABSENT, "..-...", ["new 30-60"]),
        (MORE, "a.a.a.......", ["new 40-50", "end 40-80"]),
        (MORE, "a.a.a..a.", ["new 40-50"]),
        (MORE, "a.a.a....a", ["new 40-50", "end 40-80"]),
        (MORE, "aaaaa", []),
        (MORE, "a.a...a", []),
    ],
)
def test_what_is_raised(sentence: str, shown: str, told: list[str]) -> None:
    assert in_short(followed(rule(sentence), looks(shown))) == told


@pytest.mark.parametrize(
    ("shown", "told"),
    [("aa.", []), ("aaa.", ["new 0-30", "end 0-30"]), ("aa.a", []), ("aa-a", [])],
)
def test_what_has_to_last(shown: str, told: list[str]) -> None:
    assert in_short(followed(rule(for_ns=30 * S), looks(shown))) == told


def test_after_an_alert_a_stream_stays_quiet_for_a_while() -> None:
    told = followed(rule(cooldown_ns=30 * S), looks("a.aa.a."))

    assert in_short(told) == ["new 0-10", "end 0-10", "new 50-60", "end 50-60"]


def test_times_of_notes_say_more_than_the_clip() -> None:
    early, late = ((1 * S, 2 * S),), ((6 * S, 8 * S),)
    one_after = look(0, [Seen(0.9, early), Seen(0.9, late)])
    one_before = look(0, [Seen(0.9, late), Seen(0.9, early)])

    assert in_short(followed(rule(THEN), [one_after])) == ["new 1-8"]
    assert followed(rule(THEN), [one_before]) == []
    assert followed(rule(WHILE), [one_after]) == []


@pytest.mark.parametrize(
    ("fox", "heron", "told"),
    [
        (((1 * S, 4 * S),), ((3 * S, 8 * S),), ["new 3-4"]),
        (((1 * S, 4 * S),), ((4 * S, 8 * S),), []),
        (((1 * S, 4 * S),), (), []),
        ((), ((1 * S, 4 * S),), []),
        ((), (), ["new 0-10"]),
    ],
)
def test_while_takes_a_common_time_where_times_are_known(
    fox: tuple[tuple[int, int], ...], heron: tuple[tuple[int, int], ...], told: list[str]
) -> None:
    assert in_short(followed(rule(WHILE), [look(0, [Seen(0.9, fox), Seen(0.9, heron)])])) == told


def test_what_two_clips_tell_of_may_have_met() -> None:
    """Notes tell of what began a little before their clip."""
    fox, heron = ((6 * S, 10 * S),), ((9 * S, 13 * S),)
    first, then = look(0, [Seen(0.9, fox), Seen(0.0)]), look(1, [Seen(0.0), Seen(0.9, heron)])
    later, calm = look(2, [Seen(0.0), Seen(0.9, heron)]), look(2, [Seen(0.0), Seen(0.0)])

    told = followed(rule(WHILE), [first, then, calm])
    assert in_short(told) == ["new 9-10", "end 9-10"]
    assert told[0].clip_ids == ("clip-0", "clip-1")
    assert followed(rule(WHILE), [first, later]) == [], "after a gap nobody knows"
    untimed = look(0, [Seen(0.9), Seen(0.0)])
    assert followed(rule(WHILE), [untimed, then]) == []


def test_what_was_too_many_before_a_gap_is_told_of_once() -> None:
    often = rule("more than 1 fox within 100s")

    assert in_short(followed(often, looks("a.a-...a"))) == [
        *("new 20-30", "end 20-30", "new 70-80")
    ]


def test_too_many_have_to_be_so_for_as_long_as_a_rule_says() -> None:
    lasting = rule("more than 1 fox within 60s", for_ns=20 * S)

    assert in_short(followed(lasting, looks("a.a......"))) == ["new 20-40", "end 20-80"]


def test_an_alert_keeps_its_id_and_numbers_its_messages() -> None:
    told = followed(rule(), looks("aaaaaaaa."))

    assert len({alert.alert_id for alert in told}) == 1
    assert [alert.number for alert in told] == [0, 1, 2]
    assert told[-1].clip_ids == tuple(f"clip-{number}" for number in range(8))
    assert (told[-1].end_at - told[-1].start_at).total_seconds() == 80


sentences = st.sampled_from(SENTENCES)
stories = st.text(alphabet="...aabcw-", max_size=40)
rules = st.builds(
    lambda sentence, lasting, cooldown: rule(
        sentence, for_ns=0 if sentence == THEN else lasting * S, cooldown_ns=cooldown * S
    ),
    sentences,
    st.sampled_from([0, 10, 25]),
    st.sampled_from([0, 30]),
)


@given(rules, stories, st.data())
def test_whatever_comes_twice_or_is_broken_off_the_alerts_are_the_same(
    some: Rule, story: str, data: st.DataObject
) -> None:
    """Each look may be had again, any earlier one too, and the state may go through the record."""
    seen = looks(story)
    done, told = Step(Watch()), list[Alert]()
    for number, one in enumerate(seen):
        again = data.draw(st.lists(st.sampled_from(seen[: number + 1]), max_size=2))
        for repeated in (*again[:1], one, *again[1:]):
            if repeated is one or seen.index(repeated) < number:
                done = step(some, some.condition, done.watch, repeated)
                told += done.alerts
        if data.draw(st.booleans()):
            done = Step(Watch.model_validate_json(done.watch.model_dump_json()))

    assert told == followed(some, seen)


@given(rules, stories)
def test_each_alert_lives_once(some: Rule, story: str) -> None:
    told = followed(some, looks(story))
    last = dict[str, Alert]()
    for alert in told:
        before = last.get(alert.alert_id)
        if before is None:
            assert alert.state is AlertState.NEW and alert.number == 0
            assert all(one.state is AlertState.END for one in last.values())
        else:
            assert before.state is not AlertState.END and alert.number == before.number + 1
        last[alert.alert_id] = alert
    for one, other in pairwise(last.values()):
        assert one.span.start_ns < other.span.start_ns


def clips_of(story: str, letters: str) -> list[int]:
    return [number for number, letter in enumerate(story) if letter in letters]


def ends_of_alerts(told: list[Alert]) -> set[int]:
    """The clip in which each alert was raised."""
    return {one.span.end_ns // CLIP_NS - 1 for one in told if one.state is AlertState.NEW}


@given(st.text(alphabet="..ab", max_size=40))
def test_then_raises_for_each_second_with_a_first_shortly_before(story: str) -> None:
    told = followed(rule(THEN), looks(story))
    expected, first = set[int](), None
    for number, letter in enumerate(story):
        if letter == "a":
            first = number
        elif letter == "b" and first is not None and number - first <= 3:
            expected.add(number)
            first = None

    adjacent = {number for number in expected if number - 1 in expected}
    assert ends_of_alerts(told) == expected - adjacent


@given(st.text(alphabet="..a", max_size=40))
def test_absent_is_raised_in_the_third_clip_without(story: str) -> None:
    told = followed(rule(ABSENT), looks(story, claims=1))
    expected = {
        number
        for number in range(2, len(story))
        if story[number - 2 : number + 1] == "..." and (number == 2 or story[number - 3] == "a")
    }

    assert ends_of_alerts(told) == expected


@given(st.text(alphabet="..a", max_size=40))
def test_more_than_holds_until_fewer_than_enough_began_within_the_time(story: str) -> None:
    told = followed(rule(MORE), looks(story, claims=1))
    begins = [n for n in clips_of(story, "a") if n == 0 or story[n - 1] != "a"]
    counts = [sum(number - 5 <= one <= number for one in begins) for number in range(len(story))]
    expected: set[int] = set()
    goes_on = False
    for number, count in enumerate(counts):
        if count > 2 and not goes_on:
            expected.add(number)
        goes_on = count > 2 or (goes_on and count == 2)

    assert ends_of_alerts(told) == expected


def test_what_was_passed_over_ends_an_alert_and_proves_nothing() -> None:
    seen: list[Look] = looks("a")
    done = step(rule(), rule().condition, Watch(), seen[0])
    done = passed_over(rule(), done.watch, 5 * CLIP_NS)

    assert [one.state for one in done.alerts] == [AlertState.END]
    assert done.watch.next_ns == 5 * CLIP_NS
    assert followed(rule(), seen, done.watch) == []


def parts_of(one: Look, part: Look) -> list[Look]:
    """What part of a clip shows, after three and after six seconds."""
    return [
        part._replace(span=one.span.model_copy(update={"end_ns": one.span.start_ns + seconds * S}))
        for seconds in (3, 6)
    ]


def followed_closely(some: Rule, seen: list[Look], early: list[Look]) -> tuple[Watch, list[Alert]]:
    """All messages of a rule over some looks, of each of which a part was looked at before."""
    watch, told = Watch(), list[Alert]()
    for one, part in zip(seen, early, strict=True):
        for glimpse in parts_of(one, part):
            watch, more = raised_early(some, some.condition, watch, glimpse)
            told += more
        watch, more = step(some, some.condition, watch, one)
        told += more
    return watch, told


def test_what_part_of_a_clip_shows_is_raised_early_and_confirmed() -> None:
    seen = looks("..a.")
    watch, told = followed_closely(rule(), seen, seen)

    assert in_short(told) == ["new 20-23", "update 20-30", "end 20-30"]
    assert [one.is_early for one in told] == [True, False, False]
    assert [one.number for one in told] == [0, 1, 2]
    assert told[-1].ended is AlertEnd.OVER
    assert {one.alert_id for one in told} == {followed(rule(), seen)[0].alert_id}
    assert watch.early is None


def test_what_the_whole_clip_does_not_bear_out_is_taken_back() -> None:
    watch, told = followed_closely(rule(cooldown_ns=30 * S), looks("..-.a."), looks("a.-.a."))

    assert in_short(told) == ["new 0-3", "end 0-3", "new 40-43", "update 40-50", "end 40-50"]
    assert told[1].ended is AlertEnd.RETRACTED
    assert watch.unsure_until_ns == 33 * S


def test_after_something_was_taken_back_a_rule_waits_for_whole_clips_for_a_while() -> None:
    _, told = followed_closely(rule(cooldown_ns=30 * S), looks(".a...."), looks("aaa..."))

    assert in_short(told) == ["new 0-3", "end 0-3", "new 10-20", "end 10-20"]
    assert not told[2].is_early


def test_nothing_is_raised_early_of_what_is_absent() -> None:
    seen = looks("....", claims=1)

    assert followed_closely(rule(ABSENT), seen, seen)[1] == followed(rule(ABSENT), seen)


@pytest.mark.parametrize("let", [let_go, lambda some, watch: passed_over(some, watch, CLIP_NS)])
def test_what_was_raised_early_ends_when_nobody_looks_on(
    let: Callable[[Rule, Watch], Step],
) -> None:
    (glimpse, _) = parts_of(*looks("a"), *looks("a"))
    early = raised_early(rule(), rule().condition, Watch(), glimpse)
    watch, told = let(rule(), early.watch)

    assert [one.ended for one in told] == [AlertEnd.NOT_WATCHED]
    assert watch.early is None


def test_a_clip_that_comes_late_leaves_what_a_later_one_raised_early() -> None:
    first, second = looks("a.")[1], looks(".a")[1]
    (glimpse, _) = parts_of(second, second)
    early = raised_early(rule(), rule().condition, Watch(), glimpse)
    watch, told = step(rule(), rule().condition, early.watch, looks("..")[0])
    assert (told, watch.early) == ((), early.watch.early)
    watch, told = step(rule(), rule().condition, watch, first)
    assert in_short(told) == ["end 10-13"]


@given(rules, stories, st.text(alphabet="..abcw", min_size=40, max_size=40))
def test_early_looks_change_nothing_of_what_whole_clips_raise(
    some: Rule, story: str, early: str
) -> None:
    seen = looks(story)
    watch, told = followed_closely(some, seen, [looks(early)[clip_of(one)] for one in seen])
    as_ever = [one for one in told if one.alert_id not in taken_back(told)]

    assert [(one.alert_id, one.state) for one in as_ever if not one.is_early] == [
        (one.alert_id, confirming(one, told)) for one in followed(some, seen)
    ]
    for alert_id in {one.alert_id for one in told}:
        of_one = [one for one in told if one.alert_id == alert_id]
        assert [one.number for one in of_one] == list(range(len(of_one)))
        assert of_one[0].state is AlertState.NEW
        assert all(one.state is not AlertState.END for one in of_one[:-1])
    assert watch.early is None


def clip_of(one: Look) -> int:
    return one.span.start_ns // CLIP_NS


def taken_back(told: list[Alert]) -> set[str]:
    """The ids of alerts that no whole clip bore out."""
    last = {one.alert_id: one for one in told}
    return {
        one.alert_id for one in last.values() if one.state is AlertState.END and one.number == 1
        and any(first.is_early and first.alert_id == one.alert_id for first in told)
    }  # fmt: skip


def confirming(one: Alert, told: list[Alert]) -> AlertState:
    """The state of a message where the alert may have been raised early before."""
    was_early = any(first.is_early and first.alert_id == one.alert_id for first in told)
    return AlertState.UPDATE if was_early and one.state is AlertState.NEW else one.state


def timed(number: int, *times_s: tuple[int, int], saw_from_s: int | None = None) -> Look:
    times_ns = tuple((start_s * S, end_s * S) for start_s, end_s in times_s)
    saw_from_ns = None if saw_from_s is None else saw_from_s * S
    return look(number, [Seen(0.9, times_ns)])._replace(saw_from_ns=saw_from_ns)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ([(5, 10)], [(8, 13)], ["new 5-10", "update 8-13", "end 8-13"]),
        ([(5, 10)], [(7, 13)], ["new 5-10", "end 5-13"]),  # cut where that clip's view begins
        ([(8, 10)], [(8, 13)], ["new 8-10", "end 8-13"]),
        ([(5, 10)], [(11, 13)], ["new 5-10", "end 5-13"]),
        ([(2, 5), (7, 10)], [(8, 13)], ["new 2-10", "end 2-13"]),
    ],
)
def test_who_saw_it_begin_says_when_it_began(
    first: list[tuple[int, int]], second: list[tuple[int, int]], told: list[str]
) -> None:
    seen = [timed(0, *first), timed(1, *second, saw_from_s=7), look(2, [Seen(0.0)])]

    messages = followed(rule("a fox"), seen)

    assert in_short(messages) == told
    last = messages[-1]
    assert last.start_at == wall_time(EPOCH_AT, last.span.start_ns)
