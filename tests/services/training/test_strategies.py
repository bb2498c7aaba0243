"""Images and video are learnt together, in the stages of a strategy, and a kill changes nothing."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from memory.datasets import TRAIN, Example, read_examples
from models.stages import Strategy
from models.transformers_engine import TransformersEngine
from services.settings import Settings
from services.training.errors import ClipUnusable
from services.training.media import Media
from services.wiring import opened
from tests.services.scripted_engine import LEVELS
from tests.services.test_cli import as_json
from tests.services.training.test_commands import built, light_run
from tests.services.training.test_train import killed_once, kind_of

STEPS, SAVE_EVERY = 12, 4


def write_image(path: Path, level: str, size: tuple[int, int] = (48, 64)) -> Path:
    """An image of plain light."""
    with av.open(str(path), "w", format="image2") as out:
        stream = out.add_stream("png", rate=1)
        stream.height, stream.width = size
        stream.pix_fmt = "rgb24"
        grey = np.full((*size, 3), LEVELS[level], np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def line_of(number: int, reply: str, **shown: Any) -> str:
    said = [
        {"from": "human", "value": "<image>\nfirst or last?"},
        {"from": "gpt", "value": reply},
    ]
    return json.dumps({"id": f"image-{number}", **shown, "conversations": said}) + "\n"


@pytest.fixture
def taught(light: Settings) -> Settings:
    """The memory of light, and a set of it to which images were added."""
    folder = light.data.parent / "set"
    built(light, folder)
    clip = next(one.clips[0] for one in read_examples(folder / TRAIN) if len(one.clips) == 1)
    with (folder / TRAIN).open("a") as file:
        for number, (level, said) in enumerate((("dim", "first"), ("bright", "last"))):
            write_image(folder / f"{level}.png", level)
            file.write(line_of(number, said, image=f"{level}.png"))
        file.write(line_of(2, "yes", clips=[clip], at_s=3))
    return light.model_copy(update={"model_threads": 1})


def command(settings: Settings, out: Path, *more: str) -> list[str]:
    return [
        "train", "--set", str(settings.data.parent / "set"), "--from", str(settings.model),
        "--out", str(out), "--steps", str(STEPS), "--batch-size", "2", "--lr", "0.003",
        "--save-every", str(SAVE_EVERY), *more, "--json",
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_strategy_runs_its_stages_one_after_another(
    taught: Settings, tmp_path: Path, strategy: Strategy
) -> None:
    out = tmp_path / "out"
    done = light_run(taught, *command(taught, out, "--strategy", strategy))
    assert done.exit_code == 0, done.output

    told = as_json(done)
    folders = sorted(path for path in out.iterdir() if path.is_dir())
    stages = [f"{n}-{part.stage}" for n, part in enumerate(strategy.parts, start=1)]
    assert [path.name for path in folders] == stages
    assert told["curves"] == str(folders[-1] / "loss.svg")
    before = TransformersEngine.load(Path(str(taught.model))).model_id
    for folder in folders:
        run = json.loads((folder / "run.json").read_text())
        assert (run["from"], run["stage"]) == (before, folder.name.partition("-")[2])
        assert not (folder / "state.pt").exists()
        assert len((folder / "metrics.jsonl").read_text().splitlines()) == STEPS
        if folder != folders[-1]:
            before = TransformersEngine.load(folder).model_id
    assert TransformersEngine.load(out).model_id == told["model_id"] != before
    assert not (folders[-1] / "config.json").exists()
    again = light_run(taught, *command(taught, out, "--strategy", strategy))
    assert "a checkpoint is there" in as_json(again)["error"]["message"]


def test_a_run_that_is_killed_within_a_stage_goes_on_there_to_the_bit(
    taught: Settings, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    by = ("--strategy", "S2-S3-IV")
    straight = light_run(taught, *command(taught, whole, *by))
    assert straight.exit_code == 0, straight.output
    killed_once(taught, command(taught, broken, *by), is_there=broken / "2-pretrain" / "state.pt")
    assert (broken / "1-align" / "config.json").exists()
    assert not (broken / "2-pretrain" / "config.json").exists()

    told = as_json(light_run(taught, *command(taught, broken, *by)))

    assert STEPS + SAVE_EVERY <= told["went_on_at"] < 2 * STEPS
    for path in whole.rglob("*"):
        if path.is_file():
            assert (broken / path.relative_to(whole)).read_bytes() == path.read_bytes(), path


def test_a_strategy_and_a_stage_exclude_each_other(taught: Settings, tmp_path: Path) -> None:
    by = ("--strategy", "S3-IV")
    both = light_run(taught, *command(taught, tmp_path / "out", *by, "--stage", "align"))
    assert both.exit_code == 2
    assert "leave out it or --stage" in both.stderr
    alone = light_run(taught, *command(taught, tmp_path / "out", *by, "--batch-size", "1"))
    assert alone.exit_code == 2
    assert "--batch-size 2" in alone.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["image", "video"])
def test_a_strategy_needs_images_and_video(taught: Settings, tmp_path: Path, missing: str) -> None:
    path = taught.data.parent / "set" / TRAIN
    lines = path.read_text().splitlines()
    kept = [line for line in lines if Example.model_validate_json(line).shown != missing]
    path.write_text("".join(f"{line}\n" for line in kept))

    refused = light_run(taught, *command(taught, tmp_path / "out", "--strategy", "S4-V"))

    assert kind_of(refused) == "KindMissing"
    assert f"shows {missing}" in as_json(refused)["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_images_may_come_from_another_set(taught: Settings, tmp_path: Path) -> None:
    folder, others = taught.data.parent / "set", tmp_path / "others"
    others.mkdir()
    lines = (folder / TRAIN).read_text().splitlines()
    ours = [line for line in lines if Example.model_validate_json(line).shown != "image"]
    (folder / TRAIN).write_text("".join(f"{line}\n" for line in ours))
    write_image(others / "dim.png", "dim")
    (others / TRAIN).write_text(line_of(1, "first", image="dim.png"))

    by = ("--strategy", "S3-IV", "--replay", str(others), "--steps", "2")
    done = light_run(taught, *command(taught, tmp_path / "out", *by))

    assert done.exit_code == 0, done.output
    reported = [
        json.loads((tmp_path / "out" / name / "metrics.jsonl").read_text().splitlines()[-1])
        for name in ("1-align", "3-instruct")
    ]
    assert "loss_1" not in reported[0]
    assert {"loss_0", "loss_1"} <= reported[1].keys()


def test_an_image_is_a_clip_of_one_picture(taught: Settings) -> None:
    folder = taught.data.parent / "set"
    found = [one for one in read_examples(folder / TRAIN) if one.shown == "image"]
    engine = TransformersEngine.load(Path(str(taught.model)))
    with opened(taught) as stores:
        media = Media(engine, stores, folder)
        shown = {one.id: media.tokens(one)[0] for one in found}
        features = {one.id: media.features(one)[0] for one in found}
        (clip_id,) = found[-1].clips
        clip = media.tokens(found[-1].model_copy(update={"at_s": None}))[0]
        late = found[-1].model_copy(update={"at_s": 60.0})
        with pytest.raises(ClipUnusable, match="no picture from 60 s on") as refused:
            media.tokens(late)

    assert refused.value.clip_id == clip_id
    bright = np.full((1, 16, 16, 3), LEVELS["bright"], np.uint8)
    expected = engine.encode(bright, [0.0]).tokens
    assert np.array_equal(shown["image-1"].tokens_KD, expected.tokens_KD)
    assert not np.array_equal(shown["image-0"].tokens_KD, expected.tokens_KD)
    for id_, one in shown.items():
        assert one.times_s_T.tolist() == [0.0]
        assert np.array_equal(features[id_].frames.frame_K, one.frame_K)
    assert len(shown["image-2"].tokens_KD) == (clip.frame_K == 3).sum()


def test_a_picture_of_a_film_is_the_first_from_then_on(taught: Settings) -> None:
    film = Example(id="x", video="light.mp4", at_s=12.4, conversations=())
    second = film.model_copy(update={"at_s": None, "start_s": 13.0, "end_s": 14.0})
    engine = TransformersEngine.load(Path(str(taught.model)))
    with opened(taught) as stores:
        media = Media(engine, stores, taught.data.parent)
        (one,) = media.tokens(film)
        (whole,) = media.tokens(second)

    assert one.times_s_T.tolist() == [0.0]
    assert np.array_equal(one.tokens_KD, whole.tokens_KD[whole.times_s_T[whole.frame_K] == 0.0])
