"""Examples as lessons: what each shows, what is to be replied, and what that reply is to become.

Notes of labelled clips are also taught of clips over which another labelled stretch is laid
(`composing.py`), which tell of both.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import numpy as np

from memory.datasets import Example
from models.engine import ClipTokens
from models.finetune import Lesson, Tuning
from models.layout import StreamLayout
from models.processor import Frames
from models.reply_loss import Target
from models.schemas import Note, NoteEvent
from models.train import ClipAsRead, Sample
from services.training.media import Media, Over
from services.training.truth import note_of
from streaming.messages import Span

MOST_STRETCHES = 128
"""Of a set that are laid over clips."""
TRIED = 32  # of them, for a clip


def lessons_of(
    media: Media, tuning: Tuning, examples: Sequence[Example], targets: Sequence[Target]
) -> list[Lesson]:
    """A lesson of each example."""
    return [
        Lesson(
            one.task,
            one.origin == "label",
            one.shown,
            partial(sample_of, media, tuning, one, target),
        )
        for one, target in zip(examples, targets, strict=True)
    ]


def composed_lessons(
    media: Media, examples: Sequence[Example], targets: Sequence[Target]
) -> Iterator[Lesson]:
    """Lessons of labelled clips, moved, over each of which a stretch of another clip is laid.

    The clip alone where none of those that are tried fits. Two events may be told of so, or as
    many as of any one clip.
    """
    notes = [
        _Told(one, one.view, Note.model_validate_json(one.turns[0][1]), target)
        for one, target in zip(examples, targets, strict=True)
        if one.task == "note" and one.origin == "label" and one.view is not None
    ]
    most = max((2, *(len(one.note.events) for one in notes)))
    clips = [one for one in notes if one.example.view_before is not None]
    stretches = [one for one in notes if one.example.view_before is None and one.note.events]
    stretches = Random(0).sample(stretches, min(MOST_STRETCHES, len(stretches)))
    for clip in clips:
        rng = Random(f"{clip.example.id} composed")
        tried = {
            Over(one.view, firsts): one.note
            for one in rng.sample(stretches, min(TRIED, len(stretches)))
            if len(clip.note.events) + len(one.note.events) <= most
            and clip.example.told_of.isdisjoint(one.example.told_of)
            and (firsts := firsts_of(one.view, one.note, media.layout, rng))
        }
        if tried:
            load = partial(_composed_sample, media, clip, tried)
            yield Lesson("note", True, "video", load)


def firsts_of(view: Span, note: Note, layout: StreamLayout, rng: Random) -> tuple[int, ...]:
    """From which pictures of a clip on a stretch fits into it, in any order.

    What begins in the last seconds of a clip may be left to the next one: nothing of it does.
    """
    last_s = max(one.start_s for one in note.events)
    room_s = layout.clip_length_s - max(view.duration_s, layout.lead_in_s + last_s)
    firsts = range(math.floor(room_s * layout.fps) + 1)
    return tuple(rng.sample(firsts, len(firsts)))


def target_of(example: Example, *, is_replayed: bool) -> Target:
    """What an example's replies are to become, where the model as it was can be asked.

    Only notes are corrected: yes and no are to stay as likely as they are true.
    """
    if is_replayed:
        return Target.AS_BEFORE
    is_corrected = example.task == "note" and example.origin == "label"
    return Target.CORRECTED if is_corrected else Target.AS_IT_STANDS


def sample_of(media: Media, tuning: Tuning, example: Example, target: Target) -> Sample:
    """The example with its clips, as the stage reads them."""
    (prompt, reply), *more = example.turns
    if tuning.stage.reads_features:
        clips = tuple(media.features(example))
    else:
        clips = tuple(map(_as_read, media.tokens(example)))
    captions = _captions(Note.model_validate_json(reply)) if example.task == "note" else ()
    return Sample(prompt, reply, clips, captions=captions, more=tuple(more), target=target)


@dataclass(frozen=True, slots=True)
class _Told:
    """An example of a view's note, read."""

    example: Example
    view: Span
    note: Note
    target: Target


def _composed_sample(media: Media, clip: _Told, tried: dict[Over, Note]) -> Sample:
    (prompt, _), *_ = clip.example.turns
    composed = media.composed(clip.example, tuple(tried))
    note = clip.note
    if composed.over is not None:
        late_s = composed.first / media.layout.fps
        later = (_later(one, late_s) for one in tried[composed.over].events)
        note = note_of([*note.events, *later], calm=note.text)
    read = (_as_read(composed.clip),)
    return Sample(prompt, note.as_reply(), read, captions=_captions(note), target=clip.target)


def _later(event: NoteEvent, late_s: float) -> NoteEvent:
    times = {"start_s": event.start_s + late_s, "end_s": event.end_s + late_s}
    return event.model_copy(update=times)


def _as_read(clip: ClipTokens) -> ClipAsRead:
    return ClipAsRead(np.asarray(clip.tokens_KD, np.float16), Frames(clip.frame_K, clip.times_s_T))


def _captions(note: Note) -> tuple[str, ...]:
    return tuple({note.text, *(event.text for event in note.events)})
