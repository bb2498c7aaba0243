"""The commands that ask what is remembered: `ask` and `search`."""

import logging
from typing import Annotated

import typer

from services.answer import Answerer, Question, checked
from services.console import (
    EXIT_NOT_FOUND,
    EXIT_OF_VERDICT,
    Json,
    log_to,
    print_json,
    reported,
    tools_of,
)
from services.coverage import asked_of
from services.looking import Looker
from services.moments import parse_bounds, show_ns
from services.showing import evidence_lines
from services.wiring import Stores, WatchingEngine, now_at, open_index, opened

Since = Annotated[
    str | None,
    typer.Option(help="From when on: 0:10:00 (into the footage), 2h (ago), 2025-03-01T14:00."),
]
Until = Annotated[str | None, typer.Option(help="Until when; written like --since.")]
Only = Annotated[
    list[str] | None, typer.Option("--stream", help="Only this stream; may be given repeatedly.")
]


def register(app: typer.Typer) -> None:
    app.command()(ask)
    app.command()(search)


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="In plain language; times may stand in it.")],
    stream: Only = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Answer a question, with the moments that show it and what part of the time was watched.

    Exit codes: 0 answered, 3 not found or not visible, 4 that time was not watched.
    """
    tools = tools_of(context)
    log_to(tools.err, level=logging.ERROR)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        bounds = parse_bounds(since, until, now_at=now_at())
        answerer = answerer_of(stores, tools.load_engine(tools.settings))
        answer = answerer.ask(
            Question(question, tuple(stream or ()), bounds),
            on_text=(lambda piece: None) if as_json else lambda piece: typer.echo(piece, nl=False),
        )
        if as_json:
            typer.echo(answer.model_dump_json())
        else:
            typer.echo()
            for line in evidence_lines(answer):
                tools.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if code := EXIT_OF_VERDICT[answer.verdict]:
        raise typer.Exit(code)


def search(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What to look for, in a few words.")],
    stream: Only = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="How many clips to show.")] = 10,
    as_json: Json = False,
) -> None:
    """Find the clips that resemble a text most, by their words and their pictures.

    Exit codes: 0 found some, 3 nothing is remembered of that time.
    """
    tools = tools_of(context)
    log_to(tools.err, level=logging.ERROR)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        now = now_at()
        bounds = parse_bounds(since, until, now_at=now)
        specs = [stores.registry.stream(name) for name in stream or stores.registry.names()]
        asked = asked_of(stores.record, specs, bounds, now_at=now)
        within = [one.span for one in asked if one.span is not None]
        looker = looker_of(stores, tools.load_engine(tools.settings))
        hits = looker.similar(checked(text), within, limit=limit)
        found = [note for hit in hits if (note := stores.record.clip(hit.clip_id)) is not None]
        if as_json:
            print_json([note.model_dump(mode="json") for note in found])
        else:
            for note in found:
                times = f"{show_ns(note.span.start_ns)}–{show_ns(note.span.end_ns)}"
                line = f"{note.span.stream_id} {times}  {note.text}"
                tools.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not found:
        raise typer.Exit(EXIT_NOT_FOUND)


def looker_of(stores: Stores, engine: WatchingEngine) -> Looker:
    return Looker(
        engine=engine,
        record=stores.record,
        tokens=stores.tokens,
        index=open_index(stores, engine).index,
    )


def answerer_of(stores: Stores, engine: WatchingEngine) -> Answerer:
    return Answerer(
        engine=engine,
        record=stores.record,
        registry=stores.registry,
        looker=looker_of(stores, engine),
        now_at=now_at,
    )
