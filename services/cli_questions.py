"""The commands that ask what is remembered: `ask` and `search`."""

import logging
from typing import Annotated

import typer

from services.console import (
    EXIT_NOT_FOUND,
    EXIT_OF_VERDICT,
    Json,
    Tools,
    print_json,
    reported,
    tools_of,
)
from services.logs import log_to
from services.moments import show_ns
from services.requests import (
    Answered,
    AskRequest,
    FoundClips,
    OnText,
    Request,
    Result,
    SearchRequest,
    model_named,
    refuse_early,
    respond,
)
from services.resident import ask_service
from services.showing import evidence_lines
from services.wiring import now_at, open_index, opened

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
    with reported(tools, as_json=as_json):
        request = AskRequest(
            text=question,
            streams=tuple(stream or ()),
            since=since,
            until=until,
            asked_at=now_at(),
            model=model_named(tools.settings),
        )
        answered = result_of(
            tools,
            request,
            on_text=(lambda piece: None) if as_json else lambda piece: typer.echo(piece, nl=False),
        )
        assert isinstance(answered, Answered)
        answer = answered.answer
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
    with reported(tools, as_json=as_json):
        request = SearchRequest(
            text=text,
            streams=tuple(stream or ()),
            since=since,
            until=until,
            limit=limit,
            asked_at=now_at(),
            model=model_named(tools.settings),
        )
        found = result_of(tools, request)
        assert isinstance(found, FoundClips)
        if as_json:
            print_json([note.model_dump(mode="json") for note in found.clips])
        else:
            for note in found.clips:
                times = f"{show_ns(note.span.start_ns)}–{show_ns(note.span.end_ns)}"
                line = f"{note.span.stream_id} {times}  {note.text}"
                tools.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not found.clips:
        raise typer.Exit(EXIT_NOT_FOUND)


def result_of(tools: Tools, request: Request, *, on_text: OnText = lambda piece: None) -> Result:
    """By the service that runs on the data directory; where none does, by this process."""
    refuse_early(request)
    if (result := ask_service(tools.settings, request, on_text=on_text)) is not None:
        return result
    with opened(tools.settings) as stores:
        engine = tools.load_engine(tools.settings)
        index = open_index(stores, engine).index
        return respond(request, stores, engine, index, on_text=on_text)
