"""A checkpoint serves when it is no worse than the one that did, and the one before comes back."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memory.datasets import HELD_OUT, Example, turns_of
from models.errors import SwapRefused
from models.schemas import Note
from models.transformers_engine import TransformersEngine
from services.promoted import (
    Promotion,
    Promotions,
    read_promotions,
    served_model,
    write_promotions,
)
from services.requests import Answered, model_of
from services.resident import ask_service
from services.settings import SHIPPED_MODEL, Settings, load_settings
from services.told_weights import WeightsBook, until_changed
from services.training.errors import NothingHeldOut, WorseThanServing
from services.training.promoting import Compared, compare, promote, sets_of, take_back
from services.training.scoring import Scores
from services.up import Running, run_service
from services.wiring import load_engine, now_at, opened
from tests.models.faulty_server import Faulty, faulty
from tests.services.asking import PATIENCE_S, ask_request, listens, until
from tests.services.test_cli import as_json, run
from tests.services.test_weights import working
from tests.services.training.light import save_light_checkpoint
from tests.services.training.test_commands import built, light_run

AT = datetime(2025, 3, 1, tzinfo=UTC)


def scores(right: int, total: int = 40) -> Scores:
    made = Scores()
    for number in range(total):
        made.add("judge right", str(number), (int(number < right), 1))
    return made


def model_id(path: Path) -> str:
    return TransformersEngine.load(path).model_id


def test_a_promoted_checkpoint_serves_until_it_is_taken_back(
    bare: Settings, checkpoint: Path
) -> None:
    light = model_id(checkpoint)
    promote(bare, checkpoint, light, Compared(scores(20), scores(20), 40), now_at=AT)

    assert load_engine(bare).model_id == light
    assert served_model(bare) == bare.models_path / light
    assert model_of(bare) == str((bare.models_path / light).resolve())
    assert served_model(load_settings(data=bare.data, model=SHIPPED_MODEL)) == SHIPPED_MODEL

    back = run(bare, "promote", "--back", "--json")
    assert as_json(back)["model_id"] == "the shipped model"
    assert served_model(bare) == SHIPPED_MODEL
    assert as_json(run(bare, "promote", "--back", "--json"))["error"]["kind"] == "NothingPromoted"


def test_the_copy_serves_whatever_becomes_of_the_folder(bare: Settings, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    save_light_checkpoint(mine)
    promote(bare, mine, model_id(mine), Compared(scores(1), scores(1), 40), now_at=AT)
    expected = model_id(mine)
    for path in mine.iterdir():
        path.unlink()

    assert load_engine(bare).model_id == expected


def test_the_servers_of_the_model_are_swapped_all_or_none(bare: Settings, checkpoint: Path) -> None:
    result, refusal = Compared(scores(1), scores(1), 40), b'{"message": "another layout"}'
    with faulty() as one, faulty((400, refusal), (200, b"{}")) as other:
        servers = f"sglang+{one.url},{other.url}"
        settings = load_settings(data=bare.data, model_url=servers, model_key="sesame")
        with pytest.raises(SwapRefused, match="another layout"):
            promote(settings, checkpoint, "light@1", result, now_at=AT)
        assert swaps(one) == [settings.models_path / "light@1", SHIPPED_MODEL]
        assert read_promotions(settings).promotions == ()

        promote(settings, checkpoint, "light@1", result, now_at=AT)
        assert served_model(settings).name == "light@1"
        assert take_back(settings) is None
        assert swaps(other)[-2:] == [settings.models_path / "light@1", SHIPPED_MODEL]
        assert {headers["Authorization"] for _, headers, _ in one.asked} == {"Bearer sesame"}


def swaps(server: Faulty) -> list[Path]:
    """Which folders a server was to serve."""
    return [Path(json.loads(body)["model_path"]) for _, _, body in server.asked]


def test_a_worse_checkpoint_is_refused_and_changes_nothing(
    bare: Settings, checkpoint: Path
) -> None:
    with pytest.raises(WorseThanServing, match=r"judge right by -0\.5"):
        promote(bare, checkpoint, "light@1", Compared(scores(20), scores(40), 40), now_at=AT)

    assert read_promotions(bare).promotions == ()
    assert not bare.models_path.exists()


def test_a_little_worse_may_be_chance(bare: Settings, checkpoint: Path) -> None:
    promote(bare, checkpoint, "light@1", Compared(scores(39), scores(40), 40), now_at=AT)

    assert [one.model_id for one in read_promotions(bare).promotions] == ["light@1"]


def test_checkpoints_are_compared_on_what_registered_sets_hold_out(
    light: Settings, checkpoint: Path, tmp_path: Path
) -> None:
    built(light, tmp_path / "set")
    with opened(light) as stores:
        (found,) = sets_of(stores)
        engine = TransformersEngine.load(checkpoint)
        held = tmp_path / "set" / HELD_OUT
        held.write_text("".join(
            f"{line}\n" for line in held.read_text().splitlines() if '"judge"' in line
        ))  # fmt: skip
        result = compare(engine, engine, stores, [found])

        assert result.worse == {}
        assert result.gains["judge right"].value == 0
        held.write_text("")
        with pytest.raises(NothingHeldOut, match="dataset build"):
            compare(engine, engine, stores, [found])


def calm_notes(folder: Path) -> Path:
    """Examples without pictures, for any checkpoint to reply to."""
    reply = Note(text="nothing happens").as_reply()
    lines = [
        Example(id=str(n), task="note", origin="given", conversations=turns_of((f"{n}?", reply)))
        for n in range(3)
    ]
    path = folder / "held.jsonl"
    path.write_text("".join(
        json.dumps(one.model_dump(mode="json", by_alias=True, exclude_defaults=True)) + "\n"
        for one in lines
    ))  # fmt: skip
    return path


def test_the_command_compares_with_the_one_that_serves(
    bare: Settings, checkpoint: Path, tmp_path: Path
) -> None:
    assert run(bare, "add", "door", "rtsp://127.0.0.1:9/door").exit_code == 0
    held = calm_notes(tmp_path)

    done = light_run(bare, "promote", str(checkpoint), "--set", str(held), "--json")
    assert done.exit_code == 0, done.output
    told = as_json(done)
    assert told["model_id"] == model_id(checkpoint)
    assert told["reads_stored_tokens"] is False
    assert told["gains"]["note calm recognised"]["high"] >= 0
    assert load_engine(bare).model_id == told["model_id"]


def test_a_service_that_runs_changes_over_by_the_command_and_back(
    light: Settings, checkpoint: Path, tmp_path: Path
) -> None:
    open_to_all = load_settings(data=light.data)
    first, other, held = model_id(checkpoint), tmp_path / "other", calm_notes(tmp_path)
    promote(open_to_all, checkpoint, first, Compared(scores(1), scores(1), 1), now_at=AT)
    save_light_checkpoint(other, seed=1)
    running = Running(open_to_all, load_engine)
    with working(lambda stop: run_service(running, stop)):
        until(lambda: listens(open_to_all))
        done = light_run(open_to_all, "promote", str(other), "--set", str(held), "--json")
        assert done.exit_code == 0, done.output
        assert [one["model_id"] for one in as_json(done)["services"]] == [model_id(other)]
        question = ask_request("what happens?")
        answered = ask_service(open_to_all, question, on_text=lambda piece: None)
        assert isinstance(answered, Answered)
        assert answered.answer.model_id == model_id(other)

        back = light_run(open_to_all, "promote", "--back", "--json")
        assert [one["model_id"] for one in as_json(back)["services"]] == [first]
        (weights,) = (open_to_all.models_path / model_id(other)).glob("*.safetensors")
        weights.write_bytes(weights.read_bytes()[:1000])
        promotions = read_promotions(open_to_all).promotions
        broken = Promotion(model_id=model_id(other), promoted_at=AT.replace(year=2026))
        write_promotions(open_to_all, Promotions(promotions=(*promotions, broken)))
        with opened(open_to_all) as stores:
            book = WeightsBook(stores.record.documents, now_at=now_at)
            (told,) = until_changed(book, broken, within_s=PATIENCE_S)
    assert (told.model_id, told.promotion) == (first, broken)
    assert "cannot be loaded" in str(told.refused)


def test_a_checkpoint_that_is_named_cannot_be_promoted_over(
    light: Settings, checkpoint: Path
) -> None:
    for arguments in ((str(checkpoint),), ("--back",)):
        refused = light_run(light, "promote", *arguments)
        assert refused.exit_code == 2
        assert "LONGWATCH_MODEL" in refused.stderr
    assert run(load_settings(data=light.data), "promote").exit_code == 2
