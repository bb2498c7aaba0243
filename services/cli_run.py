"""The commands that serve: `up`, all services in one process, and `run`, one of them."""

import logging
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.console import Json, Tools, reported, stopped_by_signals, tools_of
from services.errors import SettingsError
from services.locks import Service
from services.logs import log_to
from services.on_ray.cluster import Placement
from services.showing import progress_display

if TYPE_CHECKING:
    from services.run import Work

Health = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Tell health and measurements there by HTTP, instead of LONGWATCH_HEALTH.",
    ),
]


Listen = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Serve the HTTP API there, instead of LONGWATCH_LISTEN.",
    ),
]


class On(StrEnum):
    """Where work is done."""

    HERE = "here"
    RAY = "ray"


OnOption = Annotated[On, typer.Option("--on", help="In this process, or on a Ray cluster.")]
Workers = Annotated[int, typer.Option(min=1, help="How many workers, with --on ray.")]
CpusEach = Annotated[float, typer.Option(min=0, help="CPUs that Ray sets aside for a worker.")]
GpusEach = Annotated[
    float, typer.Option(min=0, help="GPUs, or which part of one, such as 0.25; it then uses cuda.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Cluster to use, instead of RAY_ADDRESS. Default: one on this machine, which is "
        "started if need be.",
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
    listen: Listen = None,
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
        tools = tools.with_checked(health=health, listen=listen)
        run_service(
            Running(
                settings=tools.settings,
                load_engine=tools.load_engine,
                until_idle=until_idle,
                on_progress=show,
            ),
            stop,
        )


def run(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    service: Annotated[Service, typer.Argument(help="Which of them.")],
    on: OnOption = On.HERE,
    workers: Workers = 1,
    cpus_each: CpusEach = 1,
    gpus_each: GpusEach = 0,
    ray: RayAddress = None,
    health: Health = None,
    listen: Listen = None,
    as_json: Json = False,
) -> None:
    """Run one service in a process of its own; stop it with SIGTERM or Ctrl-C.

    `longwatch up` is all of them in one. Here each can be restarted, watched and placed by itself;
    they find each other through the data directory, and through Kafka and Redis where those are
    set. Of each service one at a time runs on a data directory, and none beside `up` (exit code 5);
    with Kafka, any number of `analyse`, which share the work.

    With [bold]--on ray[/], analysis is done by workers that Ray places on the machines of a
    cluster, and replaces when they or their machines fail; to answer, each of them holds the
    vectors of some of the streams.
    """
    from services.run import run_alone

    tools, stop = tools_of(context), threading.Event()
    begin_log(tools, service)
    with reported(tools, as_json=as_json, logs=True), stopped_by_signals(stop):
        if listen is not None and service is not Service.API:
            raise SettingsError(f"{service} has nothing to serve there; leave out --listen")
        tools = tools.with_checked(health=health, listen=listen)
        work = None
        if on is On.RAY:
            work = work_on_ray(service, Placement(workers, cpus_each, gpus_each, ray))
        run_alone(service, tools.settings, tools.load_engine, stop, work=work)


def begin_log(tools: Tools, service: str) -> None:
    log_to(tools.err, level=logging.INFO, form=tools.settings.log, service=service)


def work_on_ray(service: Service, placement: Placement) -> "Work":
    """How a service works on a cluster.

    Raises:
        SettingsError: that one does not.
    """
    from services.on_ray.crew import analyse_on_ray
    from services.on_ray.shards import answer_on_ray

    match service:
        case Service.ANALYSE:
            return lambda alone, stop: analyse_on_ray(alone, placement, stop)
        case Service.ANSWER:
            return lambda alone, stop: answer_on_ray(alone, placement, stop)
        case _:
            raise SettingsError(f"{service} does not run on Ray; leave out --on")
