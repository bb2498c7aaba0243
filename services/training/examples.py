"""Examples that show or tell otherwise what one of clips does.

Pure.
"""

import hashlib

from memory.datasets import Example
from streaming.messages import Span


def told_by_words(example: Example) -> Example:
    """Of clips that nobody is shown."""
    return replaced(example, clips=(), context=(*example.context, *example.clips))


def seen_in(view: Span, example: Example, *, before: Span | None = None) -> Example:
    """Of clips in whose place a view is shown, after the end of what is before it."""
    assert example.span is not None
    stretch = f"{example.id} {view.start_ns} {view.end_ns}"
    times = {
        "start_ns": min(view.start_ns, example.span.start_ns),
        "end_ns": max(view.end_ns, example.span.end_ns),
    }
    return replaced(
        told_by_words(example),
        id=f"{example.task}-{hashlib.sha256(stretch.encode()).hexdigest()[:16]}",
        lead_in=None,
        view=view,
        view_before=before,
        span=view.model_copy(update=times),
    )


def replaced(example: Example, **changed: object) -> Example:
    return example.model_copy(update=changed)
