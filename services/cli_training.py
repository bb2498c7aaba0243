"""The commands that make the model better: `train`, `evaluate`, `promote`."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from memory.datasets import ExampleTask
from models.stages import StageName, Strategy
from services.console import EXIT_FAILED, Json, Tools, print_json, reported, tools_of
from services.errors import SettingsError
from services.locks import running_services
from services.logs import log_to
from services.model_address import ServedBy
from services.promoted import is_named, serving_promotion
from services.told_weights import ToldWeights, WeightsBook, until_changed
from services.training.errors import NotOurCheckpoint
from services.wiring import now_at, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.transformers_engine import TransformersEngine
    from services.training.evaluating import Evaluated
    from services.training.scoring import Scores

SetOption = Annotated[
    Path, typer.Option("--set", help="A data set's folder, or a file of examples.")
]


CHANGED_WITHIN_S = 90.0
"""How long promoting waits for services to change over: to load a checkpoint takes a while."""


def register(app: typer.Typer) -> None:
    app.command()(train)
    app.command()(evaluate)
    app.command()(promote)


def evaluate(
    context: typer.Context,
    examples: SetOption,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the checkpoint. Default: the one that serves.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint on what is held out of a data set, with 95 % intervals.

    Facts of notes, yes or no, and short answers are held against what is true; beside it stands
    what the same checkpoint gets right without any picture.
    """
    from services.training.evaluating import evaluate as measured
    from services.training.evaluating import held_out

    tools = tools_of(context).with_settings(data=None, model=model)
    log_to(tools.err, level=logging.ERROR)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        held = held_out(examples)
        folder = examples if examples.is_dir() else examples.parent
        with progress(tools, "measuring") as show:
            result = measured(
                checkpoint_of(tools), stores, held, folder, with_blind=True, on_progress=show
            )
        if as_json:
            print_json(evaluated_json(result))
        else:
            tools.out.print(f"{result.model_id}, {result.examples} examples", highlight=False)
            tools.out.print(evaluated_table(result))
            if result.seen.unusable:
                tools.out.print(f"{result.seen.unusable} could not be shown any more")


