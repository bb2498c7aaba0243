"""Other weights for a running server: nobody's question fails, and no answer is of both."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from models.checkpoint import Checkpoint
from models.clip_reference import ClipReference
from models.engine import ClipTokens
from models.errors import SwapRefused, WeightsSwapped
from models.hot_swap import swap
from models.model_servers import ModelServers, Patience
from models.nano.clips import sampled_pictures
from models.nano.world import write_script
from models.prompts import describe_prompt, plan_prompt
from models.sglang_engine import SGLangEngine
from models.transformers_engine import TransformersEngine
from services.describing import clip_tokens
from services.settings import SHIPPED_MODEL
from tests.services.on_sglang.model_server import CLIP_S, ModelServer
from tests.services.on_sglang.pictures import png
from tests.services.processes import until

pytestmark = pytest.mark.timeout(700)  # the first test may wait for the server to start

NUM_CLIPS, AT_ONCE = 4, 8
QUESTION = plan_prompt("when did the gate open?")
FINDINGS = ("[1] a person opens the gate",)
NOISE = {"language_model": 0.2, "projector": 0.5}
"""Of the weights' size: enough to write other words, not to write nonsense."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A checkpoint, and the same in this process."""

    folder: Path
    engine: TransformersEngine

    @classmethod
    def of(cls, folder: Path) -> "Weights":
        return cls(folder, TransformersEngine.load(folder, num_threads=1))


def changed(part: str, folder: Path) -> Weights:
    """The shipped weights with some noise in a part of them, in a folder."""
    engine = TransformersEngine.load(SHIPPED_MODEL, num_threads=1)
    module: nn.Module = engine.model.get_submodule(part)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in module.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight += NOISE[part] * weight.std() * noise
    engine.model.save_pretrained(folder)
    engine.processor.tokenizer.save_pretrained(folder)
    return Weights.of(folder)


