"""Sentences mean what a person who reads them would think, or are refused with a reason."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.conditions import (
    Absent,
    Condition,
    MoreThan,
    Shown,
    Then,
    While,
    duration_ns,
    parse_condition,
    refuse_misread,
)
from services.errors import BadRule
from streaming.messages import NS_PER_S

S, M, H = NS_PER_S, 60 * NS_PER_S, 3600 * NS_PER_S


@pytest.mark.parametrize(
    ("sentence", "meant"),
    [
        ("a heron lands and flies away", Shown("a heron lands and flies away")),
        ("  A heron  lands. ", Shown("A heron lands")),
        ("a heron lands then a fox comes within 30s", Then("a heron lands", "a fox comes", 30 * S)),
        (
            "A heron lands, then a fox comes, within 1.5 minutes",
            Then("A heron lands", "a fox comes", 90 * S),
        ),
        ('"now and then rain" then "a fox" within 1 h', Then("now and then rain", "a fox", H)),
        ("absent a keeper for 10m", Absent("a keeper", 10 * M)),
        ("more than 3 herons within 1h", MoreThan(3, "herons", H)),
        ("More than 0 “foxes while wet” within 2 days", MoreThan(0, "foxes while wet", 48 * H)),
        ("a fox waits while nobody is near", While("a fox waits", "nobody is near")),
        ('"a fox waits while nobody is near"', Shown("a fox waits while nobody is near")),
        ("a heron lands then a fox comes", Shown("a heron lands then a fox comes")),
    ],
)  # fmt: skip
def test_a_sentence_means(sentence: str, meant: Condition) -> None:
    assert parse_condition(sentence) == meant


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("", "says nothing"),
        ("...", "says nothing"),
        ("the", "says nothing"),
        ('"" while a fox waits', "says nothing"),
        ("absent a keeper for 10 parsecs", "'10 parsecs' is not a length of time"),
        ("absent a keeper for 99d", "up to 30d"),
        ("a fox then a heron within 1.2.3s", "not a length of time"),
        ("more than 99999 herons within 1h", "at most 1000"),
        ("a fox " * 100, "longer than 500 characters"),
    ],
)
def test_what_means_nothing_is_refused(sentence: str, reason: str) -> None:
    with pytest.raises(BadRule, match=reason):
        parse_condition(sentence)


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("a heron lands then a fox comes", "'then' does not join"),
        ("a heron then a fox then a hen within 30s", "'then' does not join"),
        ("a heron then a fox while it rains within 30s", "'while' does not join"),
        ("absent a keeper for 10m while a fox waits", "'absent' does not join"),
        ("more than 3 herons while it rains", "'more than 3' does not join"),
        ("a fox waits within 30s", "'within 30s' does not join"),
        ("a fox then a heron within 0s", "in no time"),
        ("absent a keeper for 0m", "in no time"),
    ],
)
def test_of_a_new_rule_what_would_be_misread_is_refused(sentence: str, reason: str) -> None:
    with pytest.raises(BadRule, match=reason):
        refuse_misread(sentence)
    parse_condition(sentence)  # a rule of before is still read


@pytest.mark.parametrize(
    "sentence",
    ['"a heron lands then a fox comes"', 'more than 3 "foxes while wet" within 1h', "a man waits"],
)
def test_quotes_make_one_claim_of_it(sentence: str) -> None:
    refuse_misread(sentence)


@given(st.text(max_size=120))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    with suppress(BadRule):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "length_ns"), [("30s", 30 * S), ("10 min", 10 * M), ("0s", 0), ("1.5H", 5400 * S)]
)
def test_lengths_of_time(text: str, length_ns: int) -> None:
    assert duration_ns(text) == length_ns
