"""The command `longwatch`.

Commands are thin: they read options, call the part that knows, and show what it returns. What needs
torch or faiss is imported inside the command that needs it, so that the others start quickly.
"""

import logging
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from memory.values import WhenBehind
from services import (
    cli_alerts,
    cli_answers,
    cli_backfill,
    cli_dataset,
    cli_keys,
    cli_questions,
    cli_renote,
    cli_rules,
    cli_run,
    cli_serving,
    cli_summaries,
    cli_topics,
    cli_training,
)
from services.console import (
    EXIT_FAILED,
    EXIT_USAGE,
    Json,
    Tools,
    print_json,
    reported,
    stopped_by_signals,
    tools_of,
)
from services.doctor import examine, is_well
from services.errors import BadTime, SettingsError
from services.export import export as export_footage
from services.locks import Service, is_running
from services.logs import log_to
from services.moments import WallMoment, parse_moment, show_ns
from services.registry import NewStream
from services.showing import (
    checks_json,
    checks_table,
    exported_json,
    exported_lines,
    forgotten_json,
    forgotten_line,
    streams_table,
)
from services.streams import span_of, stream_rows
from services.wiring import now_at, opened

app = typer.Typer(
    name="longwatch",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def main() -> None:
    try:
        tools = Tools()
    except SettingsError as error:  # before there is a console to report to
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_USAGE)
    app(obj=tools)


@app.callback()
def common(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(help="Directory of what is remembered, instead of LONGWATCH_DATA."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of a checkpoint, instead of LONGWATCH_MODEL.")
    ] = None,
) -> None:
    """Watch video for days, remember what was seen, and answer questions about it.

    To begin: [bold]longwatch demo[/]. For footage of your own, run [bold]longwatch up[/] in one
    terminal, and in another [bold]longwatch add NAME FILE-OR-URL[/] and then [bold]longwatch ask
    "What happened?"[/].

    Exit codes: 0 done, 1 failed, 2 used wrongly, 3 nothing found, 4 that time was not watched,
    5 another service runs on the data directory.
    """
    if not isinstance(context.obj, Tools):
        context.obj = Tools()
    context.obj = context.obj.with_settings(data=data, model=model)


cli_run.register(app)
cli_serving.register(app)


@app.command()
def add(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the stream: a-z, 0-9, - and _.")],
    url: Annotated[str, typer.Argument(help="A file, or rtsp://, rtmp://, http(s):// (HLS too).")],
    realtime: Annotated[
        bool | None,
        typer.Option(
            "--realtime/--as-fast-as-possible",
            help="Pace of a file: as it was filmed, or at once. A camera has its own.",
            show_default="as fast as possible",
        ),
    ] = None,
    starts_at: Annotated[
        str | None, typer.Option(help="When a recording was made, such as 2025-03-01T14:00.")
    ] = None,
    when_behind: Annotated[
        WhenBehind | None,
        typer.Option(
            help="What is done of a camera's footage when analysis cannot keep up with it, "
            "instead of LONGWATCH_WHEN_BEHIND.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a stream: a camera or a file. A running service begins with it within a second."""
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings, make=True) as stores:
        begun_at = None if starts_at is None else wall_time_of(starts_at)
        spec = stores.registry.add(
            NewStream(name, url, realtime=realtime, starts_at=begun_at, when_behind=when_behind)
        )
        served = is_running(tools.settings, Service.CAPTURE)
        if as_json:
            print_json({"name": spec.stream_id, "url": spec.url, "is_served": served})
            return
        tools.out.print(
            f"added {spec.stream_id}: {spec.url}", markup=False, highlight=False, soft_wrap=True
        )
        if not served:
            tools.out.print("start watching with: longwatch up")


cli_backfill.register(app)


@app.command()
def streams(context: typer.Context, as_json: Json = False) -> None:
    """Show what is watched, and how well."""
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        rows = stream_rows(stores)
        if as_json:
            print_json([row.as_json() for row in rows])
        elif rows:
            tools.out.print(streams_table(rows))
        else:
            tools.out.print("no stream yet; add one with: longwatch add NAME FILE-OR-URL")


cli_questions.register(app)
cli_summaries.register(app)
cli_rules.register(app)
cli_alerts.register(app)
cli_answers.register(app)
cli_topics.register(app)
cli_keys.register(app)
cli_dataset.register(app)
cli_training.register(app)
cli_renote.register(app)


@app.command()
def export(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Name of the stream.")],
    start: Annotated[str, typer.Argument(metavar="FROM", help="Such as 0:12:30 or a date.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="Such as 0:13:00 or a date.")],
    out: Annotated[Path, typer.Argument(help="File to write: .mp4, .mkv or .mov.")],
    as_json: Json = False,
) -> None:
    """Cut a playable file out of the stored footage, without encoding anything again.

    It begins at the last keyframe at or before FROM, and says exactly where.
    """
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        span = span_of(stores, stream, start, end)
        exported = export_footage(stores.record, stores.footage, span, out)
        if as_json:
            print_json(exported_json(exported))
        else:
            for line in exported_lines(exported):
                tools.out.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def forget(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Name of the stream.")],
    start: Annotated[
        str | None, typer.Argument(metavar="[FROM]", help="Leave out to forget all of it.")
    ] = None,
    end: Annotated[str | None, typer.Argument(metavar="[TO]", help="Such as 0:13:00.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete footage and all that was remembered of it: a stream, or a part of one.

    A segment or a clip that lies partly inside is deleted whole.
    """
    from services.forget import forget_span, forget_whole

    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        stores.registry.stream(stream)
        if start is None:
            what, span = f"all of {stream}", None
        else:
            span = span_of(stores, stream, start, end)
            what = f"{show_ns(span.start_ns)} to {show_ns(span.end_ns)} of {stream}"
        if not yes:
            typer.confirm(f"Forget {what}, for ever?", abort=True, err=as_json)
        gone = forget_whole(stores, stream) if span is None else forget_span(stores, span)
        if as_json:
            print_json(forgotten_json(gone))
        else:
            tools.out.print(forgotten_line(gone), markup=False, highlight=False, soft_wrap=True)


@app.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Show what is installed, which engines are used, what is missing, and how to get it."""
    tools = tools_of(context)
    checks = examine(tools.settings)
    if as_json:
        print_json(checks_json(checks))
    else:
        tools.out.print(checks_table(checks))
    if not is_well(checks):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def demo(
    context: typer.Context,
    minutes: Annotated[
        float, typer.Option(min=5, help="How much footage is rendered and watched.")
    ] = 30,
    keep: Annotated[
        Path | None, typer.Option(help="Keep everything in this directory, to ask on.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch half an hour of rendered video, then ask about it and check the answers.

    The video shows a small scripted world, so what is true is known exactly.
    """
    from services.demo import run_demo

    tools = tools_of(context)
    log_to(tools.err, level=logging.ERROR)
    with reported(tools, as_json=as_json), stopped_by_signals(stop := threading.Event()):
        run_demo(tools, minutes=minutes, keep=keep, as_json=as_json, stop=stop)


def wall_time_of(text: str) -> datetime:
    """A date or time of day, as an option."""
    moment = parse_moment(text, now_at=now_at())
    if not isinstance(moment, WallMoment):
        raise BadTime(text)
    return moment.at


if __name__ == "__main__":
    main()
