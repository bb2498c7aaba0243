"""Compressors: the patches of a clip's frames become fewer tokens, in the order the LLM reads.

Each is a pure function of tower features (and, for the weighted sampler, of attention responses);
`compress` chooses by the layout. They run before the projector, so only what is kept is
projected (FTFV section 3; LLaVA-NeXT-Video in transformers pools there too). Learned marks (row
newline, frame token) are named by `slot_K` and put in by the projector's owner.

Shape letters:
    T frames    N = G * G patches of a frame, raster order    C tower width    K tokens kept
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.errors import BudgetTooLarge
from models.layout import Pooling, RandomTokens, SlowFast, StreamLayout, WeightedSampler

SLOT_VISUAL, SLOT_NEWLINE, SLOT_FRAME_END = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Compressed:
    """Tokens of one clip: features (zero rows where a learned mark goes), frame, slot and place.

    place_K2 is the middle of what a token covers, x and y in shares of the picture.
    """

    features_KC: Tensor
    frame_K: Tensor
    slot_K: Tensor
    place_K2: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Tokens of one frame in rows: features and places, shapes (R, Q, C) and (R, Q, 2)."""

    features_RQC: Tensor
    place_RQ2: Tensor


def compress(
    features_TNC: Tensor, layout: StreamLayout, *, response_TN: Tensor | None = None
) -> Compressed:
    """Compress a clip as the layout says.

    Args:
        response_TN: attention that each patch receives; needed by the weighted sampler only.

    Raises:
        BudgetTooLarge: more tokens a frame asked for than it has patches.
    """
    responses = [None] * len(features_TNC) if response_TN is None else list(response_TN)
    frames = [
        _compress_frame(features_NC, number, layout, response_N)
        for number, (features_NC, response_N) in enumerate(
            zip(features_TNC, responses, strict=True)
        )
    ]
    features, slots, places = zip(*frames, strict=True)
    lengths = torch.tensor([len(slot) for slot in slots])
    return Compressed(
        torch.cat(features),
        torch.repeat_interleave(torch.arange(len(slots)), lengths),
        torch.cat(slots),
        torch.cat(places),
    )


def frame_of_tokens(layout: StreamLayout, *, num_frames: int, num_patches: int) -> Tensor:
    """The frame of each token (marks included) that a clip becomes, whatever it shows."""
    nothing_TN1 = torch.zeros(num_frames, num_patches, 1)
    return compress(nothing_TN1, layout, response_TN=nothing_TN1[..., 0]).frame_K


def _compress_frame(
    features_NC: Tensor, number: int, layout: StreamLayout, response_N: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    match layout.compression:
        case SlowFast(slow_stride=slow_stride, pool=pool):
            rows = pool_grid(features_NC, pool if number % slow_stride == 0 else 2 * pool)
        case Pooling(pool=pool):
            rows = pool_grid(features_NC, pool)
        case WeightedSampler(tokens_per_frame=count, cells=cells):
            if response_N is None:
                raise ValueError("the weighted sampler needs the attention response of each patch")
            rows = chosen(features_NC, keep_by_response(response_N, count, cells=cells))
        case RandomTokens(tokens_per_frame=count, seed=seed):
            check_budget(count, len(features_NC))
            generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
            kept_K = torch.randperm(len(features_NC), generator=generator)[:count].sort().values
            rows = chosen(features_NC, kept_K.to(features_NC.device))
    return _with_marks(rows, layout)


def chosen(features_NC: Tensor, index_K: Tensor) -> Rows:
    """Some patches of a frame, as one row."""
    G = round(len(features_NC) ** 0.5)
    place_K2 = (torch.stack([index_K % G, index_K // G], -1) + 0.5) / G
    return Rows(features_NC[index_K][None], place_K2[None])


def pool_grid(features_NC: Tensor, stride: int) -> Rows:
    """Average-pool a frame's patches into G // stride rows of as many."""
    G = round(len(features_NC) ** 0.5)
    check_budget(stride, G)
    grid_CGG = features_NC.T.reshape(-1, G, G)
    pooled_RRC = functional.avg_pool2d(grid_CGG, stride).permute(1, 2, 0)
    device = features_NC.device
    middle_R = (torch.arange(G // stride, device=device) + 0.5) * stride / G
    y_RR, x_RR = torch.meshgrid(middle_R, middle_R, indexing="ij")
    return Rows(pooled_RRC, torch.stack([x_RR, y_RR], -1))


def keep_by_response(response_N: Tensor, count: int, *, cells: int) -> Tensor:
    """Indices, ascending, of the patches to keep: the best of each cell, then the best of all."""
    N = len(response_N)
    check_budget(max(count, cells * cells), N)
    rank_N = response_N.clone()
    if cells:
        G = round(N**0.5)
        cell_G = torch.arange(G, device=response_N.device) * cells // G
        cell_N = (cell_G[:, None] * cells + cell_G[None, :]).flatten()
        for cell in range(min(cells * cells, count)):
            inside = (cell_N == cell).nonzero().flatten()
            rank_N[inside[response_N[inside].argmax()]] = torch.inf
    return rank_N.topk(count).indices.sort().values


def check_budget(wanted: int, available: int) -> None:
    if wanted > available:
        raise BudgetTooLarge(wanted, available)


def _with_marks(rows: Rows, layout: StreamLayout) -> tuple[Tensor, Tensor, Tensor]:
    """Flatten rows into tokens, with a slot for a newline after each and for the frame's end."""
    R, Q, C = rows.features_RQC.shape
    features, places = rows.features_RQC, rows.place_RQ2
    slots = features.new_full((R, Q), SLOT_VISUAL, dtype=torch.int8)
    gridded = isinstance(layout.compression, SlowFast | Pooling)
    if layout.newline == "grid" and gridded:
        features = torch.cat([features, features.new_zeros(R, 1, C)], 1)
        places = torch.cat([places, places.new_zeros(R, 1, 2)], 1)
        slots = torch.cat([slots, slots.new_full((R, 1), SLOT_NEWLINE)], 1)
    features, places, slots = features.reshape(-1, C), places.reshape(-1, 2), slots.flatten()
    if layout.frame_token:
        features = torch.cat([features, features.new_zeros(1, C)])
        places = torch.cat([places, places.new_zeros(1, 2)])
        slots = torch.cat([slots, slots.new_full((1,), SLOT_FRAME_END)])
    return features, slots, places
