"""The shape of the repository: what files look like, and what they may know.

Which folder may import which is checked by import-linter (`make check`).
"""

import ast
import importlib
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from models.nano.world import ACTIONS, COLOURS, KINDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("streaming", "memory", "models", "services")
PRODUCT = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = [*PRODUCT, *sorted((ROOT / "tests").rglob("*.py")), *(ROOT / "benchmarks").glob("*.py")]
NANO = ROOT / "models" / "nano"
PROMPTS = sorted((ROOT / "models" / "prompt_templates").glob("*.txt"))
MAX_LINES = 400

THINGS = (*KINDS, *COLOURS, "gate", "lamp", "yard")
PEOPLE = ("person",)  # prose may speak of whoever uses Longwatch


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Whole words, plural or not; an underscore parts words as a space does, but in `gate_proj`."""
    return re.compile(rf"(?<![a-z])({'|'.join(words)})s?(?!_proj|[a-z])", re.IGNORECASE)


IN_PROMPTS = any_of((*THINGS, *ACTIONS))
IN_CODE = any_of((*THINGS, *(action for action in ACTIONS if " " in action)))
IN_PROSE = any_of(word for word in THINGS if word not in PEOPLE)
VERBS = any_of(action for action in ACTIONS if " " not in action)
MACHINE_PATHS = re.compile(r"/(?:home|root|work|tmp|Users)/\w")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(path: Path) -> str:
    """A module without its docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            body: list[ast.stmt] | None = getattr(node, field, None)
            if isinstance(body, list):
                setattr(node, field, [ast.Pass() if is_prose(line) else line for line in body])
    return ast.unparse(tree)


def lists_verbs(path: Path) -> list[str]:
    """Text constants that are a verb of the world, or hold several: clocks, too, may jump once."""
    texts = [
        node.value
        for node in ast.walk(ast.parse(code_of(path)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [text for text in texts if VERBS.fullmatch(text) or len({*VERBS.findall(text)}) > 1]


def is_prose(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


@pytest.mark.parametrize("package", PACKAGES)
def test_plain_package_names_mean_ours(package: str) -> None:
    module = importlib.import_module(package)

    assert module.__file__ == str(ROOT / package / "__init__.py")


@pytest.mark.parametrize("path", PRODUCT, ids=named)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("package", PACKAGES)
def test_an_init_holds_one_docstring(package: str) -> None:
    for path in (ROOT / package).rglob("__init__.py"):
        assert len(ast.parse(path.read_text()).body) == 1, path


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_file_knows_the_machine_it_was_written_on(path: Path) -> None:
    if path != Path(__file__):
        assert not MACHINE_PATHS.findall(path.read_text())


@pytest.mark.parametrize("path", [p for p in PRODUCT if NANO not in p.parents], ids=named)
def test_only_nano_knows_its_world(path: Path) -> None:
    assert IN_CODE.findall(code_of(path)) == []
    assert lists_verbs(path) == []
    assert IN_PROSE.findall(path.read_text()) == []


def test_prompts_speak_of_no_world() -> None:
    assert PROMPTS
    for path in PROMPTS:
        assert IN_PROMPTS.findall(path.read_text()) == [], path
