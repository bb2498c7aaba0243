"""A checkpoint is trained on a data set by the command, and a kill changes nothing."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from memory.datasets import HELD_OUT, TRAIN, Example, ExampleTask, Origin, Turn
from models.finetune import Tuning
from models.reply_loss import Target
from models.stages import StageName
from models.transformers_engine import TransformersEngine
from services.settings import Settings
from services.training.learning import Learning, sources_of
from services.training.lessons import target_of
from services.wiring import opened
from streaming.messages import Span
from tests.conftest import ROOT
from tests.services.conftest import Disk
from tests.services.test_cli import as_json
from tests.services.training.test_commands import built, examples, light_run

STEPS, SAVE_EVERY = 32, 4
PATIENCE_S = 100.0


def kind_of(result: Result) -> str:
    return as_json(result)["error"]["kind"]


def command(settings: Settings, out: Path, *more: str) -> list[str]:
    return [
        "train", "--set", str(settings.data.parent / "set"), "--from", str(settings.model),
        "--out", str(out), "--steps", str(STEPS), "--batch-size", "2",
        "--save-every", str(SAVE_EVERY), *more, "--json",
    ]  # fmt: skip


@pytest.fixture
def taught(light: Settings) -> Settings:
    """The memory of light, with a set of it beside it."""
    built(light, light.data.parent / "set")
    return light.model_copy(update={"model_threads": 1})


def trained(settings: Settings, out: Path, *more: str) -> Result:
    result = light_run(settings, *command(settings, out, *more))
    assert result.exit_code == 0, result.output
    return result


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stage", ["align", "pretrain", "instruct"])
def test_a_checkpoint_learns_what_a_set_shows(taught: Settings, tmp_path: Path, stage: str) -> None:
    out = tmp_path / "out"
    told = as_json(trained(taught, out, "--stage", stage, "--lr", "0.003"))

    reported = metrics(out)
    assert len(reported) == STEPS
    assert reported[-1]["loss_0"] < reported[0]["loss_0"] * (1.0 if stage == "align" else 0.8)
    assert "<polyline" in (out / "loss.svg").read_text()
    assert not (out / "state.pt").exists()
    held = taught.data.parent / "set" / HELD_OUT
    lines = held.read_text().splitlines()
    held.write_text("".join(f"{line}\n" for line in lines if '"judge"' in line))
    measured = as_json(light_run(taught, "evaluate", "--set", str(held),
                                 "--model", str(out), "--json"))  # fmt: skip
    assert measured["model_id"] == told["model_id"]
    assert measured["unusable"] == 0


def test_some_tasks_of_a_set_are_learnt(taught: Settings, tmp_path: Path) -> None:
    train, _ = examples(taught.data.parent / "set")
    notes = sum(one.task == "note" for one in train)

    told = as_json(trained(taught, tmp_path / "notes", "--task", "note"))

    assert 0 < told["examples"] == notes < len(train)
    refused = light_run(taught, *command(taught, tmp_path / "none", "--task", "sing"))
    assert refused.exit_code == 2
    assert "sing" in refused.stderr
    assert not (tmp_path / "none").exists()


def test_what_is_replayed_is_replayed_whole(taught: Settings, tmp_path: Path) -> None:
    own, before = taught.data.parent / "set", tmp_path / "before"
    shutil.copytree(own, before)
    tuning = Tuning(StageName.INSTRUCT, num_steps=1, batch_size=1, seed=0)
    learning = Learning(own, (before,), tmp_path / "out", tuning, 1, ("note",))
    with opened(taught) as stores:
        sources = sources_of(TransformersEngine.load(taught.model), stores, learning)

    learnt, replayed = ([one.task for one in source.examples] for source in sources)
    assert set(learnt) == {"note"}
    assert len(replayed) == len(examples(own)[0])


def first_footage_lost(settings: Settings) -> Span:
    """Delete a segment and nothing else, as where room is made on a full disk."""
    with opened(settings) as stores:
        first = next(stores.footage.oldest("cam"))
        stores.footage.delete(first.uri)
    return first.span


def killed_once(settings: Settings, words: list[str], *, is_there: Path) -> None:
    """Kill a command of one thread as soon as a file is there."""
    running = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "--data", str(settings.data), *words],
        cwd=ROOT,
        env={"LONGWATCH_MODEL_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ended_once(running, signal.SIGKILL, is_there=is_there)


def ended_once(running: subprocess.Popen[Any], sent: signal.Signals, *, is_there: Path) -> None:
    """Have a signal end a process as soon as a file is there."""
    try:
        until_s = time.monotonic() + PATIENCE_S
        while not is_there.exists() and time.monotonic() < until_s:
            assert running.poll() is None
            time.sleep(0.01)
    finally:
        running.send_signal(sent)
        running.communicate()


def test_a_killed_run_goes_on_to_the_bit(taught: Settings, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    trained(taught, whole)
    killed_once(taught, command(taught, broken), is_there=broken / "state.pt")
    assert not (broken / "config.json").exists()

    told = as_json(trained(taught, broken))

    assert told["went_on_at"] >= SAVE_EVERY
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


def replay_of(settings: Settings, folder: Path) -> Path:
    """A set of an answer and of a claim about a film, which nobody knows yet."""
    folder.mkdir()
    clip = settings.data.parent / "light.mp4"
    (folder / "clip.mp4").write_bytes(clip.read_bytes())
    lines = [
        {"id": "1", "task": "answer", "origin": "given", "conversations": [
            {"from": "human", "value": "first?"}, {"from": "gpt", "value": "yes"}]},
        {"id": "2", "task": "judge", "origin": "given", "video": "clip.mp4",
         "start_s": 20, "end_s": 30, "conversations": [
            {"from": "human", "value": "<video>\nfirst?"}, {"from": "gpt", "value": "no"}]},
    ]  # fmt: skip
    (folder / TRAIN).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def test_what_is_replayed_is_said_as_before_with_adapters_too(
    taught: Settings, tmp_path: Path
) -> None:
    out, replay = tmp_path / "out", replay_of(taught, tmp_path / "replay")

    trained(taught, out, "--lora", "--replay", str(replay), "--save-memory")

    first, last = metrics(out)[0], metrics(out)[-1]
    assert last["loss_0"] < first["loss_0"]
    assert first["loss_1"] < 0.1 * first["loss_0"]
    assert last["loss_1"] < 0.5 * first["loss_0"]  # it was never learnt what is said there


@pytest.mark.parametrize(
    ("task", "origin", "is_replayed", "target"),
    [
        ("note", "label", False, Target.CORRECTED),
        ("note", "model", False, Target.AS_IT_STANDS),
        ("judge", "label", False, Target.AS_IT_STANDS),
        ("note", "label", True, Target.AS_BEFORE),
        ("plan", "given", True, Target.AS_BEFORE),
    ],
)
def test_beside_replay_what_people_note_is_a_correction(
    task: ExampleTask, origin: Origin, is_replayed: bool, target: Target
) -> None:
    turns = (Turn(speaker="human", value="What?"), Turn(speaker="gpt", value="yes"))
    example = Example(id="1", task=task, origin=origin, conversations=turns)

    assert target_of(example, is_replayed=is_replayed) is target


def test_in_a_stage_that_teaches_to_see_what_is_replayed_is_learnt(
    taught: Settings, tmp_path: Path
) -> None:
    out, replay = tmp_path / "out", replay_of(taught, tmp_path / "replay")

    trained(taught, out, "--stage", "pretrain", "--lr", "2e-3", "--replay", str(replay))

    first, last = metrics(out)[0], metrics(out)[-1]
    assert first["loss_1"] > 3
    assert last["loss_1"] < 0.8 * first["loss_1"]


def test_a_folder_that_holds_something_else_is_left_alone(taught: Settings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("dear all")
    refused = light_run(taught, *command(taught, out))
    assert as_json(refused)["error"]["kind"] == "OutputUnusable"

    (out / "letter.txt").unlink()
    trained(taught, out, "--steps", "1")
    again = light_run(taught, *command(taught, out))
    assert "a checkpoint is there" in as_json(again)["error"]["message"]
    (out / "config.json").unlink()
    other = light_run(taught, *command(taught, out, "--seed", "1"))
    assert "a run of other examples or settings" in as_json(other)["error"]["message"]


def test_what_is_forgotten_is_not_learnt_from(taught: Settings, tmp_path: Path) -> None:
    folder = taught.data.parent / "set"
    kept = (folder / TRAIN).read_bytes()
    assert light_run(taught, "forget", "cam", "0:00", "2:00", "--yes").exit_code == 0
    (folder / TRAIN).write_bytes(kept)  # as a copy of the set would still have it

    told = as_json(trained(taught, tmp_path / "out", "--steps", "1"))

    assert told["passed_over"] > 0
    assert told["examples"] + told["passed_over"] == len(examples(folder)[0])
    assert light_run(taught, "forget", "cam", "--yes").exit_code == 0
    (folder / TRAIN).write_bytes(kept)
    nothing = light_run(taught, *command(taught, tmp_path / "none"))
    assert as_json(nothing)["error"]["kind"] == "NothingToLearn"


def views_of(examples: list[Example], lost: Span) -> list[Example]:
    """Those that show footage that is lost, or lead into what they show by it."""
    return [
        one
        for one in examples
        for shown in (one.view, one.view_before)
        if shown is not None and shown.overlaps(lost.start_ns, lost.end_ns)
    ]


def test_views_whose_footage_a_full_disk_cost_are_passed_over(
    taught: Settings, tmp_path: Path
) -> None:
    train, _ = examples(taught.data.parent / "set")
    lost = first_footage_lost(taught)
    views = {one.id for one in views_of(train, lost)}

    told = as_json(trained(taught, tmp_path / "out", "--steps", "1"))

    assert told["passed_over"] == len(views) > 0
    assert told["examples"] == len(train) - len(views)  # of the clips there are tokens


def test_what_reads_pictures_passes_over_clips_whose_footage_is_gone(
    taught: Settings, tmp_path: Path
) -> None:
    train, _ = examples(taught.data.parent / "set")
    lost = first_footage_lost(taught)
    with opened(taught) as stores:
        gone = {note.clip_id for note in stores.record.clips([lost])}
    shown = [one for one in train if one.shown != "text"]
    whole = [one for one in shown if one.clips and gone.isdisjoint({*one.clips, one.lead_in})]

    told = as_json(trained(taught, tmp_path / "out", "--steps", "1", "--stage", "align"))

    views = {one.id for one in shown if one.view} - {one.id for one in views_of(shown, lost)}
    assert told["examples"] == len(whole) + len(views) < len(shown)


def test_a_set_of_nothing_is_neither_learnt_from_nor_measured_on(
    taught: Settings, tmp_path: Path
) -> None:
    folder = taught.data.parent / "set"
    (folder / TRAIN).write_text("")
    (folder / HELD_OUT).write_text("")

    assert kind_of(light_run(taught, *command(taught, tmp_path / "out"))) == "NothingToLearn"
    measured = light_run(taught, "evaluate", "--set", str(folder), "--json")
    assert kind_of(measured) == "NothingToMeasure"
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_file_that_is_gone_is_named_before_anything_is_learnt(
    taught: Settings, tmp_path: Path
) -> None:
    replay, out = tmp_path / "replay", tmp_path / "out"
    replay.mkdir()
    line = {"id": "1", "task": "judge", "origin": "given", "video": "gone.mp4", "conversations": [
        {"from": "human", "value": "<video>\nfirst?"}, {"from": "gpt", "value": "no"}]}  # fmt: skip
    for name in (TRAIN, HELD_OUT):
        (replay / name).write_text(json.dumps(line))

    refused = light_run(taught, *command(taught, out), "--replay", str(replay))
    assert kind_of(refused) == "ClipUnusable"
    assert "gone.mp4 is not there" in as_json(refused)["error"]["message"]
    assert not out.exists()
    measured = as_json(light_run(taught, "evaluate", "--set", str(replay), "--json"))
    assert measured["unusable"] == 1


def test_where_all_footage_is_gone_that_is_to_be_decoded_again_nothing_is_learnt(
    taught: Settings, tmp_path: Path
) -> None:
    shutil.rmtree(taught.footage)
    refused = light_run(taught, *command(taught, tmp_path / "out"), "--stage", "align")
    assert kind_of(refused) == "NothingToLearn"
    assert "still kept" in as_json(refused)["error"]["message"]


def test_a_disk_that_fills_up_costs_nothing_that_was_learnt(
    taught: Settings, tmp_path: Path, disk: Disk
) -> None:
    whole, out = tmp_path / "whole", disk.root / "out"
    trained(taught, whole)
    disk.fill(but_for_bytes=2 * 2**20)  # the state takes more
    full = light_run(taught, *command(taught, out))
    assert full.exit_code == 1
    assert kind_of(full) == "OutputUnusable"
    assert "goes on at step" in as_json(full)["error"]["message"]
    assert not list(out.glob("*.unfinished"))
    assert not (out / "config.json").exists()

    disk.clear()
    trained(taught, out)
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
