"""SGLang's multimodal processor for our model: a request's clips become ids and stored tokens.

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
from models.video_llm import LongwatchForConditionalGeneration
from services.on_sglang.reading import Placed, Prompt, Reader
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
        if image_data or audio_data:
            raise ValueError("this model reads clips; name them in video_data")
        if not isinstance(input_text, str):
            raise ValueError("a request with clips needs its prompt as text")
        named = cast(list[object], request_obj.video_data or [])
        references = [reference_of(data) for data in named]
        prompt = await asyncio.get_running_loop().run_in_executor(
            self.io_executor, self.reader.read, input_text, references
        )
        return output_of(prompt, self.reader.video_token_id)


def reference_of(data: object) -> str:
    if not isinstance(data, str):
        raise ValueError("this model reads clips by reference; see docs/model.md")
    return data


def output_of(prompt: Prompt, video_token_id: int) -> MultimodalProcessorOutput:
    return MultimodalProcessorOutput(
        mm_items=[item_of(placed) for placed in prompt.clips],
        input_ids=prompt.ids,
        video_token_id=video_token_id,
    )


def item_of(placed: Placed) -> MultimodalDataItem:
    item = MultimodalDataItem(
        modality=Modality.VIDEO,
        feature=torch.tensor(placed.tokens.tokens_KD)[None],  # (1, K, D): one item, many runs
        offsets=placed.runs,
    )
    item.set_identity(placed.identity)
    return item
