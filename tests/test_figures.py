"""Every figure of the README is one that a committed result gives."""

from pathlib import Path

from benchmarks.report import BEGIN, END, table

README = Path(__file__).parent.parent / "README.md"


def test_the_readme_shows_what_the_results_give():
    _, _, rest = README.read_text().partition(BEGIN)
    shown, _, _ = rest.partition(END)

    assert shown.strip() == table().strip()
