"""The command `alerts`: what rules raised, and what people say of that."""

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from memory.feedback import Feedback, Mark
from services.console import Json, Tools, print_json, reported, stopped_by_signals, tools_of
from services.marking import Is, Note, keep_mark, mark_json, said_of
from services.moments import show_ns
from services.wiring import Stores, opened, rules_of
from streaming.messages import Alert

FOLLOW_EVERY_S = 0.5

Streams = Annotated[
    list[str] | None, typer.Option("--stream", help="Only this stream; may be given repeatedly.")
]

alerts = typer.Typer(invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.add_typer(alerts, name="alerts")


@alerts.callback()
def list_alerts(
    context: typer.Context,
    name: Annotated[str | None, typer.Option("--rule", help="Only those of this rule.")] = None,
    stream: Streams = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest.")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on showing what happens, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show alerts, the latest last: when they began and ended, how likely they are, their marks."""
    if context.invoked_subcommand is not None:
        return
    tools, stop = tools_of(context), threading.Event()
    with (
        reported(tools, as_json=as_json),
        opened(tools.settings) as stores,
        stopped_by_signals(stop),
    ):
        book, feedback = rules_of(stores), Feedback(stores.record.documents)

        def wanted(alerts: Iterable[Alert]) -> Iterator[Alert]:
            for alert in alerts:
                is_of_stream = alert.span.stream_id in (stream or [alert.span.stream_id])
                if is_of_stream and name in (None, alert.rule):
                    yield alert

        read = book.last_told()
        latest = list(islice(wanted(book.backwards()), limit))
        shown = [(alert, feedback.mark_of(alert)) for alert in reversed(latest)]
        if as_json and not follow:
            print_json([alert_json(alert, mark) for alert, mark in shown])
            return
        for alert, mark in shown:
            say_alert(tools, alert, mark, as_json=as_json)
        while follow and not stop.wait(FOLLOW_EVERY_S):
            news = book.told(after=read)
            read = max([read, *news])
            for alert in wanted(news.values()):
                say_alert(tools, alert, feedback.mark_of(alert), as_json=as_json)


@alerts.command("mark")
def mark_alert(
    context: typer.Context,
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="As `longwatch alerts` shows it.")],
    truth: Is,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Say whether an alert is true. That is kept, with the alert, to learn from."""

    def find(stores: Stores) -> Alert:
        return rules_of(stores).alert(alert_id)

    keep_mark(tools_of(context), find, truth, note, as_json=as_json)


def alert_line(alert: Alert) -> str:
    times = f"{show_ns(alert.span.start_ns)}–{show_ns(alert.span.end_ns)}"
    at = alert.start_at.astimezone().isoformat(sep=" ", timespec="seconds")
    where = f"{alert.span.stream_id} {times}"
    return f"{at}  {alert.state:6}  {where}  {alert.probability:.2f}  {alert.alert_id}"


def alert_json(alert: Alert, mark: Mark | None) -> dict[str, Any]:
    return {**alert.model_dump(mode="json"), "mark": mark_json(mark)}


def say_alert(tools: Tools, alert: Alert, mark: Mark | None, *, as_json: bool) -> None:
    if as_json:
        print_json(alert_json(alert, mark))
    else:
        line = f"{alert_line(alert)}{said_of(mark)}"
        tools.out.print(line, markup=False, highlight=False, soft_wrap=True)
