"""The command `rule`, with what one does to rules."""

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.alerts.book import ends_of
from services.alerts.conditions import duration_ns
from services.alerts.page import page_of
from services.alerts.rules import (
    COOLDOWN_NS,
    THRESHOLD,
    Rule,
    name_of,
    refuse_unsigned,
    rule_json,
    rule_of,
)
from services.cli_alerts import alert_line
from services.console import Json, Tools, print_json, reported, tools_of
from services.errors import NoSuchRule, NothingStored, OutputUnusable
from services.locks import Service, is_running
from services.logs import log_to
from services.moments import show_ns
from services.requests import (
    BackTested,
    BackTestRequest,
    OnText,
    back_tested,
    model_named,
    refuse_early,
)
from services.resident import ask_service
from services.thumbnails import middle_of
from services.wiring import now_at, opened, rules_of, sealed_sinks
from streaming.errors import FootageMissing, MediaError
from streaming.messages import NS_PER_S, Alert

MOST_SHOWN = 500  # on a page, which has some 5 MB then

Name = Annotated[str, typer.Argument(help="Name of the rule.")]
Streams = Annotated[
    list[str] | None, typer.Option("--stream", help="Only this stream; may be given repeatedly.")
]
For = Annotated[
    str | None, typer.Option("--for", metavar="TIME", help="How long it has to last: 30s, 10m.")
]
Cooldown = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="How long a stream stays quiet after an alert: 5m. [1m]"),
]
Threshold = Annotated[
    float, typer.Option(min=0.01, max=0.99, help="How likely it has to be to count as shown.")
]
When = Annotated[
    str | None,
    typer.Option("--schedule", help="When it counts, by the local clock: mon-fri 08:00-18:00."),
]

rule = typer.Typer(no_args_is_help=True, help="Rules: what shall raise an alert.")


def register(app: typer.Typer) -> None:
    app.add_typer(rule, name="rule")


