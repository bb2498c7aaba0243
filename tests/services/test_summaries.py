"""What `longwatch summarize` says of a remembered film: bright at 12-15 and 34-36, dim at 19-24."""

from datetime import timedelta

from services.registry import NewStream
from services.settings import Settings
from services.wiring import now_at, opened
from tests.services.test_cli import as_json, run


def test_a_film_is_summarised_in_a_page(settings: Settings) -> None:
    result = run(settings, "summarize")

    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("cam 0:00:00–0:00:45 (")
    assert lines[1] == "      2 ×  a bright light shines  0:00:12.000–0:00:36.000"
    assert lines[2] == "      1 ×  a dim light shines  0:00:19.000–0:00:24.000"
    assert lines[-1] == "  watched: all of the 0:00:45 asked about"


def test_a_part_of_it_as_json(settings: Settings) -> None:
    (told,) = as_json(run(settings, "summarize", "--since", "0:14", "--until", "0:20", "--json"))

    assert told["span"] == {"stream_id": "cam", "start_ns": 14 * 10**9, "end_ns": 20 * 10**9}
    assert [(one["text"], one["begun"], one["carried"]) for one in told["events"]] == [
        ("a bright light shines", 0, 1),
        ("a dim light shines", 1, 0),
    ]
    assert told["calmest"]["start_ns"] == 15 * 10**9
    assert told["coverage"]["watched_ns"] == told["coverage"]["asked_ns"] == 6 * 10**9


def test_what_was_not_watched_or_not_noted_has_its_exit_code(settings: Settings) -> None:
    dark = run(settings, "summarize", "--since", "0:25", "--until", "0:30")
    assert dark.exit_code == 3
    assert "nothing was noted" in dark.stdout
    assert run(settings, "summarize", "--since", "soon").exit_code == 2
    assert run(settings, "summarize", "--stream", "door").exit_code == 2
    assert run(settings, "add", "door", "rtsp://127.0.0.1:9/door").exit_code == 0
    assert run(settings, "summarize", "--stream", "door").exit_code == 4


def test_pieces_of_a_level_are_told_one_by_one_up_to_a_page(settings: Settings) -> None:
    (told,) = as_json(run(settings, "summarize", "--level", "minute", "--json"))
    assert told["span"]["end_ns"] == 45 * 10**9

    with opened(settings, make=True) as stores:
        stores.registry.add(NewStream("door", "rtsp://127.0.0.1:9/door"))
        stores.record.set_epoch("door", now_at() - timedelta(hours=30))
    refused = run(settings, "summarize", "--stream", "door", "--level", "minute", "--json")
    assert refused.exit_code == 2
    assert as_json(refused)["error"]["kind"] == "RangeTooFine"
    hours = as_json(run(settings, "summarize", "--stream", "door", "--level", "hour", "--json"))
    assert len(hours) == 31
    assert not any(one["coverage"]["watched_ns"] for one in hours)
