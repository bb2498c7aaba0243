"""Pictures and video that requests bring along are read as in this process."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.clip_reference import ClipReference
from models.engine import ClipTokens
from models.nano.clips import sampled_pictures
from models.nano.world import write_script
from models.prompts import VIDEO, describe_prompt
from models.transformers_engine import TransformersEngine
from services.analyse import policy_of
from services.settings import SHIPPED_MODEL
from streaming.decode import Decoding, sampled_frames
from streaming.messages import NS_PER_S
from tests.services.on_sglang.model_server import CLIP_S, ModelServer
from tests.services.on_sglang.pictures import data_url, mp4, png

pytestmark = pytest.mark.timeout(700)  # the first test may wait for the server to start

FPS = 4
PROMPT = describe_prompt([])


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine.load(SHIPPED_MODEL, num_threads=1)


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    """A clip, as large as a camera might take it."""
    script = write_script(11, duration_s=CLIP_S, pace=5)
    return sampled_pictures(script, fps=1, size_px=160)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip and a half, encoded."""
    script = write_script(12, duration_s=1.5 * CLIP_S, pace=5)
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    path.write_bytes(mp4(sampled_pictures(script, fps=FPS, size_px=160), fps=FPS))
    return path


def clips_in(film: Path, engine: TransformersEngine) -> list[ClipTokens]:
    """What the engine makes of it, decoded as footage is."""
    frames = list(
        sampled_frames(
            film,
            start_ns=0,
            pts_origin=0,
            policy=policy_of(engine.layout),
            after_ns=None,
            decoding=Decoding(),
        )
    )
    halves = [frames[:CLIP_S], frames[CLIP_S:]]
    return [
        engine.encode(
            np.stack([frame.pixels_HWC for frame in half]),
            [frame.media_ns / NS_PER_S - first_s for frame in half],
        ).tokens
        for first_s, half in zip((0, CLIP_S), halves, strict=True)
    ]


def test_pictures_are_read_as_frames_of_a_clip(
    model_server: ModelServer, engine: TransformersEngine, pictures: NDArray[np.uint8]
) -> None:
    tokens = engine.encode(pictures, range(CLIP_S)).tokens
    expected = engine.reply(PROMPT, [tokens])
    images = [png(picture) for picture in pictures]

    brought = model_server.generate(model_server.request(PROMPT) | {"image_data": images}).json()

    assert brought["text"] == expected
    stored = ClipReference(model_server.remember(200, tokens))
    assert model_server.write(PROMPT, [stored])["text"] == expected


def test_video_is_sampled_and_read_as_footage_is(
    model_server: ModelServer, engine: TransformersEngine, film: Path
) -> None:
    prompt = PROMPT.replace(VIDEO, VIDEO * 2)
    expected = engine.reply(prompt, clips_in(film, engine))

    told = model_server.write(PROMPT, [data_url("video/mp4", film.read_bytes())])

    assert told["text"] == expected


def test_a_chat_brings_pictures_and_video_in_their_places(
    model_server: ModelServer,
    engine: TransformersEngine,
    pictures: NDArray[np.uint8],
    film: Path,
) -> None:
    tokens = engine.encode(pictures, range(CLIP_S)).tokens
    asked = PROMPT.removeprefix(VIDEO)
    expected = engine.reply(VIDEO * 3 + asked, [*clips_in(film, engine), tokens])

    told = model_server.client.post(
        "/v1/chat/completions",
        json={
            "model": "longwatch",
            "temperature": 0,
            "max_tokens": 256,
            "messages": [{"role": "user", "content": content(film, pictures, asked)}],
        },
    )

    assert told.status_code == 200, told.text
    said = told.json()
    assert said["choices"][0]["message"]["content"] == expected
    assert said["metadata"]["weight_version"] == engine.model_id


def content(film: Path, pictures: NDArray[np.uint8], text: str) -> list[dict[str, Any]]:
    video = {"type": "video_url", "video_url": {"url": data_url("video/mp4", film.read_bytes())}}
    images = [{"type": "image_url", "image_url": {"url": png(picture)}} for picture in pictures]
    return [video, *images, {"type": "text", "text": text}]


def test_the_same_question_about_the_same_pictures_is_read_from_the_cache(
    model_server: ModelServer, pictures: NDArray[np.uint8]
) -> None:
    asked = model_server.request(PROMPT, max_new_tokens=1) | {
        "image_data": [png(picture[:, ::-1]) for picture in pictures]
    }

    first, second = (model_server.generate(asked).json()["meta_info"] for _ in range(2))

    assert first["cached_tokens"] < 10 < second["cached_tokens"]


@pytest.mark.parametrize(
    ("brought", "says"),
    [
        ({"video_data": ["data:video/mp4;base64,bm8gdmlkZW8="]}, "a video that cannot be read"),
        ({"video_data": ["bm8gdmlkZW8"]}, "is no clip"),
        ({"image_data": ["data:image/png;base64,bm8gcGljdHVyZQ=="]}, "a picture that cannot be"),
        ({"image_data": ["data:image/png;base64,AAAA"] * 11}, "11 pictures; a clip has 1 to 10"),
        ({"image_data": ["AAAA"], "video_data": ["clip:door:0-1:a"]}, "image_data beside"),
        ({"audio_data": ["AAAA"]}, "hears nothing"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_garbage_is_refused_and_harms_no_other(
    model_server: ModelServer, brought: dict[str, Any], says: str
) -> None:
    refused = model_server.generate(model_server.request(PROMPT) | brought)

    assert refused.status_code == 400, refused.text
    assert says in refused.json()["error"]["message"]
    assert model_server.generate(model_server.request("hello")).status_code == 200


def test_garbage_in_a_chat_is_refused(model_server: ModelServer) -> None:
    part = {"type": "image_url", "image_url": {"url": "http://camera/picture.png"}}
    messages = [{"role": "user", "content": [part]}]

    refused = model_server.client.post(
        "/v1/chat/completions", json={"model": "longwatch", "messages": messages}
    )

    assert refused.status_code == 400
    assert "is no clip" in refused.text