@pytest.fixture(scope="module")
def old() -> Weights:
    return Weights.of(SHIPPED_MODEL)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Taught something, as `longwatch train` leaves the tower and the projector alone."""
    return changed("language_model", tmp_path_factory.mktemp("new"))


@pytest.fixture
def server(model_server: ModelServer) -> Iterator[ModelServer]:
    """The server, which has its own weights again afterwards."""
    yield model_server
    swap(model_server.url, SHIPPED_MODEL)


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return sampled_pictures(
        write_script(9, duration_s=NUM_CLIPS * CLIP_S, pace=5), fps=1, size_px=96
    )


def clips_of(weights: Weights, pictures: NDArray[np.uint8]) -> list[ClipTokens]:
    return [
        weights.engine.encode(pictures[first : first + CLIP_S], range(CLIP_S)).tokens
        for first in range(0, len(pictures), CLIP_S)
    ]


def replies_of(weights: Weights, clips: list[ClipTokens]) -> list[str]:
    """What the weights say of each clip in this process."""
    return [weights.engine.reply(describe_prompt([]), [clip]) for clip in clips]


def test_questions_go_on_while_weights_are_swapped_and_each_answer_is_of_one(
    server: ModelServer, old: Weights, new: Weights, pictures: NDArray[np.uint8]
) -> None:
    clips = clips_of(old, pictures)
    names = [ClipReference(server.remember(100 + n, clip)) for n, clip in enumerate(clips)]
    expected = {each.engine.model_id: replies_of(each, clips) for each in (old, new)}
    assert expected[old.engine.model_id] != expected[new.engine.model_id]
    swapped = Event()

    def ask_on(asker: int) -> list[tuple[int, dict[str, Any]]]:
        """Questions one after another, to some after the swap."""
        told: list[tuple[int, dict[str, Any]]] = []
        left = NUM_CLIPS
        while left:
            number = (asker + len(told)) % NUM_CLIPS
            left -= swapped.is_set()
            told.append((number, server.write(describe_prompt([]), [names[number]])))
        return told

    with ThreadPoolExecutor(AT_ONCE) as pool:
        asking = [pool.submit(ask_on, asker) for asker in range(AT_ONCE)]
        until(lambda: server.num_running() > 1)
        swap(server.url, new.folder)
        swapped.set()
        told = [one for each in asking for one in each.result()]

    by = [reply["meta_info"]["weight_version"] for _, reply in told]
    assert set(by) == {old.engine.model_id, new.engine.model_id}
    for (number, reply), model_id in zip(told, by, strict=True):
        assert reply["text"] == expected[model_id][number]


def test_what_is_being_written_is_written_to_its_end_by_the_old_weights(
    server: ModelServer, old: Weights, new: Weights
) -> None:
    length: dict[str, Any] = {"max_new_tokens": 100, "ignore_eos": True}
    alone = server.write(QUESTION, **length)["text"]
    pieces = server.stream(server.request(QUESTION, **length))
    next(pieces)

    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap, server.url, new.folder)
        *_, last = pieces
        swapping.result()

    assert last["meta_info"]["weight_version"] == old.engine.model_id
    assert last["text"] == alone
    after = server.write(QUESTION, **length)
    assert after["meta_info"]["weight_version"] == new.engine.model_id
    assert after["meta_info"]["cached_tokens"] == 0
    assert after["text"] != alone


def test_who_went_away_does_not_hold_up_a_swap(server: ModelServer, new: Weights) -> None:
    endless = server.request(QUESTION, max_new_tokens=3000, ignore_eos=True)
    pieces = server.stream(endless)
    next(pieces)
    pieces.close()

    swap(server.url, new.folder)

    assert server.client.get("/model_info").json()["weight_version"] == new.engine.model_id
    (listed,) = server.client.get("/v1/models").json()["data"]
    assert listed["id"] == new.engine.model_id


def test_a_swap_to_what_serves_changes_nothing(server: ModelServer, old: Weights) -> None:
    server.write(QUESTION, max_new_tokens=1)

    swap(server.url, SHIPPED_MODEL)

    assert server.write(QUESTION, max_new_tokens=1)["meta_info"]["cached_tokens"] > 0


def another_layout(folder: Path) -> None:
    engine = TransformersEngine.load(SHIPPED_MODEL, num_threads=1)
    engine.model.config.layout = {**engine.model.config.layout, "fps": 2.0}
    engine.model.save_pretrained(folder)
    engine.processor.tokenizer.save_pretrained(folder)


def another_width(folder: Path) -> None:
    engine = TransformersEngine.load(SHIPPED_MODEL, num_threads=1)
    width = engine.model.text_head.in_features
    engine.model.text_head = nn.Linear(width, 3)
    engine.model.save_pretrained(folder)
    engine.processor.tokenizer.save_pretrained(folder)


def another_tokenizer(folder: Path) -> None:
    engine = TransformersEngine.load(SHIPPED_MODEL, num_threads=1)
    engine.model.save_pretrained(folder)
    engine.processor.tokenizer.add_tokens(["zebra"])
    engine.processor.tokenizer.save_pretrained(folder)


def cut_off(folder: Path) -> None:
    another_tokenizer(folder)
    (weights,) = folder.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1000])


def nothing(folder: Path) -> None:
    """An empty folder."""


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (another_layout, "its layout is"),
        (another_width, "its weights differ in text_head"),
        (another_tokenizer, "its tokenizer is another"),
        (cut_off, "cannot be used"),
        (nothing, "there is no config.json"),
    ],
)
def test_what_cannot_serve_there_is_refused_and_the_old_weights_go_on(
    server: ModelServer, old: Weights, tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    make(tmp_path)

    with pytest.raises(SwapRefused, match=says):
        swap(server.url, tmp_path)

    told = server.write(QUESTION)
    assert told["meta_info"]["weight_version"] == old.engine.model_id
    assert told["text"] == old.engine.reply(QUESTION, [])


def test_an_engine_is_of_the_weights_that_it_names(
    server: ModelServer, old: Weights, new: Weights, pictures: NDArray[np.uint8]
) -> None:
    (tokens, *_), name = clips_of(old, pictures), ""
    name = server.remember(110, tokens)
    clip = clip_tokens(
        server.store.get(name, layout_id=tokens.layout_id, encoder_id=tokens.encoder_id)
    )
    with closing(ModelServers([server.url], patience=Patience(waits_s=()))) as servers:
        before, after = (SGLangEngine(servers, each.engine) for each in (old, new))
        assert before.describe(clip, previous=[]) == old.engine.describe(clip, previous=[])
        with pytest.raises(WeightsSwapped, match="and not"):
            after.judge(clip, "a person enters")

        swap(server.url, new.folder)

        with pytest.raises(WeightsSwapped, match="asked again by itself"):
            before.describe(clip, previous=[])
        with pytest.raises(WeightsSwapped):
            next(before.answer("What happened?", findings=FINDINGS, clips=[clip]))
        assert after.describe(clip, previous=[]) == new.engine.describe(clip, previous=[])


def test_tokens_of_another_encoder_are_refused_after_a_swap_and_new_ones_are_read(
    server: ModelServer, old: Weights, pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    other = changed("projector", tmp_path)
    stale, fresh = clips_of(old, pictures)[0], clips_of(other, pictures)[0]
    stale_name, fresh_name = (server.remember(120 + n, one) for n, one in enumerate((stale, fresh)))
    assert Checkpoint(tmp_path).encoder_id != old.engine.encoder_id
    brought = server.request(describe_prompt([])) | {
        "image_data": [png(picture) for picture in pictures[:CLIP_S]]
    }
    seen = server.generate(brought).json()["text"]
    assert seen == old.engine.reply(describe_prompt([]), [stale])

    swap(server.url, tmp_path)

    refused = server.generate(server.request(describe_prompt([]), [ClipReference(stale_name)]))
    assert refused.status_code == 409
    assert "encoder" in refused.json()["error"]["message"]
    told = server.write(describe_prompt([]), [ClipReference(fresh_name)])
    assert told["text"] == other.engine.reply(describe_prompt([]), [fresh])
    assert server.generate(brought).json()["text"] == told["text"] != seen
    clip = clip_tokens(
        server.store.get(stale_name, layout_id=stale.layout_id, encoder_id=stale.encoder_id)
    )
    with (
        closing(ModelServers([server.url], patience=Patience(waits_s=()))) as servers,
        pytest.raises(WeightsSwapped),
    ):
        SGLangEngine(servers, old.engine).describe(clip, previous=[])
