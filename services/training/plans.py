"""Questions about events that people named, in the forms that people ask in, and what they mean.

A planner that never read a word does not know it in another form either: who labels that a van
turns back will ask when it turned back, or of the turning back of any van.

Pure.
"""

from collections.abc import Iterator

from models.schemas import Intent, Plan, Which
from services.training.inflecting import Told, told_in_parts

Forms = tuple[tuple[Intent, Which, tuple[str, ...]], ...]

IN_ITS_WORDS: Forms = (
    ("when", "all", ("When was it that {}?", "When is it that {}?", "Show me the moment when {}.")),
    ("when", "first", ("When was the first time that {}?",)),
    ("when", "last", ("When was the last time that {}?",)),
    ("count", "all", ("How often was it that {}?", "How many times was it seen that {}?")),
    ("exists", "all", ("Was it ever seen that {}?", "Is it so that {}?")),
)
IN_FORMS: Forms = (
    (
        "when",
        "all",
        (
            "When did {who} {base}?",
            "At what time did {who} {base}?",
            "When was it that {who} {past}?",
            "Show me the moment when {who} {past}.",
            "When was {who} {ger}?",
            "When was {who} seen {ger}?",
            "Find {who} {ger}.",
            "When was the {ger} of {who}?",
        ),
    ),
    (
        "when",
        "first",
        (
            "When did {who} first {base}?",
            "When did {who} {base} first?",
            "When did {who} {base} for the first time?",
            "When was {who} first seen {ger}?",
            "Show me the first time that {who} {past}.",
            "When was the first {ger} of {who}?",
        ),
    ),
    (
        "when",
        "last",
        (
            "When did {who} last {base}?",
            "When did {who} {base} last?",
            "When did {who} most recently {base}?",
            "When was {who} last seen {ger}?",
            "Show me the last time that {who} {past}.",
            "When was the last {ger} of {who}?",
        ),
    ),
    (
        "count",
        "all",
        (
            "How often did {who} {base}?",
            "How often has {who} {part}?",
            "How many times did {who} {base}?",
            "Count how often {who} {past}.",
            "How many times was {who} {ger}?",
            "How often was {who} seen {ger}?",
            "Count every {ger} of {who}.",
        ),
    ),
    (
        "exists",
        "all",
        (
            "Did {who} {base}?",
            "Has {who} {part}?",
            "Did you see {who} {base}?",
            "Is it true that {who} {past}?",
            "Was {who} ever {ger}?",
            "Was {who} seen {ger}?",
            "Was there a {ger} of {who}?",
        ),
    ),
)
OF_SEVERAL = (
    "How many {many} {past}?",
    "How many {many} have {part}?",
    "How many {many} were {ger}?",
    "Count the {many} that {past}.",
)
OF_ONE_WORD = ("How many {ger}s of {who} were there?", "Count the {ger}s of {who}.")


def plans_of(text: str) -> Iterator[tuple[str, Plan]]:
    """Questions of people about an event, and what they mean."""
    for intent, which, asked in IN_ITS_WORDS:
        for words in asked:
            yield words.format(text), Plan(intent=intent, events=(text,), which=which)
    if told := told_in_parts(text):
        for intent, which, asked in (*IN_FORMS, *_of_number(told)):
            for words in asked:
                question = words.format(
                    who=told.subject,
                    many=told.many,
                    base=told.base,
                    past=told.past,
                    part=told.part,
                    ger=told.ger,
                )
                yield question, Plan(intent=intent, events=(text,), which=which)


def _of_number(told: Told) -> Forms:
    """How it is asked for the number of those who do it, or of what they do."""
    of_one_word = OF_ONE_WORD if told.ger.isalpha() else ()
    of_several = () if told.many is None else OF_SEVERAL
    return (("count", "all", (*of_several, *of_one_word)),)
