"""Answers as nano is taught to write them: short, with every moment cited.

An answer is written from findings, which are lines of text. The first is the result of the
arithmetic, the others are the moments it rests on, at most `MAX_MOMENTS` of them, numbered from 1:

    intent            result line                                     moments
    when, count       result: 3           how often; 0 for never      in order of time
    order             result: the red car crosses    the earlier      in order of time
                      result: nothing                neither was seen
    state             result: yes                                     when it last began
                      result: no                                      when it ended, if seen
                      result: nothing                neither was seen
    exists            result: yes, result: no                         in order of time
    between, describe result: 4           how many; 0 for none        in order of time

    [1] the red car crosses
    [2] the gate opens

An answer is a function of the intent, the result and the number of moments alone, so that a small
model can learn it to the letter. `[n]` stands for the time of a moment and `[what n]` for its
words: both are put in by whoever asked, so that no word of a moment can be copied wrongly.
"""

from collections.abc import Sequence
from random import Random

from models.nano.grammar import draw_full_event, in_full
from models.nano.phrasings import Example, example
from models.schemas import Intent

MAX_MOMENTS = 8
MAX_CITED = 5
MAX_NAMED = 3
"""Moments cited by number, and moments named in words too: more would be a long answer."""

NOTHING = "nothing"


def findings_of(result: str, moments: Sequence[str]) -> list[str]:
    """Write findings as an answering model is given them; moments beyond the limit are left out."""
    shown = moments[:MAX_MOMENTS]
    return [
        f"result: {result}",
        *(f"[{number}] {text}" for number, text in enumerate(shown, start=1)),
    ]


def answer_text(intent: Intent, result: str, num_moments: int) -> str:
    """Write the answer to a question of this intent."""
    if intent in ("when", "count"):
        return _often(intent, result, num_moments)
    if intent in ("between", "describe"):
        return _listed(result, num_moments)
    if intent == "order":
        return "None of them was seen." if result == NOTHING else "First [what 1], at [1]."
    if intent == "state":
        return _state(result, num_moments)
    cited = f", at {_cited(num_moments)}" if num_moments else ""
    return f"Yes{cited}." if result == "yes" else "No, that did not happen."


def _often(intent: Intent, result: str, num_moments: int) -> str:
    if result == "0":
        return "That did not happen."
    if not num_moments:
        return f"{result} times."
    if result == "1":
        return "At [1]." if intent == "when" else "Once, at [1]."
    first = " first" if int(result) > MAX_CITED else ""
    return f"{result} times,{first} at {_cited(num_moments)}."


def _listed(result: str, num_moments: int) -> str:
    if result == "0":
        return "Nothing happened."
    named = [f"[what {n}] [{n}]" for n in range(1, min(num_moments, MAX_NAMED) + 1)]
    things = "1 event" if result == "1" else f"{result} events"
    first = " first" if int(result) > MAX_NAMED else ""
    return f"{things}:{first} {_joined(named)}."


def _state(result: str, num_moments: int) -> str:
    if result == NOTHING:
        return "That was not seen."
    if result == "yes":
        return "Yes, since [1]." if num_moments else "Yes."
    return "No, not since [1]." if num_moments else "No."


def _cited(count: int) -> str:
    return _joined([f"[{n}]" for n in range(1, min(count, MAX_CITED) + 1)])


def _joined(parts: Sequence[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def answer_example(rng: Random) -> tuple[str, Intent, list[str], str]:
    """Draw a training question, its intent, the findings for it and the answer."""
    drawn = example(rng)
    result, moments = _outcome(rng, drawn)
    findings = findings_of(result, moments)
    intent = drawn.plan.intent
    return (
        drawn.question,
        intent,
        findings,
        answer_text(intent, result, min(len(moments), MAX_MOMENTS)),
    )


def _outcome(rng: Random, drawn: Example) -> tuple[str, list[str]]:
    """Draw a result and the moments it rests on."""
    intent, events = drawn.plan.intent, drawn.events
    if intent in ("between", "describe"):
        count = _draw_count(rng)
        return str(count), [draw_full_event(rng).plan_text for _ in range(count)]
    if intent == "order":
        seen = [in_full(event, rng).plan_text for event in events if rng.random() < 0.95]
        rng.shuffle(seen)
        return (seen[0] if seen else NOTHING), seen
    if intent == "state":
        if rng.random() < 0.1:
            return NOTHING, []
        yes = rng.random() < 0.5
        known = yes or rng.random() < 0.8
        deciding = in_full(events[0] if yes else events[1], rng).plan_text
        return ("yes" if yes else "no"), [deciding] if known else []
    count = _draw_count(rng) if drawn.plan.which == "all" else rng.randrange(2)
    if intent == "exists":
        count = count if rng.random() < 0.55 else 0
    moments = [in_full(events[0], rng).plan_text for _ in range(count)]
    return ("yes" if count else "no") if intent == "exists" else str(count), moments


def _draw_count(rng: Random) -> int:
    """Small counts mostly, large ones now and then."""
    return rng.choice((0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, rng.randrange(11, 200)))
