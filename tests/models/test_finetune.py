"""Training further: what is drawn, what learns, and that a run goes on where it was."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import torch

from models.finetune import (
    Drawing,
    Lesson,
    Tuning,
    batches,
    led_into,
    loss_plot,
    mixed_batches,
    read_metrics,
    stage_of,
)
from models.kept import Kept
from models.lora import adapt, merge
from models.reply_loss import MARGIN, Target
from models.stages import VIDEO, Shown, StageName, Strategy
from models.train import (
    ClipAsRead,
    Sample,
    Stage,
    batch_losses,
    jsonl_report,
    replies,
    train,
    visual_tokens,
)
from models.transformers_engine import TransformersEngine
from tests.models.builders import tiny_engine
from tests.models.test_train import clip

TUNING = Tuning(StageName.PRETRAIN, num_steps=12, batch_size=2, seed=3)


def lessons() -> list[Lesson]:
    texts = [("note", "yes", True), ("note", "no", False), ("note", "2.0", False),
             ("judge", "yes", False)]  # fmt: skip
    return [
        Lesson(task, own, "video", lambda n=n, said=said: Sample("what <video>", said, (clip(n),)))
        for n, (task, said, own) in enumerate(texts)
    ]


def drawn(first_step: int, count: int) -> list[list[str]]:
    found = batches(lessons(), Drawing(batch_size=4, seed=1, first_step=first_step))
    return [[sample.reply for sample in next(found)] for _ in range(count)]


def test_a_step_draws_the_same_wherever_a_run_began() -> None:
    assert drawn(0, 20)[7:] == drawn(7, 13)
    assert drawn(0, 20) != drawn(1, 20)


def test_half_of_what_is_drawn_was_said_by_people() -> None:
    notes = [one for batch in drawn(0, 400) if "no" in batch or "2.0" in batch for one in batch]

    assert 0.35 < notes.count("yes") / len(notes) < 0.6


def shown_lessons(*shown: Shown) -> list[Lesson]:
    """As many lessons as asked for; the reply says what each shows, and its number."""
    return [
        Lesson(
            "answer",
            False,
            kind,
            lambda n=n, kind=kind: Sample("what", f"{kind} {n}"),
        )
        for n, kind in enumerate(shown)
    ]


def mixed(lessons: list[Lesson], *, batch_size: int, count: int) -> list[list[str]]:
    found = mixed_batches(lessons, Drawing(batch_size, seed=1, first_step=0))
    return [[sample.reply.split()[0] for sample in next(found)] for _ in range(count)]


def test_a_mixed_batch_holds_both_kinds_and_text_is_kept_apart() -> None:
    videos, texts = shown_lessons(*6 * VIDEO), shown_lessons("text", "text")
    lessons = [*shown_lessons("image"), *videos, *texts]

    drawn_kinds = mixed(lessons, batch_size=4, count=80)

    visual = [sorted(batch) for batch in drawn_kinds if "text" not in batch]
    assert visual and all(batch == ["image"] * 2 + ["video"] * 2 for batch in visual)
    rest = [batch for batch in drawn_kinds if "text" in batch]
    assert all(batch == ["text"] * 4 for batch in rest)
    assert 0.1 < len(rest) / len(drawn_kinds) < 0.4
    assert sorted(mixed(shown_lessons("image", "video"), batch_size=3, count=1)[0]) == [
        "image", "video", "video",
    ]  # fmt: skip


def test_what_cannot_be_mixed_is_drawn_as_ever() -> None:
    lessons = shown_lessons("video", "text", "video")
    how = Drawing(batch_size=1, seed=1, first_step=5)
    plain, same = batches(lessons, how), mixed_batches(lessons, how)

    drawn_of = [[sample.reply for _ in range(9) for sample in next(one)] for one in (plain, same)]
    assert drawn_of[0] == drawn_of[1]
    with pytest.raises(ValueError, match="batch of 1"):
        mixed(shown_lessons("image", "video"), batch_size=1, count=1)


@pytest.mark.parametrize(
    ("strategy", "parts"),
    [
        (Strategy.S4_V, "align image, pretrain image, instruct image, instruct video"),
        (Strategy.S3_IV, "align image, pretrain image, instruct image+video"),
        (Strategy.S2_S3_IV, "align image, pretrain image+video, instruct image+video"),
    ],
)
def test_strategies_bring_video_in_where_their_names_say(strategy: Strategy, parts: str) -> None:
    assert ", ".join(f"{one.stage} {'+'.join(one.shows)}" for one in strategy.parts) == parts


def run_to_the_end(
    engine: TransformersEngine, tuning: Tuning, folder: Path, *, stop_after: int | None = None
) -> list[dict[str, float]]:
    """Train as a service does; stopped, it is killed after so many steps."""
    kept = Kept(folder / "state.pt", every=4)
    metrics = read_metrics(folder / "metrics.jsonl", until_step=kept.first_step)
    stage = stage_of(engine.model, tuning)
    source = batches(lessons(), Drawing(tuning.batch_size, tuning.seed, first_step=kept.first_step))

    def until_killed() -> Iterator[list[Sample]]:
        for number, batch in enumerate(source, start=kept.first_step):
            if number == stop_after:
                raise KeyboardInterrupt
            yield batch

    write = jsonl_report(folder / "metrics.jsonl")

    def report(values: dict[str, float]) -> None:
        write(values)
        metrics.append(values)

    train(
        engine.model,
        engine.processor,
        stage,
        [replies(until_killed())],
        report=report,
        report_every=1,
        kept=kept,
    )
    return metrics


def weights(engine: TransformersEngine) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in engine.model.state_dict().items()}


@pytest.mark.parametrize("lora", [False, True])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path, lora: bool) -> None:
    tuning = replace(TUNING, lora=lora)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    for folder in (straight, broken):
        folder.mkdir()
    whole = tiny_engine()
    run_to_the_end(whole, tuning, straight)

    with pytest.raises(KeyboardInterrupt):
        run_to_the_end(tiny_engine(), tuning, broken, stop_after=7)
    assert Kept(broken / "state.pt", every=4).first_step == 4
    again = tiny_engine()
    run_to_the_end(again, tuning, broken)

    name = "metrics.jsonl"
    assert (broken / name).read_text() == (straight / name).read_text()
    for (name, one), other in zip(weights(whole).items(), weights(again).values(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize(
    ("stage", "changed"),
    [
        (StageName.ALIGN, {"projector"}),
        (StageName.INSTRUCT, {"language_model", "visual_head", "text_head", "retrieval_scale"}),
        (StageName.PRETRAIN,
         {"projector", "language_model", "visual_head", "text_head", "retrieval_scale"}),
    ],
)  # fmt: skip
def test_a_stage_changes_its_parts_alone(
    stage: StageName, changed: set[str], tmp_path: Path
) -> None:
    engine = tiny_engine()
    before = weights(engine)
    rates = stage_of(engine.model, replace(TUNING, stage=stage)).lr

    run_to_the_end(engine, replace(TUNING, stage=stage), tmp_path)

    assert set(rates) == changed
    moved = {
        name for name, value in weights(engine).items() if not torch.equal(value, before[name])
    }
    assert {name.split(".")[0] for name in moved} <= changed
    assert ("projector.up.weight" in moved) == stage.reads_features


def test_adapters_change_nothing_until_they_learn_and_are_merged_without_a_trace() -> None:
    engine = tiny_engine()
    ids = torch.tensor([engine.processor.text_ids("what happens")])
    layers = engine.model.language_model.model.layers
    names = list(engine.model.state_dict())
    plain = engine.model(ids).logits

    learning = adapt(layers, seed=0)
    assert torch.equal(engine.model(ids).logits, plain)
    with torch.no_grad():
        for name, parameter in layers.named_parameters():
            if name in learning:
                parameter.add_(0.01)
    adapted = engine.model(ids).logits
    assert not torch.allclose(adapted, plain)
    merge(layers)

    assert torch.allclose(engine.model(ids).logits, adapted, atol=1e-5)
    assert list(engine.model.state_dict()) == names


def test_only_adapters_and_heads_learn_with_lora() -> None:
    engine = tiny_engine()
    stage = stage_of(engine.model, replace(TUNING, stage=StageName.INSTRUCT, lora=True))

    assert all(
        name.endswith((".down", ".up")) for name in stage.lr if name.startswith("language_model")
    )
    assert any("q_proj" in name for name in stage.lr) and any("mlp" in name for name in stage.lr)


def test_saving_memory_gives_the_same_losses(tmp_path: Path) -> None:
    for name in ("plain", "saving"):
        (tmp_path / name).mkdir()
    plain = run_to_the_end(tiny_engine(), TUNING, tmp_path / "plain")
    saving = run_to_the_end(tiny_engine(), replace(TUNING, save_memory=True), tmp_path / "saving")

    assert [one["loss_0"] for one in saving] == pytest.approx([one["loss_0"] for one in plain])


def test_stored_tokens_are_read_as_they_are_projected() -> None:
    engine = tiny_engine()
    shown = [clip(1), clip(2)]
    with torch.no_grad():
        projected = visual_tokens(engine.model, shown)
        K = len(shown[0].slot_K)
        read = ClipAsRead(projected[:K].half().numpy(), shown[0].frames)
        mixed = visual_tokens(engine.model, [read, shown[1]])
        losses = [
            batch_losses(
                engine.model, engine.processor, [Sample("a <video>", "yes", (one,), ("b",))]
            )
            for one in (read, shown[0])
        ]

    assert torch.allclose(mixed, projected, atol=1e-3)
    for name in ("loss", "retrieval"):
        assert losses[0][name].item() == pytest.approx(losses[1][name].item(), rel=0.02)


def test_what_a_model_said_before_is_what_it_is_held_to() -> None:
    engine = tiny_engine()
    model, before = engine.model, deepcopy(engine.model)
    said = (Sample("what <video>", "yes no", (clip(1),), ("a",)), Sample("what", "2.0"))
    samples = [replace(one, target=Target.AS_BEFORE) for one in said]

    def apart() -> float:
        return batch_losses(model, engine.processor, samples, before=before)["loss"].item()

    assert apart() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        torch.manual_seed(1)
        for parameter in model.language_model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    forgetful = apart()
    assert forgetful > 0.01
    stage = Stage("x", {"language_model": 1e-3}, num_steps=40, warmup_steps=1)
    task = replies(repeat(samples), before=before)
    train(model, engine.processor, stage, [task], report=lambda values: None)
    assert apart() < 0.5 * forgetful
    assert not any(parameter.grad is not None for parameter in before.parameters())


def test_words_are_corrected_by_a_margin_and_numbers_and_the_end_are_not() -> None:
    engine = tiny_engine()
    before = deepcopy(engine.model)  # nobody trained it, so it expects nothing

    def cost(reply: str, target: Target) -> float:
        samples = [Sample("what", reply, target=target)]
        losses = batch_losses(engine.model, engine.processor, samples, before=before)
        return losses["loss"].item()

    as_it_stands, corrected = (
        [cost(reply, target) for reply in ("yes no", "2.0 2.0}]")]
        for target in (Target.AS_IT_STANDS, Target.CORRECTED)
    )
    assert corrected[0] > as_it_stands[0] + 1
    assert corrected[1] == pytest.approx(as_it_stands[1])


def test_what_a_reply_says_again_is_not_corrected_again() -> None:
    engine = tiny_engine()
    reply, num_words = "yes no yes no", 2
    num_tokens = len(engine.processor.reply_ids(reply))

    def cost(target: Target) -> float:
        samples = [Sample("what", reply, target=target)] * 2
        losses = batch_losses(engine.model, engine.processor, samples, before=engine.model)
        return losses["loss"].item() * num_tokens

    more = cost(Target.CORRECTED) - cost(Target.AS_IT_STANDS)
    assert more == pytest.approx(num_words * MARGIN, rel=0.01)


def test_a_lead_in_of_features_lies_where_the_engine_puts_one() -> None:
    both = led_into(clip(2), clip(1), ends_s=3.0, lead_in_s=2.0)

    assert both.frames.times_s_T.tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]
    first = int((clip(1).frames.frame_K == 0).sum())
    assert np.array_equal(both.features_KC[: -len(clip(2).slot_K)], clip(1).features_KC[first:])
    assert both.frames.frame_K.max() == 4
    assert len(both.frames.frame_K) == len(both.slot_K) == len(both.place_K2)


def test_metrics_after_the_kept_state_are_deleted_and_a_cut_line_too(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 4, "loss_0": 2.0}\n{"step": 5, "loss_0": 1.0}\n{"step": 6, "lo')

    assert read_metrics(path, until_step=4) == [{"step": 4, "loss_0": 2.0}]
    assert path.read_text() == '{"step": 4, "loss_0": 2.0}\n'


def test_curves_are_drawn_of_every_loss() -> None:
    drawn = loss_plot([{"step": 1, "share": 0.5, "loss_0": 2.0}, {"step": 2, "loss_0": 1.0}])

    assert drawn.count("<polyline") == 1
    assert ">loss_0</text>" in drawn
    assert loss_plot([]).startswith("<svg")


def test_a_stage_that_saves_memory_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    engine = tiny_engine()
    stage = Stage("x", {"language_model": 1e-3}, num_steps=1, save_memory=True)
    train(engine.model, engine.processor, stage, [replies(batches(
        lessons(), Drawing(1, seed=0, first_step=0)))], report=lambda values: None)  # fmt: skip

    assert not engine.model.language_model.is_activation_checkpointing
