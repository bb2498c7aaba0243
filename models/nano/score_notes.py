"""Score notes against scripts: facts right, missed and made up, and how well their times fit.

A fact is an event's text. What a clip or its lead-in shows only briefly, or what begins so near to
the instant that divides one note from the next that either may tell it, is neither asked for nor
held against the model.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from models.errors import UnparsableReply
from models.generate import greedy_batch
from models.nano.recipe import LAYOUT, Clip, Marks, note_at
from models.nano.world import Script
from models.processor import Processor
from models.prompts import describe_prompt
from models.replies import parse_note
from models.schemas import Note
from models.train import visual_tokens
from models.video_llm import LongwatchForConditionalGeneration

BRIEFLY_S = 0.2
UNSURE_S = 0.5
BATCH = 24


@dataclass(slots=True)
class NoteScores:
    """Counts over clips; `busy` counts only clips of one or two happenings' subjects."""

    right: int = 0
    missed: int = 0
    invented: int = 0
    calm: int = 0
    calm_right: int = 0
    unparsable: int = 0
    clips: int = 0
    overlaps: list[float] = field(default_factory=list)
    missed_actions: Counter[str] = field(default_factory=Counter)
    invented_actions: Counter[str] = field(default_factory=Counter)

    def add(self, note: Note, script: Script, start_s: float, end_s: float) -> None:
        """Count one clip with at most two subjects."""
        asked_for = note_at(script, start_s, length_s=end_s - start_s, unsure_s=UNSURE_S)
        true = {event.text: event for event in asked_for.events}
        seen_from_s = start_s - LAYOUT.lead_in_s
        possible = {h.text for h in script.between(seen_from_s, end_s, least_s=BRIEFLY_S)}
        said = {event.text: event for event in note.events}
        self.clips += 1
        if not possible:
            self.calm += 1
            self.calm_right += not said
        for text in true.keys() & said.keys():
            self.overlaps.append(
                overlap(
                    (true[text].start_s, true[text].end_s), (said[text].start_s, said[text].end_s)
                )
            )
        self.right += len(true.keys() & said.keys())
        for text in true.keys() - said.keys():
            self.missed += 1
            self.missed_actions[text] += 1
        for text in said.keys() - possible:
            self.invented += 1
            self.invented_actions[text] += 1

    def summary(self) -> dict[str, float]:
        return {
            "clips": self.clips,
            "facts": self.right + self.missed,
            "precision": self.right / max(1, self.right + self.invented),
            "recall": self.right / max(1, self.right + self.missed),
            "calm_clips": self.calm,
            "calm_recognised": self.calm_right / max(1, self.calm),
            "time_overlap_at_half": float(np.mean([o >= 0.5 for o in self.overlaps] or [0.0])),
            "unparsable": self.unparsable,
        }


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two intervals."""
    inside = min(a[1], b[1]) - max(a[0], b[0])
    union = max(a[1], b[1]) - min(a[0], b[0])
    return max(0.0, inside) / union if union > 0 else 0.0


def num_subjects(script: Script, start_s: float, end_s: float) -> int:
    return len({h.subject for h in script.between(start_s, end_s, least_s=BRIEFLY_S)})


@torch.inference_mode()
def score_notes(
    model: LongwatchForConditionalGeneration,
    processor: Processor,
    clips: Sequence[Clip],
    marks: Marks,
) -> NoteScores:
    """Describe every clip, with the model's own earlier notes as context, script by script."""
    scores = NoteScores()
    by_place: dict[int, list[Clip]] = {}
    for clip in clips:
        by_place.setdefault(round(clip.start_s / LAYOUT.clip_length_s), []).append(clip)
    earlier: dict[int, list[str]] = {}
    for place in sorted(by_place):  # all scripts' first clips, then all second ones, ...
        for first in range(0, len(by_place[place]), BATCH):
            batch = by_place[place][first : first + BATCH]
            notes = _describe(model, processor, batch, marks, earlier)
            for clip, note in zip(batch, notes, strict=True):
                end_s = clip.start_s + LAYOUT.clip_length_s
                if note is None:
                    scores.unparsable += 1
                    note = Note(text="")
                earlier.setdefault(clip.script.seed, []).append(note.text)
                if num_subjects(clip.script, clip.start_s, end_s) <= 2:
                    scores.add(note, clip.script, clip.start_s, end_s)
    return scores


def _describe(
    model: LongwatchForConditionalGeneration,
    processor: Processor,
    clips: Sequence[Clip],
    marks: Marks,
    earlier: dict[int, list[str]],
) -> list[Note | None]:
    ready = [marks.sight(clip) for clip in clips]
    prompts = [
        processor.prompt_ids(
            describe_prompt(earlier.get(clip.script.seed, [])[-2:]), [features.frames]
        )
        for clip, features in zip(clips, ready, strict=True)
    ]
    with torch.autocast("cpu", torch.bfloat16):
        replies = greedy_batch(
            model,
            prompts,
            visual_tokens(model, ready),
            end_id=processor.end_token_id,
            max_new_tokens=200,
        )
    notes: list[Note | None] = []
    for reply in replies:
        try:
            notes.append(parse_note(processor.text(reply)))
        except UnparsableReply:
            notes.append(None)
    return notes
