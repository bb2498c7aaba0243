"""A teacher writes of what it is shown; what it fails at costs nothing else."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from memory.datasets import CARD, HELD_OUT, PAGE, TRAIN, Example, read_examples
from memory.dump import dump
from models.question_kinds import KINDS
from models.schemas import Note, NoteEvent
from services.settings import Settings
from services.training import teaching
from services.training.teaching import says_nothing
from services.wiring import opened
from tests.models.faulty_server import closed_port, faulty
from tests.services.test_cli import as_json, run, tools_for

NAME = ("--teacher-model", "vlm")


def reply(content: object) -> tuple[int, bytes]:
    text = content if isinstance(content, str) else json.dumps(content)
    return 200, json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def note(text: str) -> tuple[int, bytes]:
    event = NoteEvent(start_s=2, end_s=4, text=text)
    return reply(Note(text=f"{text}, slowly", events=(event,)).model_dump(mode="json"))


def pairs(*told: tuple[str, str, str]) -> tuple[int, bytes]:
    kinds = [{"kind": kind, "question": asked, "answer": said} for kind, asked, said in told]
    return reply({"pairs": kinds})


def asked(settings: Settings, folder: Path, url: str) -> dict[str, Any]:
    result = run(settings, "dataset", "build", str(folder), "--teacher", url, *NAME, "--json",
                 tools=tools_for(settings))  # fmt: skip
    assert result.exit_code == 0, result.output
    return as_json(result)


def examples(folder: Path) -> list[Example]:
    return [one for name in (TRAIN, HELD_OUT) for one in read_examples(folder / name)]


def images_in(body: bytes) -> list[float]:
    """How bright each picture of a request is."""
    parts = json.loads(body)["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    encoded = [url.removeprefix("data:image/jpeg;base64,") for url in urls]
    images = [Image.open(io.BytesIO(base64.b64decode(one))) for one in encoded]
    return [float(np.asarray(image).mean()) for image in images]


def test_a_teacher_writes_notes_and_questions_and_the_card_says_who(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"teacher_key": SecretStr("sesame")})
    with opened(settings) as stores:
        before, clips = dump(stores.record), [one.clip_id for one in stores.record.clips()]
    told = [
        *(note("a lamp is lit"), pairs(("scene", "What place is it?", "A cellar."))),
        *(note("a lamp is lit"), pairs()),
        (400, b'{"error": {"message": "no such picture"}}'),
        *(note("a lamp goes out"), reply("I would rather not.")),
        *(note("a lamp flickers"), pairs(
            ("causal", "Why does it flicker?", "The clip does not specify why."),
            ("spatial", "Where is the lamp?", "On the left."),
            ("spatial", "Where is it?", "There."),
            ("smell", "What does it smell of?", "Oil."),
        )),
    ]  # fmt: skip
    with faulty(*told) as server:
        card = asked(settings, tmp_path / "set", server.url)
        requests = server.asked

    made = examples(tmp_path / "set")
    assert {one.origin for one in made} == {"teacher"}
    of_clip = {clip: [one for one in made if clip in one.clips] for clip in clips}
    assert [bool(of_clip[clip]) for clip in clips] == [True, True, False, False, True]
    (first,) = [one for one in of_clip[clips[0]] if one.task == "note"]
    assert Note.model_validate_json(first.turns[0][1]).text == "a lamp is lit, slowly"
    kinds = {one.kind: one.turns[0][1] for one in made if one.kind in ("scene", "spatial")}
    assert kinds == {"scene": "A cellar.", "spatial": "On the left."}

    counts = [card["counts"][side] for side in ("train", "held-out")]
    assert {f"question {kind}" for kind in KINDS} <= counts[0].keys() & counts[1].keys()
    assert sum(one["question camera direction"] for one in counts) == 0
    assert sum(one["question scene"] for one in counts) == 1
    assert card["dropped"]["the teacher failed at it"] == 2
    assert card["dropped"]["an answer that is none"] == 1
    assert card["dropped"]["a second pair of one kind"] == 1
    assert card["dropped"]["a pair of no known kind"] == 1
    assert card["written_by"] == {
        "label": "people", "model": "scripted@1", "teacher": "vlm@openai",
    }  # fmt: skip
    assert "by teacher: written by vlm@openai" in (tmp_path / "set" / PAGE).read_text()

    assert {headers["Authorization"] for _, headers, _ in requests} == {"Bearer sesame"}
    assert len(images_in(requests[0][2])) == 10
    assert images_in(requests[2][2])[4] > 200, "it is bright then"
    assert "Notes before: a lamp is lit, slowly" in json.dumps(json.loads(requests[2][2]))
    with opened(settings) as stores:
        assert dump(stores.record) == before


def test_what_people_said_is_asked_of_nobody(settings: Settings, tmp_path: Path) -> None:
    for start in ("0:02", "0:12", "0:22", "0:32"):
        assert run(settings, "label", "cam", start, "--nothing").exit_code == 0
    with faulty(note("a lamp is lit"), pairs()) as server:
        asked(settings, tmp_path / "set", server.url)
        assert len(server.asked) == 2

    origins = {one.origin for one in examples(tmp_path / "set") if one.task == "note"}
    assert origins == {"label", "teacher"}


def test_a_teacher_that_is_away_is_soon_asked_no_more(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teaching, "MOST_AWAY", 1)  # each takes seconds
    url = f"http://127.0.0.1:{closed_port()}"
    result = run(settings, "dataset", "build", str(tmp_path / "set"), "--teacher", url, *NAME)

    assert result.exit_code == 3
    card = json.loads((tmp_path / "set" / CARD).read_text())
    assert card["dropped"] == {"the teacher did not answer": 5}


def test_a_teacher_that_lets_us_not_in_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    assert run(settings, "dataset", "build", str(tmp_path / "set")).exit_code == 0
    before = examples(tmp_path / "set")
    with faulty((401, b'{"error": {"message": "who are you?"}}')) as server:
        arguments = ("dataset", "build", str(tmp_path / "set"), "--teacher", server.url, *NAME)
        denied = run(settings, *arguments, "--json")
        assert len(server.asked) == 1

    assert as_json(denied)["error"]["kind"] == "ModelServerDenied"
    assert examples(tmp_path / "set") == before


def test_half_a_teacher_is_refused(settings: Settings, tmp_path: Path) -> None:
    for half in (("--teacher", "http://127.0.0.1:9/v1"), NAME, ("--teacher", "vlm", *NAME)):
        assert run(settings, "dataset", "build", str(tmp_path / "set"), *half).exit_code == 2


@pytest.mark.parametrize(
    ("answer", "is_none"),
    [
        ("A cellar.", False),
        ("None", True),
        ("The video does not mention it.", True),
        ("It does not show who it was", True),
        ("Nobody knows, for it is dark and does not end.", False),
        ("word " * 200, True),
    ],
)
def test_what_counts_as_no_answer(answer: str, is_none: bool) -> None:
    assert says_nothing(answer) is is_none
