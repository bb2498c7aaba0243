"""The commands that say who may use the API: `longwatch key add`, `list` and `rm`."""

import secrets
from typing import Annotated

import typer
from rich.table import Table

from services.api.keys import Grant, KeyRing, Role
from services.console import Json, print_json, reported, tools_of
from services.wiring import now_at, opened

Name = Annotated[str, typer.Argument(help="Name of the key: a-z, 0-9, - and _.")]

keys = typer.Typer(no_args_is_help=True, help="Say who may use the API.")


def register(app: typer.Typer) -> None:
    app.add_typer(keys, name="key")


@keys.command()
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[
        Role,
        typer.Option(
            help="viewer asks, searches and plays; operator adds streams, too; admin forgets them, "
            "too."
        ),
    ] = Role.VIEWER,
    stream: Annotated[
        list[str] | None,
        typer.Option("--stream", help="Only this stream; may be given repeatedly. Default: all."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key, and show it: this once, since only its hash is kept."""
    tools = tools_of(context)
    with reported(tools, as_json=as_json):
        if stream:
            with opened(tools.settings, make=True) as stores:
                for one in stream:
                    stores.registry.stream(one)
        key = KeyRing(tools.settings.keys_path).add(
            name,
            role,
            streams=tuple(stream) if stream else None,
            added_at=now_at(),
            draw=secrets.token_bytes,
        )
        if as_json:
            print_json({"name": name, "key": key})
        else:
            typer.echo(key)


@keys.command(name="list")
def list_keys(context: typer.Context, as_json: Json = False) -> None:
    """Show which keys there are, and what they may do; never the keys themselves."""
    tools = tools_of(context)
    with reported(tools, as_json=as_json):
        grants = KeyRing(tools.settings.keys_path).grants()
        if as_json:
            print_json([one.model_dump(mode="json", exclude={"sha256"}) for one in grants])
        elif grants:
            tools.out.print(table_of(grants))
        else:
            tools.out.print("no key yet; make one with: longwatch key add NAME")


@keys.command()
def rm(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Take a key back. A running API notices at the next request."""
    tools = tools_of(context)
    with reported(tools, as_json=as_json):
        KeyRing(tools.settings.keys_path).remove(name)
        if as_json:
            print_json({"name": name})
        else:
            tools.out.print(f"taken back: {name}", markup=False, highlight=False)


def table_of(grants: list[Grant]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.show_header, table.header_style = True, "bold"
    for column in ("key", "role", "streams", "made"):
        table.add_column(column, overflow="fold")
    for one in grants:
        streams = "all" if one.streams is None else ", ".join(one.streams)
        table.add_row(one.name, one.role, streams, one.added_at.isoformat(" ", "seconds"))
    return table
