"""Forget footage on a person's word, also while services run on the same data directory.

This process stands in for the services that do not run, which cannot start meanwhile. A capture
that runs is asked to let go of the stream first, and an index that runs notices by itself that
clips are gone.
"""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from memory.faiss_index import open_index
from memory.feedback import Feedback
from memory.forgetting import Forgotten, forget, forget_stream
from memory.forgetting import Stores as ForgettingStores
from memory.spans import whole_stream
from memory.values import StreamSpec
from services.capture import is_let_go
from services.locks import Service, standing_in
from services.progress import PAUSED, cursor_of, note_captured
from services.uploads import drop
from services.wiring import Stores, rules_of
from streaming.messages import Span

WAIT_S = 20.0  # for a capture to stop: longer than a silent source keeps it waiting
LOOK_S = 0.1


class SavedVectors:
    """The index as it is saved, when no service keeps it up to date."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def delete_clips(self, clip_ids: Iterable[str]) -> int:
        gone = list(clip_ids)
        any_clip = next(iter(self._stores.record.vectors()), None)
        if not gone or any_clip is None:
            return 0
        return open_index(
            self._stores.settings.index_path,
            self._stores.record,
            width=any_clip.text_vector.size,
            embedder_id=any_clip.model_id,
        ).delete_clips(gone)


@dataclass(frozen=True, slots=True)
class OthersVectors:
    """The index of a running service, which follows the record's deletions by itself."""

    def delete_clips(self, clip_ids: Iterable[str]) -> int:
        return len(list(clip_ids))


def forget_span(stores: Stores, span: Span) -> Forgotten:
    """Delete all that is kept of a span."""
    spec = stores.registry.stream(span.stream_id)
    note_captured(stores.record, spec)
    _forget_said(stores, span)  # first, so that a crash leaves nothing of it
    with standing_in(stores.settings, Service.CAPTURE, Service.INDEX) as stood_in:
        forgotten = forget(span, everything(stores, stood_in))
        drop(stores.settings, spec)
    _forget_said(stores, forgotten.span)  # and what was said meanwhile
    return forgotten


def forget_whole(stores: Stores, name: str) -> Forgotten:
    """Delete a stream and all that is kept of it."""
    spec = stores.registry.stream(name)
    _forget_said(stores, whole_stream(name))
    with standing_in(stores.settings, Service.CAPTURE, Service.INDEX) as stood_in:
        if Service.CAPTURE not in stood_in:
            _wait_until_let_go(stores, spec)
        forgotten = forget_stream(name, everything(stores, stood_in))
        drop(stores.settings, spec)
    _forget_said(stores, whole_stream(name))
    stores.registry.forget_credentials(name)
    return forgotten


def _forget_said(stores: Stores, span: Span) -> None:
    """Alerts and answers that rest on a span, and what people said of them."""
    rules_of(stores).forget(span.stream_id, start_ns=span.start_ns, end_ns=span.end_ns)
    Feedback(stores.record.documents).forget(span)


def _wait_until_let_go(stores: Stores, spec: StreamSpec) -> None:
    stores.record.set_cursor(cursor_of(PAUSED, spec), 1)
    pause = threading.Event()
    for _ in range(round(WAIT_S / LOOK_S)):
        if is_let_go(stores.record.status(spec.stream_id)):
            return
        pause.wait(LOOK_S)


def everything(stores: Stores, stood_in: Collection[Service]) -> ForgettingStores:
    """All that a span may be kept in; the saved index only where nobody else is its keeper."""
    vectors = SavedVectors(stores) if Service.INDEX in stood_in else OthersVectors()
    return ForgettingStores(stores.record, stores.footage, stores.tokens, vectors)
