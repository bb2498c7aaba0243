"""The forms of an event that is told in the present: who does what, and how that is asked for.

By rule, and for English: "the old van turns back" has a subject, a verb and the rest. What is told
otherwise has no parts. A form that the rules get wrong makes one odd question among many.

Pure.
"""

from dataclasses import dataclass

ARTICLES = ("a", "an", "the", "some")
IRREGULAR = {
    "become": "became", "begin": "began", "bend": "bent", "break": "broke", "bring": "brought",
    "build": "built", "buy": "bought", "catch": "caught", "come": "came", "cut": "cut",
    "drink": "drank", "drive": "drove", "eat": "ate", "fall": "fell", "fight": "fought",
    "fly": "flew", "get": "got", "give": "gave", "go": "went", "hang": "hung", "hit": "hit",
    "hold": "held", "keep": "kept", "lay": "laid", "leave": "left", "let": "let", "lie": "lay",
    "lose": "lost", "make": "made", "meet": "met", "put": "put", "read": "read", "ride": "rode",
    "ring": "rang", "rise": "rose", "run": "ran", "set": "set", "shake": "shook",
    "shine": "shone", "shoot": "shot", "shut": "shut", "sit": "sat", "sleep": "slept",
    "speak": "spoke", "spread": "spread", "stand": "stood", "steal": "stole", "sweep": "swept",
    "swim": "swam", "take": "took", "throw": "threw", "write": "wrote",
}  # fmt: skip
"""Past forms."""
MANY = {"man": "men", "woman": "women", "child": "children"}
VOWELS = "aeiou"


@dataclass(frozen=True, slots=True)
class Told:
    """An event in parts: "the old van", "turns back", and "turn", "turned", "turning back".

    `many` are several of the subject, "old vans", where it can be several.
    """

    subject: str
    deed: str
    base: str
    past: str
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
    return Told(
        subject=" ".join(subject),
        deed=" ".join(words[at:]),
        base=" ".join([base, *rest]),
        past=" ".join([_past(base), *rest]),
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


def _past(base: str) -> str:
    if base in IRREGULAR:
        return IRREGULAR[base]
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
