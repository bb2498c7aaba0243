"""What is counted of an archive that was taken in."""

from pathlib import Path

from benchmarks.archive import FILMS, make_archive, remembered, said
from memory.spans import whole_stream
from services.settings import load_settings
from services.wiring import opened
from tests.memory.notes import note, unit_vectors
from tests.services.test_cli import run

FILES = 2 * len(FILMS)


def test_files_of_the_same_contents_are_told_apart_and_counted(tmp_path: Path) -> None:
    archive, settings = make_archive(tmp_path / "films", FILES), load_settings(data=tmp_path)
    whole = {
        "streams": FILES,
        "clips": FILES,
        "files_without_a_clip": 0,
        "files_unlike_others_of_the_same_contents": 0,
    }
    printed = run(settings, "backfill", str(archive), "--json").stdout

    *taken, counts = said(printed)
    assert counts == {"remembered": FILES, "known": 0, "failed": 0, "left": 0}
    assert len({one["path"] for one in taken}) == FILES
    assert remembered(tmp_path, FILES) == whole

    with opened(settings) as stores:
        stores.record.delete_span(whole_stream(taken[0]["stream_id"]))
        another = note(9, stream=taken[1]["stream_id"])
        text, visual = unit_vectors(2, seed=1, width=4)
        stores.record.put_clip(another, text_vector=text, visual_vector=visual)

    assert remembered(tmp_path, FILES) == whole | {
        "files_without_a_clip": 1,
        "files_unlike_others_of_the_same_contents": 2,
    }
