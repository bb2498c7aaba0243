"""The command `topics`."""

from typing import Annotated

import typer

from services.console import Json, print_json, reported, tools_of
from services.showing import topics_table
from services.topics import grow_topics, prepare_topics


def register(app: typer.Typer) -> None:
    app.command()(topics)


def topics(
    context: typer.Context,
    grow: Annotated[
        bool,
        typer.Option(
            "--grow",
            help="Give them as many partitions as LONGWATCH_KAFKA_PARTITIONS says. All services "
            "have to be stopped, and whatever else publishes.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the topics between services, and how far each group has read them.

    With LONGWATCH_KAFKA, first make those that are not there, and set anew what differs from how
    they should be. Doing so again changes nothing.
    """
    tools = tools_of(context)
    with reported(tools, as_json=as_json):
        if grow:
            grow_topics(tools.settings)
        states = prepare_topics(tools.settings)
        if as_json:
            print_json([state.as_json() for state in states])
        else:
            tools.out.print(topics_table(states))
