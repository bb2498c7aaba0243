"""The commands `rule` and `alerts`, as people and as programs use them."""

import base64
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest

from memory.feedback import Feedback
from services.alerts.book import RuleBook
from services.marking import user_name
from services.settings import Settings
from services.wiring import now_ns, opened
from tests.conftest import ROOT
from tests.services.alerts.looks import rule
from tests.services.alerts.test_courier import SECRET
from tests.services.api.test_rules import raised
from tests.services.conftest import serve
from tests.services.test_cli import as_json, run

OPTIONS = ("--for", "5s", "--dedupe-key", "light", "--to", "log")


def test_a_rule_is_added_shown_paused_and_removed(settings: Settings) -> None:
    added = run(settings, "rule", "add", "a bright light shines", *OPTIONS)
    assert added.exit_code == 0, added.output
    assert "added bright-light-shines" in added.stdout
    assert "longwatch up" in added.stdout
    name = "bright-light-shines"

    (listed,) = as_json(run(settings, "rule", "list", "--json"))
    assert listed["name"] == name
    assert (listed["for_s"], listed["dedupe_key"]) == (5, "light")
    assert listed["to"] == ["log"]
    assert "counts" in run(settings, "rule", "list").stdout
    assert "a bright light shines" in run(settings, "rule", "show", name).stdout
    assert as_json(run(settings, "rule", "pause", name, "--json"))["is_paused"]
    assert "paused" in run(settings, "rule", "list").stdout
    assert not as_json(run(settings, "rule", "resume", name, "--json"))["is_paused"]
    assert run(settings, "rule", "rm", name).stdout == f"removed {name}\n"
    assert as_json(run(settings, "rule", "list", "--json")) == []
    assert "longwatch rule add" in run(settings, "rule", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("add", ""), "BadRule"),
        (("add", "a light", "--for", "soon"), "BadRule"),
        (("add", "a light", "--dedupe-key", "No Key"), "BadRule"),
        (("add", "a light", "--schedule", "never"), "BadRule"),
        (("add", "a light", "--to", "mail:me"), "BadRule"),
        (("add", "a light", "--name", "Bad Name"), "BadRule"),
        (("add", "a light", "--stream", "door"), "NoSuchStream"),
        (("add", "a light", "--to", "webhook:https://example.com/"), "WebhookUnsigned"),
        (("show", "none"), "NoSuchRule"),
        (("rm", "none"), "NoSuchRule"),
        (("pause", "none"), "NoSuchRule"),
        (("resume", "none"), "NoSuchRule"),
        (("test", ""), "BadRule"),
    ],
)
def test_what_cannot_be_done_is_named(
    settings: Settings, arguments: tuple[str, ...], kind: str
) -> None:
    result = run(settings, "rule", *arguments, "--json")

    assert result.exit_code == 2, result.output
    assert json.loads(result.stdout)["error"]["kind"] == kind


def test_the_path_of_a_webhook_is_shown_nowhere(settings: Settings) -> None:
    signed = Settings.model_validate({**settings.model_dump(), "webhook_secret": SECRET})
    hook = "webhook:https://example.com/s3cret"
    added = run(signed, "rule", "add", "a light", "--name", "r", "--to", hook)

    assert added.exit_code == 0, added.output
    for shown in ((), ("--json",)):
        for command in (("list",), ("show", "r")):
            result = run(signed, "rule", *command, *shown)
            assert "example.com" in result.output
            assert "s3cret" not in result.output


def test_a_back_test_says_what_how_often_and_at_what_cost(settings: Settings) -> None:
    told = as_json(run(settings, "rule", "test", "a light shines", "--cooldown", "0s", "--json"))
    spans = [(one["span"]["start_ns"], one["span"]["end_ns"]) for one in told["alerts"]]
    assert spans == [(12_000_000_000, 24_000_000_000), (34_000_000_000, 36_000_000_000)]
    assert told["clips"] == 5
    assert (told["passed_over"], told["judgements"]) == (0, 6), "one clip has two wordings"
    assert told["alerts_a_day"] == pytest.approx(2 * 86_400 / told["watched_s"], rel=0.01)

    shown = run(settings, "rule", "test", "a light shines", "--since", "0:00:30").stdout
    assert "1 alerts in 0:00:15" in shown
    assert as_json(run(settings, "alerts", "--json")) == [], "nobody was told"


def test_a_back_test_of_a_rule_by_its_name(settings: Settings) -> None:
    run(settings, "rule", "add", "a light", "--name", "r", "--cooldown", "10m")

    assert len(as_json(run(settings, "rule", "test", "r", "--json"))["alerts"]) == 1


