"""The documentation says what there is: every setting, command, option and exit code."""

import re
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
from typer.models import OptionInfo

from services import console
from services.cli import app
from services.settings import Settings
from streaming.progress import StreamState

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
COMMANDS = {
    command.callback.__name__.replace("_", "-"): command.callback
    for command in app.registered_commands
    if command.callback is not None
}
for group in app.registered_groups:
    for command in group.typer_instance.registered_commands if group.typer_instance else ():
        if command.callback is not None:
            name = command.name or command.callback.__name__
            COMMANDS[f"{group.name} {name}"] = command.callback
EXIT_CODES = {
    name: code for name, code in vars(console).items() if re.fullmatch(r"EXIT_[A-Z_]+", name)
}
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def options_of(command: str) -> set[str]:
    """The options of a command that are its own: `--json` is described once for all."""
    names: set[str] = set()
    for name, hint in get_type_hints(COMMANDS[command], include_extras=True).items():
        if get_origin(hint) is Annotated:
            for info in get_args(hint)[1:]:
                if isinstance(info, OptionInfo):
                    given = (info.default, *(info.param_decls or ()))
                    parts = [p for text in given if isinstance(text, str) for p in text.split("/")]
                    names.update(parts or [f"--{name.replace('_', '-')}"])
    return {name for name in names if name.startswith("--")} - {"--json"}


def is_row_of(line: str, command: str) -> bool:
    return re.match(rf"\| `longwatch {command}[ `]", line) is not None


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented(field: str) -> None:
    assert f"`LONGWATCH_{field.upper()}`" in CONFIGURATION


def test_no_setting_is_documented_that_does_not_exist() -> None:
    named = set(re.findall(r"`LONGWATCH_([A-Z_]+)`", CONFIGURATION))

    assert named == {field.upper() for field in Settings.model_fields}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command: str) -> None:
    rows = [line for line in OPERATIONS.splitlines() if is_row_of(line, command)]

    assert len(rows) == 1
    assert options_of(command) <= set(re.findall(r"--[a-z-]+", rows[0]))


def test_every_exit_code_is_documented() -> None:
    codes = {code for code in EXIT_CODES.values() if isinstance(code, int)}

    assert codes >= {1, 2, 3, 4, 5}
    for code in codes:
        assert re.search(rf"^\| {code} \|", OPERATIONS, re.MULTILINE)


@pytest.mark.parametrize("state", StreamState)
def test_every_state_of_a_stream_is_documented(state: StreamState) -> None:
    assert re.search(rf"^\| {state.value} \|", OPERATIONS, re.MULTILINE)


@pytest.mark.parametrize("page", [README, *sorted((ROOT / "docs").rglob("*.md"))], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 200
