"""The command `answers`: what was answered, and what people say of that."""

from typing import Annotated

import typer

from memory.feedback import Feedback, KeptAnswer
from services.console import Json, print_json, reported, tools_of
from services.errors import NoSuchAnswer
from services.marking import Is, Note, keep_mark, mark_json, said_of
from services.wiring import Stores, opened

answers = typer.Typer(invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.add_typer(answers, name="answers")


@answers.callback()
def list_answers(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what was answered in the last thirty days, the latest last, and how it was marked."""
    if context.invoked_subcommand is not None:
        return
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        feedback = Feedback(stores.record.documents)
        kept = feedback.answers(last=limit)
        marks = [feedback.mark_of(one) for one in kept]
        if as_json:
            print_json(
                [
                    {**one.model_dump(mode="json"), "mark": mark_json(mark)}
                    for one, mark in zip(kept, marks, strict=True)
                ]
            )
            return
        for one, mark in zip(kept, marks, strict=True):
            said = f"{one.answer_id}  {one.answer.question}  {one.answer.text}{said_of(mark)}"
            tools.out.print(said, markup=False, highlight=False, soft_wrap=True)


@answers.command("mark")
def mark_answer(
    context: typer.Context,
    answer_id: Annotated[
        str, typer.Argument(metavar="ID", help="As `longwatch answers` shows it.")
    ],
    truth: Is,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Say whether an answer is right. That is kept, with the answer, to learn from."""

    def find(stores: Stores) -> KeptAnswer:
        return answer_of(stores, answer_id)

    keep_mark(tools_of(context), find, truth, note, as_json=as_json)


def answer_of(stores: Stores, answer_id: str) -> KeptAnswer:
    """An answer that is kept, or `NoSuchAnswer`."""
    kept = Feedback(stores.record.documents).answer(answer_id)
    if kept is None:
        raise NoSuchAnswer(answer_id)
    return kept
