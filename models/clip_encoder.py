"""What makes visual tokens of frames: vision tower, compressor and projector.

A model of any framework has them by being a `ClipEncoder`, under the names of the checkpoint.

Shape letters:
    T frames    N patches    C tower width    K visual tokens    D decoder width
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.compress import SLOT_FRAME_END, SLOT_NEWLINE, Compressed, compress
from models.config import LongwatchConfig
from models.layout import StreamLayout, WeightedSampler

PLACE_WAVES = (0.5, 1.0, 2.0, 4.0)  # half-turns over the picture's width, its height, the clip


class Projector(nn.Module):
    """Two-layer GELU MLP from tower to decoder (LLaVA-1.5), places, and the layout's marks.

    What a token shows, where it lies in the picture and when in the clip are added up: pooling and
    sampling leave the decoder no other way to tell the place of a token than to count.
    """

    def __init__(self, tower_width: int, decoder_width: int) -> None:
        super().__init__()
        self.up = nn.Linear(tower_width, decoder_width)
        self.out = nn.Linear(decoder_width, decoder_width)
        self.place = nn.Linear(6 * len(PLACE_WAVES), decoder_width, bias=False)
        self.marks = nn.Parameter(torch.randn(2, decoder_width) / decoder_width**0.5)

    def shown(self, features_KC: Tensor) -> Tensor:
        """What tokens show, wherever they lie."""
        return self.out(functional.gelu(self.up(features_KC)))

    def forward(
        self, features_KC: Tensor, slot_K: Tensor, place_K2: Tensor, when_K: Tensor
    ) -> Tensor:
        """Visual tokens, shape (..., K, D); `when_K` is in shares of the clip's length."""
        shown_KD = self.shown(features_KC)
        marks = self.marks.to(shown_KD.dtype)
        slot = slot_K[..., None].to(shown_KD.device)
        shown_KD = torch.where(slot == SLOT_NEWLINE, marks[0], shown_KD)
        shown_KD = torch.where(slot == SLOT_FRAME_END, marks[1], shown_KD)
        return shown_KD + self._placed(place_K2, when_K)

    def moved(self, tokens_KD: Tensor, when_K: Tensor, to_K: Tensor) -> Tensor:
        """Tokens as if their frames had been seen at other times."""
        anywhere_K2 = torch.zeros(
            *when_K.shape, 2, device=when_K.device
        )  # where is added on its own, and cancels out
        return tokens_KD + self._placed(anywhere_K2, to_K) - self._placed(anywhere_K2, when_K)

    def _placed(self, place_K2: Tensor, when_K: Tensor) -> Tensor:
        waves_W = torch.tensor(PLACE_WAVES, device=place_K2.device)
        place_K3 = torch.cat([place_K2, when_K[..., None]], -1)
        waves_K3W = math.pi * place_K3[..., None] * waves_W
        return self.place(torch.cat([waves_K3W.sin(), waves_K3W.cos()], -1).flatten(-2))


class ClipEncoder(nn.Module):
    """The part of a model that runs once for each frame."""

    config: LongwatchConfig
    layout: StreamLayout
    vision_tower: Any
    projector: Projector

    def features(self, pixels_TCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run the tower; also the attention each patch receives, if the layout samples by it."""
        sampled = isinstance(self.layout.compression, WeightedSampler)
        layer = self.config.vision_feature_layer
        output = self.vision_tower(
            pixel_values=pixels_TCHW, output_hidden_states=sampled or layer != -1
        )
        features_TNC = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
        response_TN = self._attention_response(output.hidden_states) if sampled else None
        return features_TNC, response_TN

    def _attention_response(self, hidden_states: tuple[Tensor, ...]) -> Tensor:
        """Attention that each patch receives in the second-to-last layer, on average.

        Fast attention kernels do not return their maps, so the one layer's q k is done again.
        """
        layer = self.vision_tower.encoder.layers[-2]
        normed_TNC = layer.layer_norm1(hidden_states[-3])
        T, N, C = normed_TNC.shape
        heads = self.config.vision_config.num_attention_heads
        q, k = (
            proj(normed_TNC).reshape(T, N, heads, C // heads).transpose(1, 2)
            for proj in (layer.self_attn.q_proj, layer.self_attn.k_proj)
        )
        attention = (q @ k.transpose(-1, -2) * (C // heads) ** -0.5).softmax(-1)
        return attention.mean((1, 2))

    def compress(self, pixels_TCHW: Tensor) -> Compressed:
        """Tower and compressor: what the projector reads."""
        features_TNC, response_TN = self.features(pixels_TCHW)
        return compress(features_TNC, self.layout, response_TN=response_TN)

    def project(self, compressed: Compressed, times_s_T: Sequence[float]) -> Tensor:
        """Projector: visual tokens of one clip, shape (K, D); times count from its start."""
        return self.projector(
            compressed.features_KC.float(),
            compressed.slot_K,
            compressed.place_K2,
            self.shares_of_clip(times_s_T).to(compressed.place_K2.device)[compressed.frame_K],
        )

    def shares_of_clip(self, times_s_T: Sequence[float] | NDArray[np.float32]) -> Tensor:
        return torch.as_tensor(times_s_T, dtype=torch.float32) / self.layout.clip_length_s
