"""The video LLM inside SGLang: the decoder is SGLang's own, visual tokens come as they are stored.

SGLang finds `EntryClass`; importing `models.config` makes the checkpoint's `model_type` known in
each of its processes. The vision tower is not loaded: what it made of a clip comes by reference
(`services.on_sglang`), so nothing is encoded twice.

Shape letters:
    K visual tokens of a clip    D decoder width
"""

from array import array
from collections.abc import Iterable
from importlib import import_module
from typing import Any, cast

import torch
from sglang.srt.managers.mm_utils import general_mm_embed_routine, pad_mm_tokens
from sglang.srt.managers.schedule_batch import Modality, MultimodalDataItem, MultimodalInputs
from sglang.srt.model_executor.forward_batch_info import ForwardBatch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from models.config import LongwatchConfig
from models.on_sglang.cpu import lend_rotary_embedding

DECODER = "language_model"


class LongwatchForConditionalGeneration(nn.Module):
    """See the module docstring. SGLang gives what it calls by name: hence these methods."""

    def __init__(
        self,
        config: LongwatchConfig,
        quant_config: Any = None,  # noqa: ANN401 - SGLang's, passed on
        prefix: str = "",
    ) -> None:
        super().__init__()
        if not torch.cuda.is_available():
            lend_rotary_embedding()
        self.config = config
        decoder = decoder_class(config.text_config)
        self.language_model: Any = decoder(
            config.text_config, quant_config, prefix=".".join(filter(None, (prefix, DECODER)))
        )

    def get_input_embeddings(self) -> nn.Embedding:
        return self.language_model.get_input_embeddings()

    def pad_input_ids(self, input_ids: "array[int]", mm_inputs: MultimodalInputs) -> "array[int]":
        """Put what identifies a clip where its tokens go: the radix cache compares by it."""
        return pad_mm_tokens(input_ids, mm_inputs)

    def get_video_feature(self, items: list[MultimodalDataItem]) -> Tensor:
        """Visual tokens of several clips, one after another; each item brings (1, K, D)."""
        dtype = self.get_input_embeddings().weight.dtype
        return torch.cat([cast(Tensor, item.feature)[0].to(dtype) for item in items])

    def forward(
        self, input_ids: Tensor, positions: Tensor, forward_batch: ForwardBatch, **kwargs: Any
    ) -> Any:  # noqa: ANN401 - what SGLang's decoder returns
        return general_mm_embed_routine(
            input_ids=input_ids,
            forward_batch=forward_batch,
            language_model=self.language_model,
            data_embedding_funcs={Modality.VIDEO: self.get_video_feature},
            positions=positions,
            **kwargs,
        )

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        part = f"{DECODER}."
        self.language_model.load_weights(
            (name.removeprefix(part), weight) for name, weight in weights if name.startswith(part)
        )


def decoder_class(config: PreTrainedConfig) -> type[nn.Module]:
    """SGLang's class for a decoder, which it names as transformers does."""
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type]
    return getattr(import_module(f"sglang.srt.models.{config.model_type}"), name)


EntryClass = LongwatchForConditionalGeneration
