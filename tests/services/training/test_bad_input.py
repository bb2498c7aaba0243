"""What learning cannot use is refused in words, and what was there stays."""

from pathlib import Path

from services.settings import Settings
from services.wiring import opened
from streaming.messages import NS_PER_S, Span
from tests.services.test_cli import as_json, run
from tests.services.training.test_train import kind_of


def test_a_label_needs_a_moment_that_exists(settings: Settings) -> None:
    late = run(settings, "label", "cam", "1:00:00", "a light", "--json")
    assert (late.exit_code, kind_of(late)) == (2, "RangeInFuture")
    with opened(settings) as stores:
        gone = Span(stream_id="cam", start_ns=0, end_ns=20 * NS_PER_S)
        stores.record.delete_span(gone)
    unseen = run(settings, "label", "cam", "0:05", "a light", "--to", "0:08", "--json")
    assert (unseen.exit_code, kind_of(unseen)) == (3, "NothingStored")
    assert as_json(run(settings, "labels", "--json")) == []


def test_a_set_of_another_time_is_no_set(settings: Settings, tmp_path: Path) -> None:
    folder = str(tmp_path / "set")
    result = run(settings, "dataset", "build", folder, "--since", "1:00:00", "--json")
    assert kind_of(result) == "RangeInFuture"
