"""The commands that make the model better: `train` and `evaluate`."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.stages import StageName
from services.console import Json, Tools, print_json, reported, tools_of
from services.errors import NotOurCheckpoint
from services.logs import log_to
from services.wiring import opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.transformers_engine import TransformersEngine
    from services.training.evaluating import Evaluated
    from services.training.scoring import Scores

SetOption = Annotated[
    Path, typer.Option("--set", help="A data set's folder, or a file of examples.")
]


def register(app: typer.Typer) -> None:
    app.command()(train)
    app.command()(evaluate)


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
            result = measured(checkpoint_of(tools), stores, held, folder, on_progress=show)
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
        StageName, typer.Option(help="What learns: the projector, it and the decoder, or that.")
    ] = StageName.INSTRUCT,
    steps: Annotated[int, typer.Option(min=1, help="How many steps.")] = 500,
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
    from services.training.learning import Learning, learn

    tools = tools_of(context).with_settings(data=None, model=start)
    log_to(tools.err, level=logging.ERROR)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        tuning = Tuning(stage, steps, batch_size, seed, lora, lr, save_memory)
        with progress(tools, "training") as show:
            learnt = learn(
                checkpoint_of(tools),
                stores,
                Learning(examples, tuple(replay or ()), out, tuning, save_every),
                on_progress=show,
            )
        if as_json:
            print_json(asdict(learnt))
            return
        if learnt.went_on_at:
            tools.out.print(f"went on at step {learnt.went_on_at}", highlight=False)
        said = ", ".join(f"{name} {value:.3f}" for name, value in learnt.losses.items())
        tools.out.print(
            f"{learnt.model_id}: {learnt.examples} examples, {said}; see {out}/loss.svg",
            highlight=False,
            soft_wrap=True,
        )


def checkpoint_of(tools: Tools) -> "TransformersEngine":
    """The checkpoint that the settings name, in this process.

    Raises:
        NotOurCheckpoint, ModelUnavailable
    """
    from models.transformers_engine import TransformersEngine

    engine = tools.load_engine(tools.settings)
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
def progress(tools: Tools, what: str) -> "Generator[Callable[[float], None]]":
    """Show how far something is, where a person looks."""
    with Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=tools.err,
        disable=not tools.err.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)