def train(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    examples: SetOption,
    start: Annotated[Path, typer.Option("--from", help="Folder of the checkpoint to begin with.")],
    out: Annotated[Path, typer.Option(help="Folder of the run and of the checkpoint it makes.")],
    stage: Annotated[
        StageName | None,
        typer.Option(help="What learns: projector, it and decoder, or (default) the decoder."),
    ] = None,
    strategy: Annotated[
        Strategy | None,
        typer.Option(help="Instead of a stage: all of them, and when video joins images."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="How many steps, of each stage.")] = 500,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step and set.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="What is drawn, and in which order.")] = 0,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters, not the decoder.")] = False,
    lr: Annotated[
        float | None, typer.Option(min=0, help="Peak learning rate. Default: by the width.")
    ] = None,
    replay: Annotated[
        list[Path] | None,
        typer.Option(help="Another set, so that what it teaches is kept; may be given repeatedly."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(get_args(ExampleTask)),
            help="Only the set's examples of this task; may be given repeatedly. Default: all.",
        ),
    ] = None,
    save_every: Annotated[
        int, typer.Option(min=1, help="After how many steps the state is written.")
    ] = 100,
    save_memory: Annotated[
        bool, typer.Option("--save-memory", help="Compute the decoder's layers twice.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a checkpoint further on a data set. The tower stays as it is.

    The same command goes on where a run was killed, to the bit.
    """
    from models.finetune import Tuning
    from models.several_devices import launched_devices
    from services.training.learning import Learning, learn
    from services.training.strategies import learn_by

    tools = tools_of(context).with_settings(data=None, model=start)
    log_to(tools.err, level=logging.ERROR)
    if unknown := set(task or ()).difference(get_args(ExampleTask)):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: no such task")
    if strategy and stage:
        raise typer.BadParameter("a --strategy has its own stages; leave out it or --stage")
    if strategy and batch_size == 1:
        raise typer.BadParameter("a batch of images and video holds two or more: --batch-size 2")
    with (
        reported(tools, as_json=as_json),
        launched_devices(tools.settings.device) as devices,
        opened(tools.settings) as stores,
    ):
        if devices is not None and batch_size < devices.count:
            least = f"--batch-size {devices.count}"
            raise typer.BadParameter(f"{devices.count} devices share each batch: {least} or more")
        first = stage or StageName.INSTRUCT
        tuning = Tuning(first, steps, batch_size, seed, lora, lr, save_memory)
        learning = Learning(
            examples, tuple(replay or ()), out, tuning, save_every, task, devices=devices
        )
        learner = partial(learn_by, strategy) if strategy else learn
        is_told = devices is None or devices.is_first
        with progress(tools, "training", is_shown=is_told) as show:
            learnt = learner(checkpoint_of(tools), stores, learning, on_progress=show)
        if not is_told:
            return
        if as_json:
            print_json(asdict(learnt))
            return
        if learnt.went_on_at:
            tools.out.print(f"went on at step {learnt.went_on_at}", highlight=False)
        said = ", ".join(f"{name} {value:.3f}" for name, value in learnt.losses.items())
        tools.out.print(
            f"{learnt.model_id}: {learnt.examples} examples, {said}; see {learnt.curves}",
            highlight=False,
            soft_wrap=True,
        )


def promote(
    context: typer.Context,
    checkpoint: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="Folder of the checkpoint.")
    ] = None,
    examples: Annotated[
        list[Path] | None,
        typer.Option("--set", help="What to compare on. Default: all data sets made here."),
    ] = None,
    back: Annotated[bool, typer.Option("--back", help="Let the one before serve again.")] = False,
    as_json: Json = False,
) -> None:
    """Have a checkpoint serve, unless it is worse than the one that does.

    Worse is what is worse by any measure on what is held out, beyond the 95 % interval. Services
    that run change over by themselves, between two pieces of work; this waits until they have.

    Exit codes: 0 done, 1 refused, or a service goes on with the one before.
    """
    tools = tools_of(context)
    log_to(tools.err, level=logging.ERROR)
    with reported(tools, as_json=as_json):
        if is_named(tools.settings):
            raise SettingsError(
                "LONGWATCH_MODEL or --model names the checkpoint that serves; leave it out"
            )
        if back == (checkpoint is not None):
            raise SettingsError("give the folder of a checkpoint, or --back")
        told = taken_back(tools) if checkpoint is None else promoted(tools, checkpoint, examples)
        services = changed_over(tools)
        if as_json:
            print_json({**told, "services": [one.model_dump(mode="json") for one in services]})
        else:
            show_promotion(tools, told, services)
    if any(one.refused for one in services):
        raise typer.Exit(EXIT_FAILED)


def show_promotion(tools: Tools, told: dict[str, Any], services: list[ToldWeights]) -> None:
    tools.out.print(f"{told['model_id']} serves", highlight=False)
    for measure, gain in told.get("gains", {}).items():
        by = f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
        tools.out.print(f"  {measure:24} {by}", markup=False, highlight=False)
    tools.out.print("older clips are found by their words alone, until: longwatch renote")
    if not told.get("reads_stored_tokens", True):
        tools.out.print("it reads no tokens that are stored, so that decodes their footage again")
    for one in services:
        now = f"{one.service}: {one.model_id}"
        said = f"{now} goes on serving: {one.refused}" if one.refused else now
        tools.out.print(said, markup=False, highlight=False, soft_wrap=True)


def changed_over(tools: Tools) -> list[ToldWeights]:
    """What services that run work with, when all have changed over that do so in time."""
    if not running_services(tools.settings):
        return []
    promotion = serving_promotion(tools.settings)
    with opened(tools.settings) as stores, progress(tools, "services change over"):
        book = WeightsBook(stores.record.documents, now_at=now_at)
        return until_changed(book, promotion, within_s=CHANGED_WITHIN_S)


def taken_back(tools: Tools) -> dict[str, Any]:
    from services.training.promoting import take_back

    return {"model_id": take_back(tools.settings) or "the shipped model"}


def promoted(tools: Tools, checkpoint: Path, sets: list[Path] | None) -> dict[str, Any]:
    from services.training.promoting import compare, sets_of
    from services.training.promoting import promote as make_serve

    with opened(tools.settings) as stores, progress(tools, "comparing") as show:
        old = checkpoint_of(tools)
        new = checkpoint_of(tools.with_settings(data=None, model=checkpoint))
        if new.model_id != old.model_id:
            result = compare(new, old, stores, sets or sets_of(stores), on_progress=show)
            make_serve(tools.settings, checkpoint, new.model_id, result, now_at=now_at())
            gains = {name: asdict(gain) for name, gain in result.gains.items()}
            return told_of(new, old, gains)
    return told_of(new, old, {})


def told_of(
    new: "TransformersEngine", old: "TransformersEngine", gains: dict[str, Any]
) -> dict[str, Any]:
    """What is said of a promotion."""
    can_look = (new.encoder_id, new.layout_id) == (old.encoder_id, old.layout_id)
    return {"model_id": new.model_id, "gains": gains, "reads_stored_tokens": can_look}


def checkpoint_of(tools: Tools) -> "TransformersEngine":
    """The checkpoint that the settings name, in this process, though servers of ours serve it.

    Raises:
        NotOurCheckpoint, ModelUnavailable
    """
    from models.transformers_engine import TransformersEngine

    settings, address = tools.settings, tools.settings.model_address
    if address is not None and address.served_by is ServedBy.SGLANG:
        settings = settings.model_copy(update={"model_url": None})
    engine = tools.load_engine(settings)
    if not isinstance(engine, TransformersEngine):
        raise NotOurCheckpoint(engine.model_id)
    return engine


def evaluated_json(result: "Evaluated") -> dict[str, Any]:
    return {
        "model_id": result.model_id,
        "examples": result.examples,
        "unusable": result.seen.unusable,
        "seen": scores_json(result.seen),
        "blind": scores_json(result.blind),
    }


def scores_json(scores: "Scores") -> dict[str, Any]:
    counts = scores.counts()
    return {
        measure: {
            "value": round(one.value, 4),
            "low": round(one.low, 4),
            "high": round(one.high, 4),
            "of": counts[measure],
        }
        for measure, one in scores.estimates().items()
    }


def evaluated_table(result: "Evaluated") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("measure", "of", "checkpoint", "blind"):
        table.add_column(column)
    seen, blind, counts = result.seen.estimates(), result.blind.estimates(), result.seen.counts()
    for measure, one in seen.items():
        without = str(blind[measure]) if measure in blind else "–"
        table.add_row(measure, str(counts[measure]), str(one), without)
    return table


@contextmanager
def progress(
    tools: Tools, what: str, *, is_shown: bool = True
) -> "Generator[Callable[[float], None]]":
    """Show how far something is, where a person looks."""
    with Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=tools.err,
        disable=not (is_shown and tools.err.is_terminal),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)
