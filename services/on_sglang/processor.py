"""SGLang's multimodal processor for our model: a request's clips become ids, and tokens or pixels.

SGLang finds the class in this package, and makes one in the process that takes the requests.
"""

import asyncio
from pathlib import Path
from typing import Any, cast

import torch
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.managers.schedule_batch import (
    Modality,
    MultimodalDataItem,
    MultimodalProcessorOutput,
)
from sglang.srt.multimodal.processors.base_processor import BaseMultimodalProcessor
from transformers import PreTrainedConfig

from memory.tokens import TokenStore
from models.checkpoint import Checkpoint
from models.on_sglang.video_llm import TIMES_S
from models.video_llm import LongwatchForConditionalGeneration
from services.on_sglang.reading import Named, Placed, Prompt, Reader
from services.settings import load_settings


class ClipProcessor(BaseMultimodalProcessor):
    models = [LongwatchForConditionalGeneration]  # noqa: RUF012 - as SGLang declares it
    generates_input_ids_from_raw_prompt = True

    def __init__(
        self,
        hf_config: PreTrainedConfig,
        server_args: Any,  # noqa: ANN401 - SGLang's, whose fields are made at run time
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(hf_config, server_args, *args, **kwargs)
        checkpoint = Checkpoint(Path(server_args.model_path))
        self.reader = Reader(TokenStore(load_settings().tokens), checkpoint)

    async def process_mm_data_async(  # type: ignore[override]  # it declares a dict, and takes this
        self,
        image_data: list[Any] | None,
        audio_data: list[Any] | None,
        input_text: str | list[int],
        request_obj: GenerateReqInput,
        **_: Any,
    ) -> MultimodalProcessorOutput:
        """Raises ValueError, which SGLang answers with 400, or with its `status_code`."""
        if audio_data:
            raise ValueError("this model hears nothing; leave audio_data out")
        if not isinstance(input_text, str):
            raise ValueError("a request with clips needs its prompt as text")
        named = clips_named(request_obj.video_data, image_data)
        prompt = await asyncio.get_running_loop().run_in_executor(
            self.io_executor, self.reader.read, input_text, named
        )
        return output_of(prompt, self.reader.video_token_id)


def clips_named(videos: object, images: list[Any] | None) -> list[Named]:
    """The clips of a request; images without videos are the frames of one.

    Raises:
        ValueError
    """
    named = cast(list[Any], videos or [])
    if named and images:
        raise ValueError("image_data beside video_data; give the frames of each clip in video_data")
    named = named or [images]
    texts = [text for one in named for text in (one if isinstance(one, list) else [one])]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("clips are text: references, data URLs, or base64; see docs/model.md")
    return named


def output_of(prompt: Prompt, video_token_id: int) -> MultimodalProcessorOutput:
    return MultimodalProcessorOutput(
        mm_items=[item_of(placed) for placed in prompt.clips],
        input_ids=prompt.ids,
        video_token_id=video_token_id,
    )


def item_of(placed: Placed) -> MultimodalDataItem:
    clip = placed.clip
    item = MultimodalDataItem(
        modality=Modality.VIDEO,
        feature=torch.tensor(clip.given)[None],  # one item, many runs
        offsets=placed.runs,
    )
    if clip.encoder_id is not None:
        item.model_specific_data[TIMES_S] = clip.frames.times_s_T.tolist()
    item.set_identity(clip.identity)
    return item
