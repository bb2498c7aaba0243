"""The command line: what it prints, its JSON, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from services.cli import app
from services.console import Tools
from services.locks import alone
from services.settings import Settings
from streaming.messages import Answer, Verdict
from tests.conftest import ROOT
from tests.models.faulty_server import faulty
from tests.services.scripted_engine import ScriptedEngine

WIDE = 300


def run(
    settings: Settings, *arguments: str, given: str | None = None, tools: Tools | None = None
) -> Result:
    """Run a command as a person without a terminal would."""
    return CliRunner().invoke(app, list(arguments), obj=tools or tools_for(settings), input=given)


def tools_for(settings: Settings) -> Tools:
    return Tools(
        load_engine=lambda settings: ScriptedEngine(),
        settings=settings,
        out=Console(width=WIDE),
        err=Console(width=WIDE, stderr=True),
    )


def as_json(result: Result) -> Any:
    """The last line: a service that runs says more before it."""
    return json.loads(result.stdout.splitlines()[-1])


def test_help_names_every_command_and_the_exit_codes(empty: Settings) -> None:
    result = run(empty, "--help")

    assert result.exit_code == 0
    for word in ("up", "add", "streams", "ask", "search", "export", "forget", "doctor", "demo"):
        assert f" {word} " in result.stdout
    assert "5 another service" in " ".join(result.stdout.split())


def test_a_stream_is_added_watched_and_asked_about(empty: Settings, light_film: Path) -> None:
    added = run(empty, "add", "cam", str(light_film))
    assert added.exit_code == 0, added.stderr
    assert "start watching with: longwatch up" in added.stdout

    watched = run(empty, "up", "--until-idle")
    assert watched.exit_code == 0, watched.stderr
    assert "cam ended (captured 0:00:45, remembered 0:00:45)" in watched.stdout

    answered = run(empty, "ask", "when: a bright light")
    assert answered.exit_code == 0, answered.stderr
    lines = answered.stdout.splitlines()
    assert lines[0] == "2 at 0:00:12.000–0:00:15.000, 0:00:34.000–0:00:36.000."
    assert lines[1].startswith("  [1] 0:00:12.000–0:00:15.000 (")
    assert lines[1].endswith("a bright light shines, seen again")
    assert lines[3] == "  watched: all of the 0:00:45 asked about"


def test_an_answer_as_json_is_the_wire_message(settings: Settings) -> None:
    result = run(settings, "ask", "count: a bright light", "--json")

    answer = Answer.model_validate_json(result.stdout)
    assert (answer.value, answer.verdict) == (2, Verdict.FOUND)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("ask", "when: bright light"), 0),
        (("ask", "when: green light"), 3),
        (("ask", "when: bright light", "--since", "0:00:37"), 3),
        (("ask", "when: light", "--since", "2001-01-01", "--until", "2001-01-02"), 4),
        (("ask", "when: light", "--since", "1:00:00"), 2),
        (("ask", "when: light", "--since", "0:20", "--until", "0:10"), 2),
        (("ask", "when: light", "--since", "soon"), 2),
        (("ask", ""), 2),
        (("ask", "why " * 25_000), 2),
        (("ask", "when: light", "--stream", "door"), 2),
        (("ask",), 2),
        (("search", "bright"), 0),
        (("search", ""), 2),
        (("search", "bright", "--since", "2001-01-01", "--until", "2001-01-02"), 3),
        (("streams",), 0),
        (("export", "cam", "0:50", "0:40", "x.mp4"), 2),
        (("export", "cam", "5:00", "6:00", "x.mp4"), 2),
        (("export", "door", "0:10", "0:20", "x.mp4"), 2),
        (("export", "cam", "0:10", "0:20", "x.txt"), 1),
        (("forget", "door", "--yes"), 2),
        (("forget", "cam", "0:30", "0:20", "--yes"), 2),
        (("add", "cam", "rtsp://camera.local/1"), 2),
        (("add", "Bad Name", "rtsp://camera.local/1"), 2),
        (("add", "door", "gopher://camera.local/1"), 1),
        (("add", "door", "none.mp4"), 1),
        (("nonsense",), 2),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else None,
)
def test_exit_codes(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(settings, *arguments)

    assert result.exit_code == code, result.output
    if code in (1, 2) and len(arguments) > 1:
        assert "error" in result.stderr.lower()
        assert "Traceback" not in result.output
        assert len(result.stderr) < 1000


def test_an_error_as_json_says_its_kind(settings: Settings) -> None:
    result = run(settings, "ask", "when: light", "--stream", "door", "--json")

    assert result.exit_code == 2
    assert as_json(result)["error"]["kind"] == "NoSuchStream"
    assert result.stderr == ""


def test_streams_shows_how_well_each_is_watched(settings: Settings) -> None:
    shown = run(settings, "streams").stdout
    (row,) = as_json(run(settings, "streams", "--json"))

    assert "0:00:45" in shown
    assert row["name"] == "cam"
    assert row["state"] == "ended"
    assert row["clips"] == 5
    assert row["remembered_ns"] == row["captured_ns"] == 45_000_000_000


def test_without_a_service_a_stream_is_paused(empty: Settings) -> None:
    run(empty, "add", "door", "rtsp://watcher:s3cret@camera.local/1")
    result = run(empty, "streams")

    assert "paused: no service runs" in result.stdout
    assert "s3cret" not in result.stdout
    assert "camera.local" in result.stdout


def test_nothing_remembered_yet_says_how_to_begin(empty: Settings) -> None:
    result = run(empty, "ask", "when: light")

    assert result.exit_code == 3
    assert "longwatch add NAME URL" in result.stderr
    assert not empty.data.exists()


def test_search_lists_clips_best_first(settings: Settings) -> None:
    found = as_json(run(settings, "search", "dim light", "--limit", "2", "--json"))

    assert len(found) == 2
    assert all("dim" in clip["text"] for clip in found)


def test_export_writes_a_playable_file_and_says_where_it_begins(
    settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "cut.mp4"
    result = run(settings, "export", "cam", "0:13.5", "0:15", str(out), "--json")

    assert result.exit_code == 2
    result = run(settings, "export", "cam", "0:00:13.5", "0:15", str(out), "--json")
    assert result.exit_code == 0, result.output
    assert as_json(result)["span"]["start_ns"] == 13_000_000_000
    assert out.stat().st_size == as_json(result)["size_bytes"]


def test_forgetting_asks_first(settings: Settings) -> None:
    refused = run(settings, "forget", "cam", given="n\n")
    assert refused.exit_code == 1
    assert as_json(run(settings, "streams", "--json"))

    forgotten = run(settings, "forget", "cam", "0:11", "0:14", given="y\n")
    assert forgotten.exit_code == 0
    assert "1 clip with 2 events" in forgotten.stdout

    run(settings, "forget", "cam", "--yes")
    assert as_json(run(settings, "streams", "--json")) == []


def test_two_services_on_one_data_directory_are_one_too_many(settings: Settings) -> None:
    with alone(settings):
        result = run(settings, "up", "--until-idle")

    assert result.exit_code == 5
    assert "another longwatch runs on" in result.stderr


def test_doctor_says_what_is_missing(empty: Settings, tmp_path: Path) -> None:
    bare = empty.model_copy(update={"model": tmp_path / "no-model"})
    result = run(bare, "doctor", "--json")
    by_name = {check["name"]: check for check in as_json(result)}

    assert result.exit_code == 1
    assert by_name["model"]["health"] == "missing"
    assert "LONGWATCH_MODEL" in by_name["model"]["remedy"]
    assert by_name["sqlite"]["health"] == "ok"
    assert "LONGWATCH_MODEL" in run(bare, "doctor").stdout


@pytest.mark.parametrize(
    ("says", "health", "found"),
    [
        ((200, b'{"data": [{"id": "vlm"}]}'), "ok", "answers, with vlm"),
        ((200, b'{"data": [{"id": "another"}]}'), "missing", "has no model vlm"),
        ((401, b'{"error": {"message": "bad key"}}'), "missing", "bad key"),
        ((503, b""), "missing", "does not answer"),
    ],
)
def test_doctor_asks_the_servers_of_the_model(
    empty: Settings, says: tuple[int, bytes], health: str, found: str
) -> None:
    with faulty(says) as server:
        given = {"model_url": f"openai+{server.url}/v1", "model_name": "vlm"}
        result = run(empty.model_copy(update=given), "doctor", "--json")

    (check,) = (one for one in as_json(result) if one["name"] == "model server")
    assert (check["health"], found in check["found"]) == (health, True)
    assert server.asked[0][0] == "/v1/models"


def test_doctor_says_what_a_gpu_does_not_do(empty: Settings) -> None:
    result = run(empty.model_copy(update={"device": "cuda:99"}), "doctor", "--json")
    by_name = {check["name"]: check for check in as_json(result)}
    decoder, vectors = by_name["video decoder"], by_name["vectors"]

    assert decoder["health"] == vectors["health"] == "warning"
    assert decoder["found"].startswith("FFmpeg on the CPU: ")
    assert "NVIDIA_DRIVER_CAPABILITIES" in decoder["remedy"]
    assert vectors["found"].startswith("FAISS on the CPU, ")
    assert vectors["remedy"].startswith("install longwatch[gpu]")


def test_what_needs_no_model_loads_none() -> None:
    loaded = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys, services.cli; "
            "print([name for name in ('torch', 'transformers', 'faiss') if name in sys.modules])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_service_cleanly(
    settings: Settings, light_film: Path, number: signal.Signals
) -> None:
    run(settings, "add", "slow", str(light_film), "--realtime")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.services.scripted_service"),
            *("--data", str(settings.data), "up", "--json"),
        ],
        cwd=ROOT,
        env={"PATH": os.defpath},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 0, said
    assert "Traceback" not in said
