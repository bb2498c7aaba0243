"""The video LLM: vision tower, compressor, projector, decoder, as one transformers model.

Frames become visual tokens once; `forward` reads tokens, never frames, so a stored clip can be
asked about for ever without its video.

Shape letters:
    K visual tokens    D decoder width    B sequences    L positions    V retrieval width
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from models.clip_encoder import ClipEncoder, Projector
from models.config import LongwatchConfig


class LongwatchForConditionalGeneration(ClipEncoder, PreTrainedModel):
    """See the module docstring. `from_pretrained` and `save_pretrained` as everywhere."""

    config_class = LongwatchConfig
    base_model_prefix = "model"
    _supports_sdpa = True
    _tied_weights_keys = {  # noqa: RUF012  as transformers declares it
        "language_model.lm_head.weight": "language_model.model.embed_tokens.weight"
    }

    def __init__(self, config: LongwatchConfig) -> None:
        super().__init__(config)
        tower_width, width = config.vision_config.hidden_size, config.text_config.hidden_size
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.projector = Projector(tower_width, width)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.visual_head = nn.Linear(width, config.retrieval_width)
        self.text_head = nn.Linear(width, config.retrieval_width)
        self.retrieval_scale = nn.Parameter(torch.tensor([2.0, -4.0]))  # log scale and bias: SigLIP
        self.layout = config.stream_layout
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def inputs_embeds(self, input_ids_BL: Tensor, visual_XD: Tensor | None) -> Tensor:
        """Embed text and put visual tokens, in order, where the placeholders are."""
        embeds_BLD = self.get_input_embeddings()(input_ids_BL)
        if visual_XD is None or not len(visual_XD):
            return embeds_BLD
        here_BL = input_ids_BL == self.config.video_token_id
        if int(here_BL.sum()) != len(visual_XD):
            raise ValueError(
                f"{int(here_BL.sum())} placeholders for {len(visual_XD)} visual tokens"
            )
        return embeds_BLD.masked_scatter(here_BL[..., None], visual_XD.to(embeds_BLD.dtype))

    def forward(
        self,
        input_ids: Tensor,
        visual_XD: Tensor | None = None,
        labels: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Read text with visual tokens in it. Labels of -100 are not learned from."""
        embeds = self.inputs_embeds(input_ids, visual_XD)
        return self.language_model(
            inputs_embeds=embeds, attention_mask=attention_mask, labels=labels, **kwargs
        )

    def clip_vector(self, tokens_BKD: Tensor) -> Tensor:
        """Unit vector of a clip, shape (B, V), from its visual tokens.

        The largest response over tokens, not their mean: most tokens show the background.
        """
        return functional.normalize(self.visual_head(tokens_BKD.float()).amax(-2), dim=-1)

    def text_vector(self, input_ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Unit vector of a text, shape (B, V): mean of the decoder's last hidden states."""
        hidden_BLD = self.language_model.model(
            input_ids=input_ids_BL, attention_mask=mask_BL
        ).last_hidden_state.float()
        weight_BL1 = mask_BL[..., None].float()
        mean_BD = (hidden_BLD * weight_BL1).sum(1) / weight_BL1.sum(1).clamp(min=1)
        return functional.normalize(self.text_head(mean_BD), dim=-1)


AutoModel.register(LongwatchConfig, LongwatchForConditionalGeneration, exist_ok=True)
