"""The commands that serve: `up`, all services in one process, and `run`, one of them."""

import logging
import threading
from typing import Annotated

import typer

from services.console import Json, Tools, reported, stopped_by_signals, tools_of
from services.locks import Service
from services.logs import log_to
from services.showing import progress_display

Health = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Tell health and measurements there by HTTP, instead of LONGWATCH_HEALTH.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(run)


def up(
    context: typer.Context,
    until_idle: Annotated[
        bool, typer.Option(help="Stop when every file is at its end and remembered.")
    ] = False,
    health: Health = None,
    as_json: Json = False,
) -> None:
    """Start watching; stop with Ctrl-C.

    Captures every stream that was added, also those added later, remembers what the model sees,
    and goes on where it stopped. One service at a time runs on a data directory (exit code 5).
    """
    from services.up import Running, run_service

    tools, stop = tools_of(context), threading.Event()
    begin_log(tools, "up")
    with (
        reported(tools, as_json=as_json, logs=True),
        stopped_by_signals(stop),
        progress_display(tools.out, as_json=as_json) as show,
    ):
        tools = tools.with_health(health)
        run_service(
            Running(
                settings=tools.settings,
                load_engine=tools.load_engine,
                until_idle=until_idle,
                on_progress=show,
            ),
            stop,
        )


def run(
    context: typer.Context,
    service: Annotated[Service, typer.Argument(help="Which of them.")],
    health: Health = None,
    as_json: Json = False,
) -> None:
    """Run one service in a process of its own; stop it with SIGTERM or Ctrl-C.

    `longwatch up` is all four in one. Here each can be restarted, watched and placed by itself;
    they find each other through the data directory, and through Kafka and Redis where those are
    set. Of each service one at a time runs on a data directory, and none beside `up` (exit code 5).
    """
    from services.run import run_alone

    tools, stop = tools_of(context), threading.Event()
    begin_log(tools, service)
    with reported(tools, as_json=as_json, logs=True), stopped_by_signals(stop):
        tools = tools.with_health(health)
        run_alone(service, tools.settings, tools.load_engine, stop)


def begin_log(tools: Tools, service: str) -> None:
    log_to(tools.err, level=logging.INFO, form=tools.settings.log, service=service)
