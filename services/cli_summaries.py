"""The command `summarize`: what happened in a time, in a page."""

from typing import Annotated

import typer

from memory.summaries import Level
from services.cli_questions import Only, Since, Until
from services.console import (
    EXIT_NOT_FOUND,
    EXIT_NOT_WATCHED,
    Json,
    print_json,
    reported,
    tools_of,
)
from services.moments import parse_bounds
from services.showing import summary_lines
from services.summaries.reading import summaries
from services.wiring import now_at, opened


def register(app: typer.Typer) -> None:
    app.command()(summarize)


def summarize(
    context: typer.Context,
    stream: Only = None,
    since: Since = None,
    until: Until = None,
    level: Annotated[
        Level | None, typer.Option(help="One summary for each of these, counted in media time.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what happened in a time: each kind of event, how often, and when; and what was watched.

    Exit codes: 0 something was noted, 3 nothing was noted, 4 that time was not watched.
    """
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        asked_at = now_at()
        bounds = parse_bounds(since, until, now_at=asked_at)
        found = summaries(stores, stream or (), bounds, level=level, now_at=asked_at)
        if as_json:
            print_json([one.model_dump(mode="json") for one in found])
        else:
            for one in found:
                for line in summary_lines(one):
                    tools.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not any(one.coverage.watched_ns for one in found):
        raise typer.Exit(EXIT_NOT_WATCHED)
    if not any(one.events for one in found):
        raise typer.Exit(EXIT_NOT_FOUND)
