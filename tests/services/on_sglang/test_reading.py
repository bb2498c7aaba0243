"""What a model server reads of a request is what the engine in process reads."""

from pathlib import Path

import numpy as np
import pytest

from memory.tokens import TokenStore
from models.checkpoint import Checkpoint
from models.clip_reference import ClipReference, LeadInReference
from models.engine import ClipTokens, LeadIn
from models.layout import Compression, Pooling, RandomTokens, SlowFast, WeightedSampler
from models.preprocess import to_pixels
from models.processor import Frames, Processor
from models.prompts import answer_prompt, describe_prompt
from models.transformers_engine import TransformersEngine
from services.describing import stored_tokens
from services.on_sglang.reading import Reader, Refused
from streaming.messages import NS_PER_S, Span, clip_id_of
from tests.models.builders import IMAGE_SIZE_PX, tiny_layout, tiny_model, tiny_tokenizer
from tests.services.on_sglang.pictures import png

COMPRESSIONS = (
    SlowFast(slow_stride=2, pool=1),
    WeightedSampler(tokens_per_frame=5, cells=2),
    Pooling(pool=2),
    RandomTokens(tokens_per_frame=1),
)
LAYOUT = {"lead_in_s": 2.0, "newline": "none", "frame_token": False}


class Served:
    """A checkpoint of a tiny model, a store, and both ways to read."""

    def __init__(self, path: Path, compression: Compression) -> None:
        layout = tiny_layout(compression).model_copy(update=LAYOUT)
        tiny_model(layout).save_pretrained(path)
        tiny_tokenizer().save_pretrained(path)
        self.engine = TransformersEngine.load(path)
        self.store = TokenStore(str(path / "tokens"))
        self.reader = Reader(self.store, Checkpoint(path))
        self.processor = Processor.from_pretrained(path, layout)

    def remember(self, number: int) -> tuple[str, ClipTokens]:
        pixels = np.random.default_rng(number).integers(
            0, 256, (4, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8
        )
        tokens = self.engine.encode(pixels, range(4)).tokens
        span = Span(stream_id="door", start_ns=number * NS_PER_S, end_ns=(number + 4) * NS_PER_S)
        clip_id = clip_id_of(span, tokens.layout_id)
        self.store.put(stored_tokens(clip_id, tokens))
        return clip_id, tokens


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda compression: compression.kind)
def test_ids_and_tokens_are_those_of_the_engine(tmp_path: Path, compression: Compression) -> None:
    served = Served(tmp_path, compression)
    (one, one_tokens), (other, other_tokens) = served.remember(0), served.remember(4)
    prompt = answer_prompt("what?", findings=["[1] it happens"], num_clips=2)

    read = served.reader.read(
        served.processor.turn(prompt), [f"clip:{one}", str(ClipReference(other))]
    )

    expected = (one_tokens, other_tokens)
    frames = [Frames(clip.frame_K, clip.times_s_T) for clip in expected]
    assert read.ids == served.processor.prompt_ids(prompt, frames)
    for placed, tokens in zip(read.clips, expected, strict=True):
        assert np.array_equal(placed.clip.given, tokens.tokens_KD)
        places = [place for first, last in placed.runs for place in range(first, last + 1)]
        assert len(places) == len(tokens.tokens_KD)
        assert {read.ids[place] for place in places} == {served.processor.video_token_id}
    assert read.clips[0].runs[-1] < read.clips[1].runs[0]


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda compression: compression.kind)
def test_a_lead_in_is_moved_as_by_the_engine(tmp_path: Path, compression: Compression) -> None:
    served = Served(tmp_path, compression)
    (before, before_tokens), (clip, tokens) = served.remember(0), served.remember(4)
    reference = ClipReference(clip, LeadInReference(before, ends_s=4.0))

    read = served.reader.read(served.processor.turn(describe_prompt([])), [str(reference)])

    expected = served.engine.led_into(tokens, LeadIn(before_tokens, ends_s=4.0))
    assert np.array_equal(read.clips[0].clip.given, expected.tokens_KD)
    assert read.clips[0].clip.frames.times_s_T.tolist() == expected.times_s_T.tolist()


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda compression: compression.kind)
def test_pictures_have_their_places_before_they_are_encoded(
    tmp_path: Path, compression: Compression
) -> None:
    served = Served(tmp_path, compression)
    pixels = np.random.default_rng(7).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    tokens = served.engine.encode(pixels, range(3)).tokens

    read = served.reader.read("<video>!", [[png(picture) for picture in pixels]])

    frames = Frames(tokens.frame_K, tokens.times_s_T)
    assert read.ids == served.processor.ids_with_clips("<video>!", [frames])
    expected = to_pixels(pixels, size_px=IMAGE_SIZE_PX).numpy()
    assert np.array_equal(read.clips[0].clip.given, expected)
    assert read.clips[0].clip.encoder_id == served.engine.encoder_id


def test_what_identifies_a_clip_are_its_tokens(tmp_path: Path) -> None:
    served = Served(tmp_path, COMPRESSIONS[0])
    one, other = (served.remember(number)[0] for number in (0, 4))

    def identity(clip_id: str) -> bytes:
        return served.reader.read("<video>", [f"clip:{clip_id}"]).clips[0].clip.identity

    assert identity(one) == identity(one) != identity(other)
    assert len(identity(one)) == 32


def test_a_store_out_of_reach_is_nobodys_mistake(tmp_path: Path) -> None:
    served = Served(tmp_path, COMPRESSIONS[0])
    clip_id, _ = served.remember(0)
    (file,) = (tmp_path / "tokens").rglob("*.tokens")
    file.unlink()
    file.mkdir()

    with pytest.raises(Refused, match="Is a directory") as refused:
        served.reader.read("<video>", [f"clip:{clip_id}"])

    assert refused.value.status_code == 503