def test_alerts_are_listed_and_followed(bare: Settings, light_film: Path) -> None:
    run(bare, "rule", "add", "a bright light", "--name", "r", "--cooldown", "0s")
    run(bare, "add", "cam", str(light_film))
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "services.cli", "--data", str(bare.data)),
            *("alerts", "--follow", "--json"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        serve(bare)
        assert following.stdout is not None
        seen: list[dict[str, Any]] = []
        while len({one["alert_id"] for one in seen if one["state"] == "end"}) < 2:
            seen.append(json.loads(following.stdout.readline()))
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 0

    listed = as_json(run(bare, "alerts", "--json"))
    assert [one["state"] for one in listed] == ["end", "end"]
    assert as_json(run(bare, "alerts", "--json", "--limit", "1")) == listed[1:]
    assert as_json(run(bare, "alerts", "--json", "--rule", "other")) == []
    assert "end     cam 0:00:12.000–0:00:15.000" in run(bare, "alerts").stdout


def test_an_alert_is_marked_and_shown_so(settings: Settings) -> None:
    first, second = raised(settings, rule("a fox"), "a.a.")
    marked = as_json(run(settings, "alerts", "mark", first.alert_id, "false", "--json"))
    assert marked["is_right"] is False
    run(settings, "alerts", "mark", first.alert_id, "false", "--note", "a dog")
    run(settings, "alerts", "mark", second.alert_id, "true")

    shown = run(settings, "alerts").stdout.splitlines()
    assert f"{first.alert_id}  [false, {user_name()}: a dog]" in shown[0]
    assert f"{second.alert_id}  [true, {user_name()}]" in shown[1]
    listed = as_json(run(settings, "alerts", "--json"))
    assert [one["mark"]["note"] for one in listed] == ["a dog", ""]
    with opened(settings) as stores:
        assert [one.about for one in Feedback(stores.record.documents).marks()] == [first, second]
    unknown = run(settings, "alerts", "mark", "r@1:pond:5", "true", "--json")
    assert unknown.exit_code == 2
    assert json.loads(unknown.stdout)["error"]["kind"] == "NoSuchAlert"
    assert run(settings, "alerts", "mark", first.alert_id, "maybe").exit_code == 2


def brightness_of(jpeg: bytes) -> float:
    with av.open(io.BytesIO(jpeg), "r") as image:
        return float(next(image.decode(video=0)).to_ndarray(format="gray").mean())


def test_a_back_test_is_written_as_a_page_of_pictures(settings: Settings, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    sentence = "a <bright> light shines"
    tried = run(settings, "rule", "test", sentence, "--cooldown", "0s", "--page", str(page))
    assert tried.exit_code == 0, tried.output

    text = page.read_text()
    assert "<h1>a &lt;bright&gt; light shines</h1>" in text
    assert "cam 0:00:12.000–0:00:15.000" in text
    pictures = [base64.b64decode(data) for data in re.findall(r'base64,([^"]+)"', text)]
    brightness = [brightness_of(jpeg) for jpeg in pictures]
    assert len(brightness) == 2
    assert min(brightness) > 180, "the middle of what is bright"
    assert "http" not in text

    with opened(settings) as stores:
        for segment in stores.record.segments():
            stores.footage.delete(segment.uri)
    run(settings, "rule", "test", sentence, "--cooldown", "0s", "--page", str(page))
    assert page.read_text().count("no picture is stored") == 2
    nowhere = str(tmp_path / "no" / "page.html")
    refused = run(settings, "rule", "test", sentence, "--page", nowhere, "--json")
    assert json.loads(refused.stdout)["error"]["kind"] == "OutputUnusable"


def test_an_answer_is_listed_and_marked(settings: Settings) -> None:
    question = "when: a bright light after 0:00:01"
    answer = as_json(run(settings, "ask", question, "--json"))
    answers = as_json(run(settings, "answers", "--json"))
    (kept,) = [one for one in answers if one["answer"]["question"] == question]
    assert (kept["answer"], kept["mark"]) == (answer, None)
    assert len(as_json(run(settings, "answers", "--json", "--limit", "1"))) == 1

    run(settings, "answers", "mark", kept["answer_id"], "true")
    assert f"  [true, {user_name()}]" in run(settings, "answers").stdout
    run(settings, "forget", "cam", "--yes")
    assert as_json(run(settings, "answers", "--json")) == []
    gone = run(settings, "answers", "mark", kept["answer_id"], "false", "--json")
    assert json.loads(gone.stdout)["error"]["kind"] == "NoSuchAnswer"
    with opened(settings) as stores:
        assert list(Feedback(stores.record.documents).marks()) == []


def test_a_rule_of_the_record_is_one_of_the_command(settings: Settings) -> None:
    with opened(settings) as stores:
        RuleBook(stores.record.documents, now_ns=now_ns).add(rule("a light"))

    assert as_json(run(settings, "rule", "show", "r", "--json"))["sentence"] == "a light"
