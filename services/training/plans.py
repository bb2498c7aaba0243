"""Questions about events that people named, in the forms that people ask in, and what they mean.

A planner that never read a word does not know it in another form either: who labels that a van
turns back will ask when it turned back, or of the turning back of any van.

Pure.
"""

from collections.abc import Iterator

from models.schemas import Intent, Plan
from services.training.inflecting import told_in_parts

IN_ITS_WORDS: tuple[tuple[Intent, tuple[str, ...]], ...] = (
    ("when", ("When was it that {}?", "When is it that {}?", "Show me the moment when {}.")),
    ("count", ("How often was it that {}?", "How many times was it seen that {}?")),
    ("exists", ("Was it ever seen that {}?", "Is it so that {}?")),
)
IN_FORMS: tuple[tuple[Intent, tuple[str, ...]], ...] = (
    (
        "when",
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
        "count",
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
OF_MANY = (
    "How many {many} {past}?",
    "How many {many} have {part}?",
    "How many {many} were {ger}?",
    "Count the {many} that {past}.",
)


def plans_of(text: str) -> Iterator[tuple[str, Plan]]:
    """Questions of people about an event, and what they mean."""
    for intent, asked in IN_ITS_WORDS:
        for words in asked:
            yield words.format(text), Plan(intent=intent, events=(text,))
    if told := told_in_parts(text):
        for intent, asked in IN_FORMS:
            for words in asked:
                question = words.format(
                    who=told.subject, base=told.base, past=told.past, part=told.part, ger=told.ger
                )
                yield question, Plan(intent=intent, events=(text,))
        if told.many is not None:
            for words in OF_MANY:
                question = words.format(
                    many=told.many, past=told.past, part=told.part, ger=told.ger
                )
                yield question, Plan(intent="count", events=(text,))
