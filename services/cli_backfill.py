"""The command `backfill`."""

import json
import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.archive import ArchiveFile, Taken
from services.cli_run import CpusEach, GpusEach, On, OnOption, RayAddress, Workers
from services.console import (
    EXIT_FAILED,
    Json,
    Tools,
    print_json,
    reported,
    stopped_by_signals,
    tools_of,
)
from services.locks import only_one
from services.logs import log_to
from services.on_ray.cluster import Placement
from services.wiring import Stores, opened


def register(app: typer.Typer) -> None:
    app.command()(backfill)


def backfill(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(metavar="DIRECTORY...", help="Or files, or patterns such as '*/2025-*.mp4'"),
    ],
    on: OnOption = On.HERE,
    workers: Workers = 1,
    cpus_each: CpusEach = 1,
    gpus_each: GpusEach = 0,
    ray: RayAddress = None,
    as_json: Json = False,
) -> None:
    """Take in an archive: each of its files becomes a stream, and is remembered to its end.

    Streams are named after the files. They begin when their names say (2025-03-01_14-00-00), else
    when their headers do. Files that were taken in earlier are passed over, so the same command
    takes in what is new. It works beside a running service; with [bold]--on ray[/], several files
    are taken in at once, by workers on a cluster.

    Exit codes: 0 all is remembered, 1 some files are not, 3 there are none.
    """
    from services.backfill import planned

    tools, stop = tools_of(context), threading.Event()
    log_to(tools.err, level=logging.ERROR)
    failed = 0
    with (
        reported(tools, as_json=as_json),
        stopped_by_signals(stop),
        only_one(tools.settings, "backfill"),
        opened(tools.settings, make=True) as stores,
    ):
        plan = planned(stores.record, sources)
        placement = Placement(workers, cpus_each, gpus_each, ray) if on is On.RAY else None
        done: list[Taken] = []
        with shown(tools, len(plan.files), as_json=as_json) as show:
            for taken in taken_in(tools, stores, plan.files, placement, stop):
                done.append(taken)
                show(taken)
        failed = sum(one.failure is not None for one in done)
        left = len(plan.files) - len(done)
        counts = {"remembered": len(done) - failed, "known": plan.known, "failed": failed}
        if as_json:
            print_json(counts | {"left": left})
        else:
            known = f", {plan.known} were known" if plan.known else ""
            rest = f", {left} are left" if left else ""
            text = f"{counts['remembered']} files remembered{known}, {failed} failed{rest}"
            tools.out.print(text, highlight=False)
    if failed or left:
        raise typer.Exit(EXIT_FAILED)


def taken_in(
    tools: Tools,
    stores: Stores,
    files: list[ArchiveFile],
    placement: Placement | None,
    stop: threading.Event,
) -> Iterator[Taken]:
    """Take in files, here or on a cluster; where there are none, no model is loaded."""
    from services.backfill import take_here

    if not files:
        return iter(())
    if placement is None:
        return take_here(stores, tools.load_engine, files, stop)
    from services.on_ray.backfill import take_on_ray

    return take_on_ray(stores, tools.load_engine, files, placement, stop)


@contextmanager
def shown(tools: Tools, count: int, *, as_json: bool) -> Generator[Callable[[Taken], None]]:
    """Show a bar, and above it a line for each file that failed; without a terminal, for each."""
    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=tools.out,
        disable=as_json or not tools.out.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=count)

        def show(taken: Taken) -> None:
            bar.update(task, advance=1, description=taken.stream_id)
            if as_json:  # on standard output as it was at first: Ray has it diverted
                line = json.dumps(asdict(taken), ensure_ascii=False)
                tools.out.print(line, markup=False, highlight=False, soft_wrap=True)
            elif taken.failure is not None or not tools.out.is_terminal:
                tools.out.print(line_of(taken), markup=False, highlight=False, soft_wrap=True)

        yield show


def line_of(taken: Taken) -> str:
    if taken.failure is not None:
        return f"{taken.path} failed: {taken.failure}"
    return f"{taken.path} remembered as {taken.stream_id}, {taken.clips} clips"
