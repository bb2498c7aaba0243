"""What a rule's sentence means: one claim about a clip, or claims held together over time.

    a bag lies alone                                  it is shown
    "a bag lies alone" while "nobody is near"         both are shown at once
    a van stops then a man gets out within 30s        the second begins after the first
    absent a guard for 10m                            it was watched for so long and not shown
    more than 3 vans within 1h                        it happened more often than that

Quotes keep what stands between them whole: `"a man waits while it rains"` is one claim.

Pure: knows no model, no clip and no clock.
"""

import re
from dataclasses import dataclass

from memory.values import DAY_NS
from memory.words import content_words
from services.errors import BadRule
from streaming.messages import NS_PER_S

MAX_SENTENCE_CHARS = 500
MOST_COUNTED = 1000  # the starts of so many are kept
LONGEST_NS = 30 * DAY_NS


@dataclass(frozen=True, slots=True)
class Shown:
    claim: str


@dataclass(frozen=True, slots=True)
class While:
    claim: str
    other: str


@dataclass(frozen=True, slots=True)
class Then:
    first: str
    then: str
    within_ns: int


@dataclass(frozen=True, slots=True)
class Absent:
    claim: str
    for_ns: int


@dataclass(frozen=True, slots=True)
class MoreThan:
    count: int
    claim: str
    within_ns: int


Condition = Shown | While | Then | Absent | MoreThan


def claims_of(condition: Condition) -> tuple[str, ...]:
    """What is to be judged of each clip, in the order in which `Look.seen` has it."""
    match condition:
        case While(claim, other):
            return claim, other
        case Then(first, then, _):
            return first, then
        case Shown(claim) | Absent(claim, _) | MoreThan(_, claim, _):
            return (claim,)


def parse_condition(sentence: str) -> Condition:
    """Read a sentence.

    Raises:
        BadRule: it says nothing, or a time or a number in it cannot be used.
    """
    if len(sentence) > MAX_SENTENCE_CHARS:
        raise BadRule(f"the sentence is longer than {MAX_SENTENCE_CHARS} characters")
    kept: list[str] = []

    def keep(quoted: re.Match[str]) -> str:
        kept.append(quoted[1] or quoted[2] or "")
        return f"\0{len(kept) - 1}\0"

    bare = _QUOTED.sub(keep, " ".join(sentence.replace("\0", " ").split())).strip(" .!")

    def claim(part: str) -> str:
        said = _KEPT.sub(lambda found: kept[int(found[1])], part).strip(" ,.")
        if not content_words(said):
            raise BadRule(f"{said!r} says nothing that a clip could show")
        return said

    if found := _THEN.fullmatch(bare):
        return Then(claim(found[1]), claim(found[2]), duration_ns(found[3]))
    if found := _ABSENT.fullmatch(bare):
        return Absent(claim(found[1]), duration_ns(found[2]))
    if found := _MORE_THAN.fullmatch(bare):
        count = int(found[1])
        if count > MOST_COUNTED:
            raise BadRule(f"{count} is more than can be counted; take at most {MOST_COUNTED}")
        return MoreThan(count, claim(found[2]), duration_ns(found[3]))
    if found := _WHILE.fullmatch(bare):
        return While(claim(found[1]), claim(found[2]))
    return Shown(claim(bare))


def refuse_misread(sentence: str) -> None:
    """Refuse of a new rule what could be read in another way, or never comes true.

    Raises:
        BadRule
    """
    condition = parse_condition(_QUOTED.sub("quoted", sentence))
    for claim in claims_of(condition):
        if found := _JOINS.search(claim):
            raise BadRule(
                f"{found[0]!r} does not join claims in this way; write one of: A while B, "
                "A then B within 30s, absent A for 10m, more than 3 A within 1h. "
                "Put in quotes what is one claim as it stands"
            )
    match condition:
        case Then(within_ns=0) | Absent(for_ns=0) | MoreThan(within_ns=0):
            raise BadRule("in no time nothing can happen or be missed; write 30s, 10m or 1h")
        case _:
            pass


def duration_ns(text: str) -> int:
    """A length of time such as 30s, 10m, 1.5 h or 2 days.

    Raises:
        BadRule
    """
    found = _DURATION.fullmatch(text.strip().lower())
    length_ns = round(float(found[1]) * _UNIT_NS[found[2][0]]) if found else -1
    if not 0 <= length_ns <= LONGEST_NS:
        raise BadRule(f"{text!r} is not a length of time; write 30s, 10m or 1h, up to 30d")
    return length_ns


_UNIT_NS = {"s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3600 * NS_PER_S, "d": DAY_NS}
_UNITS = "s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?"
_DURATION = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?) ?({_UNITS})")
_TIME = r"([\d.]+ ?[a-z]+)"
_QUOTED = re.compile(r'"([^"]*)"|“([^”]*)”')
_KEPT = re.compile(r"\0(\d+)\0")
_THEN = re.compile(rf"(.+?),? then (.+),? within {_TIME}", re.IGNORECASE)
_ABSENT = re.compile(rf"absent (.+) for {_TIME}", re.IGNORECASE)
_MORE_THAN = re.compile(rf"more than (\d{{1,9}}) (.+) within {_TIME}", re.IGNORECASE)
_JOINS = re.compile(
    r"\b(?:then|while)\b|^absent\b|^more than \d+|\bwithin [\d.]+ ?[a-z]+$", re.IGNORECASE
)
_WHILE = re.compile(r"(.+?) while (.+)", re.IGNORECASE)
