"""The commands that gather what is learnt from: `label`, `labels` and `dataset build`."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.training.teaching import Teacher

from memory.labels import Label, LabelBook
from models.layout import StreamLayout
from services.cli_questions import Only, Since, Until
from services.cli_training import progress
from services.console import EXIT_NOT_FOUND, Json, Tools, print_json, reported, tools_of
from services.coverage import asked_of
from services.errors import NothingStored, SettingsError
from services.logs import log_to
from services.moments import parse_bounds, show_ns
from services.training.labelling import GivenLabel, label_of, read_given
from services.wiring import Stores, now_at, opened
from streaming.messages import Span

HOLD_OUT = 0.2

dataset = typer.Typer(no_args_is_help=True, help="Data sets: what the model learns from.")


def register(app: typer.Typer) -> None:
    app.command()(label)
    app.command()(labels)
    app.add_typer(dataset, name="dataset")


def label(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    where: Annotated[
        str | None, typer.Argument(metavar="CLIP|STREAM", help="A clip's id, or a stream.")
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TIME] TEXT", help="When, in a stream, and what happens."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="When it ends.")] = None,
    nothing: Annotated[bool, typer.Option(help="Nothing happens there; TEXT is left out.")] = False,
    question: Annotated[str, typer.Option(help="A question, to which TEXT is the answer.")] = "",
    source: Annotated[
        Path | None, typer.Option("--from", help="A file with a label in JSON on each line.")
    ] = None,
    remove: Annotated[bool, typer.Option(help="Take such a label back.")] = False,
    as_json: Json = False,
) -> None:
    """Say what is true of a clip, or of a time of a stream, to learn from.

    A clip that has a label shows what its labels say, and nothing else.
    """
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        if source is not None:
            if where is not None or end or nothing or question:
                raise SettingsError("with --from, the file alone says where, when and what")
            given = read_given(source)
        else:
            given = [given_label(where, words or [], end=end, nothing=nothing, question=question)]
        read = [label_of(stores, one, now_at=now_at()) for one in given]
        book = LabelBook(stores.record.documents)
        if remove:
            count = sum(book.remove(one) for one in read)
        else:
            book.put(read)
            count = len({(one.span.stream_id, one.label_id) for one in read})
        if as_json:
            print_json({"removed" if remove else "labelled": count})
        else:
            done = "taken back" if remove else "kept"
            tools.out.print(f"{count} {'label' if count == 1 else 'labels'} {done}")


def given_label(
    where: str | None, words: list[str], *, end: str | None, nothing: bool, question: str
) -> GivenLabel:
    """What the command line says.

    Raises:
        SettingsError
    """
    is_clip = where is not None and ":" in where
    times, texts = (0 if is_clip else 1), (0 if nothing else 1)
    if where is None or len(words) != times + texts:
        raise SettingsError("say CLIP TEXT, or STREAM TIME TEXT, or give a file with --from")
    text = "" if nothing else words[-1]
    if not nothing and not text.strip():
        raise SettingsError("the text is empty; say what happens, or --nothing")
    if is_clip:
        return GivenLabel(clip=where, text=text, question=question)
    return GivenLabel(stream=where, start=words[0], end=end, text=text, question=question)


def labels(context: typer.Context, stream: Only = None, as_json: Json = False) -> None:
    """Show what people said of footage."""
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        book = LabelBook(stores.record.documents)
        found = [one for name in stream or stores.registry.names() for one in book.of(name)]
        if as_json:
            print_json([{"id": one.label_id, **one.model_dump(mode="json")} for one in found])
        for one in () if as_json else found:
            tools.out.print(label_line(one), markup=False, highlight=False, soft_wrap=True)


def label_line(one: Label) -> str:
    times = f"{show_ns(one.span.start_ns)}–{show_ns(one.span.end_ns)}"
    asked = f"{one.question} " if one.question else ""
    return f"{one.span.stream_id} {times}  {asked}{one.text or 'nothing'}"


@dataset.command()
def build(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="Folder to write; a set that is there is replaced.")],
    stream: Only = None,
    since: Since = None,
    until: Until = None,
    given: Annotated[
        Path | None, typer.Option("--labels", help="First keep these, as label --from does.")
    ] = None,
    hold_out: Annotated[
        float, typer.Option(min=0.05, max=0.5, help="Share of the time that is measured on.")
    ] = HOLD_OUT,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Have a model behind this URL write notes and questions."),
    ] = None,
    teacher_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="What that server calls the model.")
    ] = None,
    people_only: Annotated[
        bool, typer.Option("--people-only", help="Only of clips that people labelled.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a data set of what is remembered: notes, claims and questions, and people's labels.

    A teacher is any vision-language model behind an API that is compatible with OpenAI's, such as
    https://HOST/v1; it is shown LONGWATCH_TEACHER_KEY, and the pictures of all clips.

    Exit codes: 0 made, 3 nothing of that time is remembered.
    """
    from services.training.building import Wanted, make_set

    tools = tools_of(context)
    log_to(tools.err, level=logging.ERROR)
    with (
        reported(tools, as_json=as_json),
        opened(tools.settings) as stores,
        ExitStack() as stack,
    ):
        if people_only and teacher is not None:
            raise SettingsError("--people-only leaves nothing to a --teacher; give one of them")
        if given is not None:
            keep_given(tools, stores, given)
        spans = spans_of(stores, stream, since, until)
        engine = tools.load_engine(tools.settings)
        asked = teacher_of(stores, engine.layout, teacher, teacher_model, stack)
        show = stack.enter_context(progress(tools, "the teacher writes")) if asked else None
        card = make_set(
            stores,
            out,
            Wanted(
                *(spans, hold_out, engine.layout, engine.model_id, now_at()),
                teacher=asked,
                people_only=people_only,
            ),
            on_progress=show or (lambda share: None),
        )
        if as_json:
            print_json(card.model_dump(mode="json"))
        else:
            train, held_out = (card.counts[name]["examples"] for name in ("train", "held-out"))
            tools.out.print(f"{train} examples to learn from, {held_out} held out: {out}/card.md")
    if not any(counted["examples"] for counted in card.counts.values()):
        raise typer.Exit(EXIT_NOT_FOUND)