@rule.command()
def add(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    sentence: Annotated[str, typer.Argument(help="What shall raise an alert.")],
    name: Annotated[str | None, typer.Option(help="Default: its first words.")] = None,
    stream: Streams = None,
    lasting: For = None,
    cooldown: Cooldown = None,
    threshold: Threshold = THRESHOLD,
    schedule: When = None,
    dedupe_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Alerts of rules and streams with the same key are one while any goes on.",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="Who is told: log, kafka (the topic alerts), webhook:URL or mqtt:URL; may be "
            "given repeatedly. Default: log and kafka."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a rule. It counts from now on, for footage that is yet to be remembered.

    A sentence is one claim about what is seen, or one of these; quotes keep a claim whole:

    A then B within 30s · absent A for 10m · more than 3 A within 1h · A while B
    """
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings, make=True) as stores:
        book = rules_of(stores)
        added = rule_of(
            name=name or name_of(sentence, [known.name for known in book.rules()]),
            sentence=sentence,
            streams=tuple(stores.registry.stream(one).stream_id for one in stream or ()),
            for_ns=duration_ns(lasting) if lasting else 0,
            cooldown_ns=COOLDOWN_NS if cooldown is None else duration_ns(cooldown),
            threshold=threshold,
            schedule=schedule,
            dedupe_key=dedupe_key,
            to=tuple(to or ("log", "kafka")),
            added_at=now_at(),
            from_ns=ends_of(stores.record),
        )
        refuse_unsigned(added, is_signed=tools.settings.webhook_secret is not None)
        book.add(sealed_sinks(stores).seal(added))
        served = is_running(tools.settings, Service.ALERTS)
        if as_json:
            print_json({**rule_json(added), "is_served": served})
            return
        say(tools, f"added {added.name}: {added.sentence}")
        if not served:
            say(tools, "it counts while this runs: longwatch up")


@rule.command("list")
def list_rules(context: typer.Context, as_json: Json = False) -> None:
    """Show all rules."""
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        rules = rules_of(stores).rules()
        if as_json:
            print_json([rule_json(one) for one in rules])
        elif rules:
            tools.out.print(rules_table(rules))
        else:
            say(tools, 'no rule yet; add one with: longwatch rule add "SENTENCE"')


@rule.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a rule, and how far it has come on each stream."""
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        book = rules_of(stores)
        shown = book.rule(name)
        watches = book.watches(shown)
        said = rule_json(shown)
        said["watches"] = {
            stream_id: {
                "looked_ns": watch.next_ns,
                "alert_id": watch.alert and watch.alert.alert_id,
            }
            for stream_id, watch in watches.items()
        }
        if as_json:
            print_json(said)
            return
        for what, value in said.items():
            if what != "watches":
                say(tools, f"{what:12} {value}")
        for stream_id, watch in watches.items():
            state = f", alert {watch.alert.alert_id}" if watch.alert else ""
            say(tools, f"{'looked':12} {stream_id} up to {show_ns(watch.next_ns)}{state}")


@rule.command()
def rm(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Remove a rule. An alert of it that goes on ends; what it raised stays in the list."""
    changed(context, name, "removed", as_json=as_json)


@rule.command()
def pause(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Let a rule rest. An alert of it that goes on ends."""
    changed(context, name, "paused", as_json=as_json)


@rule.command()
def resume(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Let a rule count again, from now on."""
    changed(context, name, "resumed", as_json=as_json)


@rule.command()
def test(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="NAME_OR_SENTENCE", help="A rule, or a new one.")],
    stream: Streams = None,
    since: Annotated[str | None, typer.Option(help="From when on, as with ask.")] = None,
    until: Annotated[str | None, typer.Option(help="Until when.")] = None,
    lasting: For = None,
    cooldown: Cooldown = None,
    threshold: Threshold = THRESHOLD,
    schedule: When = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page with a picture of each alert."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a rule would have raised from what is remembered, how often, and at what cost.

    The options of `rule add` hold for a sentence; a rule has its own. Nobody is told of anything.
    """
    tools = tools_of(context)
    log_to(tools.err, level=logging.ERROR)
    with reported(tools, as_json=as_json):
        with opened(tools.settings) as stores:
            try:
                tried = rules_of(stores).rule(what)
            except NoSuchRule:
                tried = rule_of(
                    name="test",
                    sentence=what,
                    for_ns=duration_ns(lasting) if lasting else 0,
                    cooldown_ns=COOLDOWN_NS if cooldown is None else duration_ns(cooldown),
                    threshold=threshold,
                    schedule=schedule,
                    added_at=now_at(),
                )
        request = BackTestRequest(
            text=tried.sentence,
            streams=tuple(stream or tried.streams),
            since=since,
            until=until,
            asked_at=now_at(),
            model=model_named(tools.settings),
            rule=tried,
        )
        with tools.err.status("looking at what is remembered") as status:
            result = back_test_of(tools, request, on_text=status.update)
        often = (
            f"{len(result.alerts)} alerts in {show_ns(round(result.watched_s * NS_PER_S))} watched,"
            f" {result.alerts_a_day:.1f} a day and stream"
        )
        if page is not None:
            write_page(tools, page, request.text, often, result)
    if as_json:
        print_json(result.model_dump(mode="json", exclude={"kind"}))
        return
    for alert in result.alerts:
        say(tools, alert_line(alert))
    say(tools, often)
    say(
        tools,
        f"{result.clips} clips: {result.passed_over} claims passed over, {result.judgements} "
        f"judgements, {result.unreadable} unreadable, {result.seconds:.1f} s",
    )


def back_test_of(tools: Tools, request: BackTestRequest, *, on_text: OnText) -> BackTested:
    """By the service that runs on the data directory; where none does, by this process."""
    refuse_early(request)
    result = ask_service(tools.settings, request, on_text=on_text)
    if result is None:
        with opened(tools.settings) as stores:
            engine = tools.load_engine(tools.settings)
            return back_tested(request, stores, engine, on_text=on_text)
    assert isinstance(result, BackTested)
    return result


def write_page(tools: Tools, path: Path, sentence: str, summary: str, result: BackTested) -> None:
    """Write the first alerts of a back-test as a page, and say how many are left out."""
    shown = result.alerts[:MOST_SHOWN]
    if len(shown) < len(result.alerts):
        summary += f"; the first {len(shown)} are shown"
    with opened(tools.settings) as stores:

        def picture(alert: Alert) -> bytes | None:
            try:
                return middle_of(alert.span, stores.record, stores.footage)
            except (NothingStored, FootageMissing, MediaError):
                return None

        text = page_of(sentence, summary, shown, picture)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputUnusable(path, reason=error.strerror or str(error)) from error


def changed(context: typer.Context, name: str, how: str, *, as_json: bool) -> None:
    tools = tools_of(context)
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        book = rules_of(stores)
        match how:
            case "removed":
                after = book.remove(name)
            case "paused":
                after = book.pause(name)
            case _:
                after = book.resume(name, ends_of(stores.record))
        if as_json:
            print_json(rule_json(after))
        else:
            say(tools, f"{how} {after.name}")


def rules_table(rules: list[Rule]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("rule", "state", "streams", "tells", "sentence"):
        table.add_column(column)
    for one in rules:
        table.add_row(
            Text(one.name),
            "paused" if one.is_paused else "counts",
            Text(", ".join(one.streams) or "all"),
            Text(", ".join(sink.shown for sink in one.sinks)),
            Text(one.sentence),
        )
    return table


def say(tools: Tools, line: str) -> None:
    tools.out.print(line, markup=False, highlight=False, soft_wrap=True)
