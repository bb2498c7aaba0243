"""The command `renote`."""

import logging
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from services.cli_dataset import spans_of
from services.cli_questions import Only, Since, Until
from services.cli_training import progress
from services.console import (
    EXIT_FAILED,
    EXIT_NOT_FOUND,
    Json,
    Tools,
    print_json,
    reported,
    stopped_by_signals,
    tools_of,
)
from services.locks import only_one
from services.logs import log_to
from services.told_weights import WeightsBook
from services.weights import Weights
from services.wiring import now_at, opened, opened_bus

if TYPE_CHECKING:
    from services.training.renoting import Renoted


def register(app: typer.Typer) -> None:
    app.command()(renote)


def renote(
    context: typer.Context,
    stream: Only = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Have the model that serves write the notes of older clips anew, from their stored tokens.

    Until then clips that other weights remembered are found by their words alone. Footage is
    decoded again where tokens are gone, or of another encoder; what people said stays. It works
    beside services, whose live work goes first, and goes on where it was stopped.

    Exit codes: 0 all is written by these weights, 1 some of it stays as it was, 3 nothing of that
    time is remembered, 5 another one is at it.
    """
    from services.training.renoting import Renoting

    tools, stop = tools_of(context), threading.Event()
    log_to(tools.err, level=logging.WARNING)
    with (
        reported(tools, as_json=as_json),
        stopped_by_signals(stop),
        opened(tools.settings) as stores,
        only_one(tools.settings, "renote"),
        opened_bus(tools.settings) as bus,
        progress(tools, "writing notes") as show,
    ):
        spans = spans_of(stores, stream, since, until)
        book = WeightsBook(stores.record.documents, now_at=now_at)
        weights = Weights(
            tools.settings, tools.load_engine, lambda engine: None, lambda turnout: None
        )
        done = Renoting(stores, bus, weights, spans, book).run(stop, on_progress=show)
    if as_json:
        print_json({**asdict(done), "stopped": stop.is_set()})
    else:
        show_renoted(tools, done, is_stopped=stop.is_set())
    if stop.is_set() or done.left:
        raise typer.Exit(EXIT_FAILED)
    if not done.rewritten + done.known:
        raise typer.Exit(EXIT_NOT_FOUND)


def show_renoted(tools: Tools, done: "Renoted", *, is_stopped: bool) -> None:
    rest = "; stopped, and to be gone on with by the same command" if is_stopped else ""
    tools.out.print(
        f"{done.rewritten} clips written anew by {done.model_id}, {done.known} were before{rest}",
        highlight=False,
        soft_wrap=True,
    )
    for why, count in sorted(done.left.items()):
        tools.out.print(f"{count} stay as they were: {why}", highlight=False)