def keep_given(tools: Tools, stores: Stores, path: Path) -> None:
    """Keep the labels of a file, but for those of footage that went since.

    Raises:
        TimeError, NoSuchStream, StoreError
    """
    kept: list[Label] = []
    gone = 0
    for one in read_given(path):
        try:
            kept.append(label_of(stores, one, now_at=now_at()))
        except NothingStored:
            gone += 1
    LabelBook(stores.record.documents).put(kept)
    if gone:
        tools.err.print(f"{gone} labels are of footage that is not stored any more")


def teacher_of(
    stores: Stores, layout: StreamLayout, url: str | None, name: str | None, stack: ExitStack
) -> "Teacher | None":
    """The teacher that is named, if one is.

    Raises:
        SettingsError
    """
    if url is None and name is None:
        return None
    if url is None or name is None or not url.startswith(("http://", "https://")):
        raise SettingsError("give both --teacher https://HOST/v1 and --teacher-model NAME")
    from services.training.teaching import teacher_at

    key = stores.settings.teacher_key
    return stack.enter_context(
        teacher_at(url, name, key.get_secret_value() if key else None, stores, layout)
    )


def spans_of(
    stores: Stores, names: list[str] | None, since: str | None, until: str | None
) -> list[Span]:
    """What is asked for of each stream."""
    specs = [stores.registry.stream(name) for name in names or stores.registry.names()]
    bounds = parse_bounds(since, until, now_at=now_at())
    asked = asked_of(stores.record, specs, bounds, now_at=now_at())
    return [one.span for one in asked if one.span is not None]
