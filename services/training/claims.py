"""What marks of people say about clips. Pure."""

from collections.abc import Iterator

from memory.feedback import Mark
from services.alerts.conditions import Shown, parse_condition
from streaming.messages import Alert


def claims_of(mark: Mark) -> Iterator[tuple[str, str]]:
    """Clips, and what is shown there if the mark is right, or else is not.

    Of rules over several claims or times, nobody can say which part was wrong; nor of an answer
    that is wrong, which of its evidence.
    """
    about = mark.about
    if isinstance(about, Alert):
        condition = parse_condition(about.sentence)
        if isinstance(condition, Shown):
            yield from ((clip_id, condition.claim) for clip_id in about.clip_ids)
    elif mark.is_right:
        yield from ((one.clip_id, one.text) for one in about.answer.evidence)
