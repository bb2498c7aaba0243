"""The forms of an event that is told in the present: who does what, and how that is asked for.

By rule, and for English: "the old van turns back" has a subject, a verb and the rest. What is told
otherwise has no parts. A form that the rules get wrong makes one odd question among many.

Pure.
"""

from dataclasses import dataclass

ARTICLES = ("a", "an", "the", "some")
IRREGULAR = {
    base: (past, part)
    for base, past, part in (
        line.split()
        for line in (
            "become became become", "begin began begun", "bend bent bent", "break broke broken",
            "bring brought brought", "build built built", "buy bought bought",
            "catch caught caught", "come came come", "cut cut cut", "drink drank drunk",
            "drive drove driven", "eat ate eaten", "fall fell fallen", "fight fought fought",
            "fly flew flown", "get got got", "give gave given", "go went gone", "hang hung hung",
            "hit hit hit", "hold held held", "keep kept kept", "lay laid laid", "leave left left",
            "let let let", "lie lay lain", "lose lost lost", "make made made", "meet met met",
            "put put put", "read read read", "ride rode ridden", "ring rang rung",
            "rise rose risen", "run ran run", "set set set", "shake shook shaken",
            "shine shone shone", "shoot shot shot", "shut shut shut", "sit sat sat",
            "sleep slept slept", "speak spoke spoken", "spread spread spread",
            "stand stood stood", "steal stole stolen", "sweep swept swept", "swim swam swum",
            "take took taken", "throw threw thrown", "write wrote written",
        )
    )
}  # fmt: skip
"""Past forms, and those of the perfect."""
MANY = {"man": "men", "woman": "women", "child": "children"}
VOWELS = "aeiou"


@dataclass(frozen=True, slots=True)
class Told:
    """An event in parts: "the old van", "turns back", and "turn back", "turned back" and so on.

    `past` is as in "it did", `part` as in "it has done", `ger` as in "doing". `many` are several of
    the subject, "old vans", where it can be several.
    """

    subject: str
    deed: str
    base: str
    past: str
    part: str
    ger: str
    many: str | None


def told_in_parts(text: str) -> Told | None:
    """The parts of an event, or None where no verb is found."""
    words = text.split()
    has_article = words[:1] != [] and words[0] in ARTICLES
    verbs = (n for n in range(1 + has_article, len(words)) if _is_present(words[n]))
    if (at := next(verbs, None)) is None:
        return None
    subject, rest, base = words[:at], words[at + 1 :], _base(words[at])
    *described, thing = subject[has_article:]
    past, part = IRREGULAR.get(base) or (_regular_past(base),) * 2
    return Told(
        subject=" ".join(subject),
        deed=" ".join(words[at:]),
        base=" ".join([base, *rest]),
        past=" ".join([past, *rest]),
        part=" ".join([part, *rest]),
        ger=" ".join([_gerund(base), *rest]),
        many=" ".join([*described, _plural(thing)]) if has_article else None,
    )


def told_of_any(text: str) -> str | None:
    """The same of any of its kind: "a van turns back"; None where a text says no more than that."""
    told = told_in_parts(text)
    if told is None or told.many is None or len(words := told.subject.split()) < 3:
        return None
    return f"{'an' if words[-1][0] in VOWELS else 'a'} {words[-1]} {told.deed}"


def _is_present(word: str) -> bool:
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s"))


def _base(verb: str) -> str:
    if verb.endswith("ies") and len(verb) > 4:
        return f"{verb[:-3]}y"
    if verb.endswith(("sses", "shes", "ches", "xes", "zzes", "oes")):
        return verb[:-2]
    return verb[:-1]


def _regular_past(base: str) -> str:
    if base.endswith("e"):
        return f"{base}d"
    if base.endswith("y") and base[-2] not in VOWELS:
        return f"{base[:-1]}ied"
    return f"{_doubled(base)}ed"


def _gerund(base: str) -> str:
    if base.endswith("ie"):
        return f"{base[:-2]}ying"
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        return f"{base[:-1]}ing"
    return f"{_doubled(base)}ing"


def _doubled(base: str) -> str:
    """Stop becomes stopp-: one syllable of one vowel and one consonant."""
    *start, vowel, last = f"  {base}"[-3:]
    is_short = sum(letter in VOWELS for letter in base) == 1
    closes = last not in f"{VOWELS}wxy" and vowel in VOWELS and start[0] not in VOWELS
    return base + last if is_short and closes else base


def _plural(noun: str) -> str:
    if noun in MANY:
        return MANY[noun]
    if noun.endswith("y") and noun[-2:-1] not in VOWELS:
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "sh", "ch")) else f"{noun}s"
