"""Labels, data sets and measurements on the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import Result

from memory.datasets import HELD_OUT, TRAIN, Example, read_examples
from models.schemas import Plan
from models.transformers_engine import TransformersEngine
from services.settings import Settings
from services.training.media import Media
from services.training.splitting import Side, side_of
from services.wiring import opened
from tests.services.test_cli import as_json, run
from tests.services.training.conftest import real_tools


def light_run(settings: Settings, *arguments: str, given: str | None = None) -> Result:
    return run(settings, *arguments, given=given, tools=real_tools(settings))


def built(settings: Settings, folder: Path) -> dict[str, Any]:
    """A set of all that is labelled."""
    labels = str(settings.data.parent / "labels.jsonl")
    result = light_run(settings, "dataset", "build", str(folder), "--labels", labels, "--json")
    assert result.exit_code == 0, result.stderr
    return as_json(result)


def examples(folder: Path) -> tuple[list[Example], list[Example]]:
    return read_examples(folder / TRAIN), read_examples(folder / HELD_OUT)


def test_a_label_is_kept_shown_and_taken_back(settings: Settings) -> None:
    assert run(settings, "label", "cam", "0:12", "a light comes on", "--to", "0:15").exit_code == 0
    assert run(settings, "label", "cam", "0:25", "--nothing").exit_code == 0

    shown = run(settings, "labels").stdout.splitlines()
    assert shown == [
        "cam 0:00:12.000–0:00:15.000  a light comes on",
        "cam 0:00:25.000–0:00:27.000  nothing",
    ]
    gone = run(settings, "label", "cam", "0:25", "--nothing", "--remove", "--json")
    assert as_json(gone) == {"removed": 1}
    assert len(as_json(run(settings, "labels", "--json"))) == 1


def test_a_clip_is_labelled_by_its_id(settings: Settings) -> None:
    with opened(settings) as stores:
        clip_id = stores.record.clips()[1].clip_id
    asked = run(settings, "label", clip_id, "white", "--question", "what colour is it?")
    assert asked.exit_code == 0, asked.stderr

    (label,) = as_json(run(settings, "labels", "--json"))
    assert label["span"]["start_ns"] == 10 * 10**9
    assert (label["question"], label["text"]) == ("what colour is it?", "white")
    assert run(settings, "label", f"{clip_id}0", "white").exit_code == 3


def test_labels_that_say_nothing_are_refused(settings: Settings, tmp_path: Path) -> None:
    for wrong in (("cam",), ("cam", "0:12"), ("cam", "0:12", " "), ("cam", "soon", "a light")):
        assert run(settings, "label", *wrong).exit_code == 2, wrong
    assert run(settings, "label", "door", "0:12", "a light").exit_code == 2
    file = tmp_path / "labels.jsonl"
    file.write_text('{"stream": "cam", "start": 1, "text": "a"}\n{"stream": "cam", "text": "b"}\n')
    refused = run(settings, "label", "--from", str(file))
    assert refused.exit_code == 1
    assert "line 2" in refused.stderr
    assert as_json(run(settings, "labels", "--json")) == []


def test_what_is_no_file_of_labels_is_refused(settings: Settings, tmp_path: Path) -> None:
    missing = run(settings, "label", "--from", str(tmp_path / "missing.jsonl"))
    assert missing.exit_code == 1
    assert "no labels at" in missing.stderr
    picture = tmp_path / "labels.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\x00")
    refused = run(settings, "label", "--from", str(picture))
    assert refused.exit_code == 1
    assert "line 1" in refused.stderr
    file = tmp_path / "labels.jsonl"
    file.write_text('{"stream": "cam", "start": 1, "text": "a"}\n')
    for said in (("cam", "0:12", "a light"), ("--to", "0:15"), ("--nothing",)):
        both = run(settings, "label", *said, "--from", str(file))
        assert both.exit_code == 2, both.stderr
        assert "--from" in both.stderr
    assert as_json(run(settings, "labels", "--json")) == []


def test_a_number_in_a_file_counts_seconds(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"stream": "cam", "start": 4.02638669841204, "end": 7, "text": "a light"}\n')

    assert run(settings, "label", "--from", str(file)).exit_code == 0

    (label,) = as_json(run(settings, "labels", "--json"))
    assert label["span"]["start_ns"] == 4_026_000_000
    assert label["span"]["end_ns"] == 7_000_000_000


def test_a_set_is_made_of_notes_where_nobody_labelled(settings: Settings, tmp_path: Path) -> None:
    result = run(settings, "dataset", "build", str(tmp_path / "set"), "--json")
    assert result.exit_code == 0, result.stderr

    train, held_out = examples(tmp_path / "set")
    assert held_out == [] or train == []
    notes = [one for one in train + held_out if one.task == "note"]
    assert {one.origin for one in notes} == {"model"}
    (prompt, reply) = notes[1].turns[0]
    assert "Notes before: nothing shines" in prompt
    assert [event["text"] for event in json.loads(reply)["events"]] == [
        "a bright light shines",
        "a dim light shines",
    ]


def test_a_set_may_be_made_only_of_what_people_labelled(settings: Settings, tmp_path: Path) -> None:
    assert run(settings, "label", "cam", "0:12", "a light comes on", "--to", "0:15").exit_code == 0
    wanted = ("dataset", "build", str(tmp_path / "set"), "--people-only")
    result = run(settings, *wanted, "--json")
    assert result.exit_code == 0, result.stderr

    train, held_out = examples(tmp_path / "set")
    assert {one.origin for one in train + held_out} == {"label"}
    (note,) = (one for one in train + held_out if one.task == "note" and one.view is None)
    assert [event["text"] for event in json.loads(note.turns[0][1])["events"]] == [
        "a light comes on"
    ]
    assert as_json(result)["dropped"]["nobody labelled it"] > 0
    teacher = ("--teacher", "http://127.0.0.1:9/v1", "--teacher-model", "any")
    refused = run(settings, *wanted, *teacher)
    assert refused.exit_code == 2
    assert "--people-only" in refused.stderr


def test_nothing_remembered_gives_no_set(settings: Settings, tmp_path: Path) -> None:
    assert run(settings, "add", "door", "rtsp://127.0.0.1:9/door").exit_code == 0
    result = run(settings, "dataset", "build", str(tmp_path / "set"), "--stream", "door")
    assert result.exit_code == 3


def test_labels_make_a_set_that_is_split_by_time(light: Settings, tmp_path: Path) -> None:
    card = built(light, tmp_path / "set")
    train, held_out = examples(tmp_path / "set")

    assert card["counts"]["train"]["examples"] == len(train) > 40
    assert {one.task for one in train} == {"note", "judge", "answer", "merge", "fold", "plan"}
    assert {one.task for one in held_out} >= {"note", "judge"}
    assert {one.origin for one in train + held_out} == {"label"}
    for side, some in ((Side.TRAIN, train), (Side.HELD_OUT, held_out)):
        assert all(one.span and side_of(one.span, 0.2) is side for one in some)
    plans = [one for one in train if one.task == "plan"]
    said_of_lights = {"a bright light shines", "a dim light shines", "a light shines"}
    for (question, said), *_ in (one.turns for one in plans):
        (event,) = Plan.model_validate_json(said).events
        assert event in said_of_lights
        assert "light" in question
    assert all(one.context and not one.clips for one in plans)
    views = [one for one in train if one.view is not None]
    assert len(views) > 20
    assert {one.task for one in views} == {"note", "judge"}
    assert not any(one.view for one in held_out)
    claims = [said for one in train if one.task == "judge" for _, said in one.turns]
    assert 0.3 < claims.count("yes") / len(claims) < 0.7


def test_the_same_record_gives_the_same_set(light: Settings, tmp_path: Path) -> None:
    built(light, tmp_path / "one")
    built(light, tmp_path / "two")

    for name in (TRAIN, HELD_OUT):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_forgetting_footage_deletes_its_examples_and_labels(
    light: Settings, tmp_path: Path
) -> None:
    built(light, tmp_path / "set")
    before = sum(map(len, examples(tmp_path / "set")))

    gone = as_json(light_run(light, "forget", "cam", "2:00", "3:00", "--yes", "--json"))

    left = [one for some in examples(tmp_path / "set") for one in some]
    assert gone["examples"] == before - len(left) > 0
    assert gone["labels"] > 0
    assert not any(one.span and one.span.overlaps(120 * 10**9, 180 * 10**9) for one in left)
    again = built(light, tmp_path / "again")
    assert again["counts"]["train"]["examples"] > 0
    rebuilt = [one for some in examples(tmp_path / "again") for one in some]
    assert not any(one.span and one.span.overlaps(120 * 10**9, 180 * 10**9) for one in rebuilt)


def test_footage_is_encoded_again_as_analysis_encoded_it(light: Settings, tmp_path: Path) -> None:
    built(light, tmp_path / "set")
    engine = TransformersEngine.load(light.model)
    with opened(light) as stores:
        media = Media(engine, stores, tmp_path / "set")
        notes = stores.record.clips()
        assert len(notes) == 30
        in_its_light: list[bool] = []
        for note in notes:
            stored = stores.tokens.get(
                note.clip_id, layout_id=engine.layout_id, encoder_id=engine.encoder_id
            )
            stores.tokens.delete(note.clip_id)
            (again,) = media.tokens(
                Example(id="x", task="judge", origin="given", clips=(note.clip_id,),
                        conversations=())
            )  # fmt: skip
            assert (again.tokens_KD == stored.arrays["tokens_KD"]).all()
            assert (again.times_s_T == stored.arrays["times_s_T"]).all()
            (view,) = media.tokens(
                Example(id="y", task="judge", origin="given", view=note.span, conversations=())
            )
            assert (view.times_s_T == again.times_s_T).all()
            in_its_light.append(np.array_equal(view.tokens_KD, again.tokens_KD))
    assert not all(in_its_light)


def test_a_checkpoint_is_measured_beside_its_blind_self(light: Settings, tmp_path: Path) -> None:
    built(light, tmp_path / "set")
    held = tmp_path / "some.jsonl"
    some = [one for one in examples(tmp_path / "set")[1] if one.task == "judge"]
    held.write_bytes(b"".join(
        one.model_dump_json(by_alias=True, exclude_defaults=True).encode() + b"\n" for one in some
    ))  # fmt: skip

    result = light_run(light, "evaluate", "--set", str(held), "--json")
    assert result.exit_code == 0, result.stderr
    told = as_json(result)
    assert told["examples"] == len(some)
    assert told["model_id"].startswith("light@")
    claims = sum(len(one.turns) for one in some)
    for eyes in ("seen", "blind"):
        measured = told[eyes]["judge right"]
        assert measured["of"] == claims
        assert 0 <= measured["low"] <= measured["value"] <= measured["high"] <= 1


def test_examples_of_footage_that_went_are_counted(light: Settings, tmp_path: Path) -> None:
    built(light, tmp_path / "set")
    held = tmp_path / "kept.jsonl"
    some = [one for one in examples(tmp_path / "set")[1] if one.task == "judge"]
    held.write_text("".join(
        one.model_dump_json(by_alias=True, exclude_defaults=True) + "\n" for one in some
    ))  # fmt: skip
    assert light_run(light, "forget", "cam", "0:00", "5:00", "--yes").exit_code == 0

    told = as_json(light_run(light, "evaluate", "--set", str(held), "--json"))
    assert told["unusable"] == told["examples"] == len(some)
    assert told["seen"] == {}


def test_no_set_and_another_engine_are_refused(settings: Settings, tmp_path: Path) -> None:
    missing = run(settings, "evaluate", "--set", str(tmp_path / "none.jsonl"))
    assert missing.exit_code == 1
    assert "dataset build" in missing.stderr
    (tmp_path / "empty.jsonl").write_text("")
    foreign = run(settings, "evaluate", "--set", str(tmp_path / "empty.jsonl"), "--json")
    assert as_json(foreign)["error"]["kind"] == "NotOurCheckpoint"
