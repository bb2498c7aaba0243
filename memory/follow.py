"""Bringing an index up to date with the record, whatever it missed.

The record numbers its changes, and an index remembers how far it has come, so following,
resuming after a crash and rebuilding from nothing are one act. An index of another record, or
one that claims more than the record holds, is emptied first.
"""

from typing import NamedTuple

from memory.index import ClipIndex
from memory.record import Record
from memory.shards import ALL, Shard


class CaughtUp(NamedTuple):
    """What it took: clips put, clips removed, clips of another embedder passed over."""

    put: int = 0
    removed: int = 0
    foreign: int = 0


def catch_up(index: ClipIndex, record: Record, shard: Shard = ALL) -> CaughtUp:
    """Make the index hold what the record holds of its embedder's vectors, in that shard."""
    now, held = record.mark(), index.mark
    if held == now:
        return CaughtUp()
    if held is None or held.record_id != now.record_id or held.revision > now.revision:
        index.clear()
        held = now._replace(revision=0, last_deletion=now.last_deletion)
    removed = 0
    if held.last_deletion != now.last_deletion:
        removed += index.remove(index.clip_ids() - record.clip_ids())
    put = foreign = 0
    for clip in record.vectors(after_revision=held.revision):
        if not shard.holds(clip.span.stream_id):
            continue
        if clip.model_id == index.embedder_id:
            index.put(clip.clip_id, clip.span, clip.text_vector, clip.visual_vector)
            put += 1
        else:
            removed += index.remove([clip.clip_id])
            foreign += 1
    index.mark = now
    return CaughtUp(put, removed, foreign)
