"""The ruler of notes is itself measured."""

import pytest

from models.nano.recipe import note_at
from models.nano.score_notes import NoteScores, overlap
from models.nano.world import write_script
from models.schemas import Note, NoteEvent


def test_overlap_is_intersection_over_union():
    assert overlap((0, 2), (1, 3)) == pytest.approx(1 / 3)
    assert overlap((0, 1), (1, 2)) == 0
    assert overlap((1, 2), (1, 2)) == 1


def test_a_perfect_observer_scores_one_everywhere():
    script, scores = write_script(2, duration_s=600), NoteScores()

    for start_s in range(0, 600, 10):
        note = note_at(script, float(start_s))
        scores.add(note, script, start_s, start_s + 10)

    summary = scores.summary()
    assert summary["precision"] == summary["recall"] == summary["calm_recognised"] == 1
    assert summary["time_overlap_at_half"] == 1


def test_what_never_happened_costs_precision_and_what_is_left_out_costs_recall():
    script = write_script(2, duration_s=600)
    start_s = next(
        float(s) for s in range(0, 600, 10) if len(note_at(script, s, unsure_s=1).events) == 1
    )
    true = note_at(script, float(start_s))
    invented = NoteEvent(start_s=1, end_s=4, text="the moon crosses")
    scores = NoteScores()

    scores.add(Note(text="", events=(*true.events, invented)), script, start_s, start_s + 10)
    scores.add(Note(text=""), script, start_s, start_s + 10)

    assert (scores.right, scores.invented, scores.missed) == (1, 1, 1)
