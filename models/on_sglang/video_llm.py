"""The video LLM inside SGLang: the decoder is SGLang's own, the rest is as everywhere.

SGLang finds `EntryClass`; importing `models.config` makes the checkpoint's `model_type` known in
each of its processes. Of a clip that is stored, the visual tokens come; of one that a request
brings with it, frames, which are encoded here, in float32 as the tokens are that are stored.

Shape letters:
    T frames    S pixels a side    K visual tokens of a clip    D decoder width
"""

from array import array
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, cast

import torch
from sglang.srt.managers.mm_utils import general_mm_embed_routine, pad_mm_tokens
from sglang.srt.managers.schedule_batch import Modality, MultimodalDataItem, MultimodalInputs
from sglang.srt.model_executor.forward_batch_info import ForwardBatch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from models.checkpoint import ENCODER_PARTS
from models.clip_encoder import ClipEncoder, Projector
from models.config import LongwatchConfig
from models.on_sglang.cpu import lend_rotary_embedding

DECODER = "language_model"
TIMES_S = "times_s"
"""Of the frames of an item; one that has none brings stored tokens."""


class LongwatchForConditionalGeneration(ClipEncoder):
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
        self.config, self.layout = config, config.stream_layout
        tower, width = config.vision_config, config.text_config.hidden_size
        self.vision_tower = AutoModel.from_config(tower).float().eval()
        self.projector = Projector(tower.hidden_size, width).float()
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
        """Visual tokens of several clips, one after another."""
        dtype = self.get_input_embeddings().weight.dtype
        return torch.cat([self._tokens(item).to(dtype) for item in items])

    def _tokens(self, item: MultimodalDataItem) -> Tensor:
        """Of an item that brings (1, K, D) of tokens, or (1, T, 3, S, S) of pixels."""
        (brought,) = cast(Tensor, item.feature)
        times_s_T = item.model_specific_data.get(TIMES_S)
        if times_s_T is None:
            return brought
        compressed = self.compress(brought)
        return self.project(compressed, cast(list[float], times_s_T)).to(torch.float16)

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
        """Called again with others when weights are swapped."""
        self.language_model.load_weights(self._of_decoder(weights))

    def _of_decoder(self, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """The decoder's, under its own names; those of the encoder are put in place on the way."""
        part = f"{DECODER}."
        ours = dict(self.named_parameters())
        for name, weight in weights:
            if name.startswith(part):
                yield name.removeprefix(part), weight
            elif name.startswith(ENCODER_PARTS):
                ours[name].data.copy_(weight)


def decoder_class(config: PreTrainedConfig) -> type[nn.Module]:
    """SGLang's class for a decoder, which it names as transformers does."""
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type]
    return getattr(import_module(f"sglang.srt.models.{config.model_type}"), name)


EntryClass = LongwatchForConditionalGeneration
