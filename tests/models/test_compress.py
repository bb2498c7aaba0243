"""Compressors: how many tokens, which ones, in which order."""

from typing import Any

import pytest
import torch

from models.compress import (
    SLOT_FRAME_END,
    SLOT_NEWLINE,
    SLOT_VISUAL,
    compress,
    frame_of_tokens,
    keep_by_response,
    pool_grid,
)
from models.errors import BudgetTooLarge
from models.layout import (
    Compression,
    Pooling,
    RandomTokens,
    SlowFast,
    StreamLayout,
    WeightedSampler,
)


def layout(compression: Compression, **marks: Any) -> StreamLayout:
    return StreamLayout(image_size_px=384, compression=compression, **marks)


@pytest.mark.parametrize(
    ("frames", "patches", "compression", "expected"),
    [  # seed of the figures: LLaVA-Video section 4 with the indexing of its code
        (64, 729, SlowFast(slow_stride=1, pool=2), 64 * 169),
        (64, 729, SlowFast(slow_stride=3, pool=2), 22 * 169 + 42 * 36),
        (64, 729, SlowFast(slow_stride=5, pool=2), 13 * 169 + 51 * 36),
        (110, 729, SlowFast(slow_stride=10, pool=2), 11 * 169 + 99 * 36),
        (32, 576, Pooling(pool=2), 32 * 144),
        (16, 576, WeightedSampler(tokens_per_frame=64), 16 * 64),
        (16, 576, RandomTokens(tokens_per_frame=64), 16 * 64),
    ],
)
def test_token_counts_are_those_of_the_papers(
    frames: int, patches: int, compression: Compression, expected: int
):
    bare = layout(compression, newline="none", frame_token=False)

    assert len(frame_of_tokens(bare, num_frames=frames, num_patches=patches)) == expected


def test_marks_are_counted_as_in_the_72b_layout():
    marked = layout(SlowFast(slow_stride=3, pool=2), newline="grid", frame_token=True)

    assert len(frame_of_tokens(marked, num_frames=64, num_patches=729)) == 22 * 183 + 42 * 43


def test_every_frame_is_represented_exactly_once_and_in_time_order():
    features = torch.arange(7.0)[:, None, None].expand(7, 16, 1)

    tokens = compress(features, layout(SlowFast(slow_stride=3, pool=1), newline="none"))

    visual = tokens.slot_K == SLOT_VISUAL
    assert torch.equal(tokens.features_KC[visual, 0], tokens.frame_K[visual].float())
    assert torch.bincount(tokens.frame_K[visual]).tolist() == [16, 4, 4, 16, 4, 4, 16]


def test_a_second_clip_is_pooled_like_the_first():
    features = torch.randn(6, 16, 3, generator=torch.Generator().manual_seed(0))
    slowfast = layout(SlowFast(slow_stride=3, pool=1))

    first, second = compress(features, slowfast), compress(features, slowfast)

    assert torch.equal(first.features_KC, second.features_KC)


def test_a_row_ends_with_a_newline_and_a_frame_with_its_token():
    tokens = compress(torch.ones(1, 4, 2), layout(Pooling(pool=1)))

    assert tokens.slot_K.tolist() == [
        SLOT_VISUAL, SLOT_VISUAL, SLOT_NEWLINE,
        SLOT_VISUAL, SLOT_VISUAL, SLOT_NEWLINE,
        SLOT_FRAME_END,
    ]  # fmt: skip


def test_pooling_averages_and_floors():
    grid = torch.arange(25.0).reshape(25, 1)

    pooled = pool_grid(grid, 2)

    assert pooled.features_RQC[..., 0].tolist() == [[3.0, 5.0], [13.0, 15.0]]
    assert pooled.place_RQ2[0, 1].tolist() == pytest.approx([0.6, 0.2])


def test_the_weighted_sampler_keeps_what_is_attended_to_in_raster_order():
    response = torch.tensor([0.1, 0.9, 0.2, 0.8])

    assert keep_by_response(response, 2, cells=0).tolist() == [1, 3]


def test_keeping_every_token_changes_nothing():
    features = torch.randn(2, 16, 3)
    whole = layout(WeightedSampler(tokens_per_frame=16), newline="none", frame_token=False)

    tokens = compress(features, whole, response_TN=torch.rand(2, 16))

    assert torch.equal(tokens.features_KC, features.reshape(-1, 3))


def test_each_cell_keeps_its_best_patch_however_low_its_response():
    response = torch.zeros(16)
    response[:4] = 1.0  # the whole top row outshines the rest

    kept = keep_by_response(response, 4, cells=2)

    rows, columns = kept // 4, kept % 4
    assert {(int(r) // 2, int(c) // 2) for r, c in zip(rows, columns, strict=True)} == {
        (0, 0), (0, 1), (1, 0), (1, 1),
    }  # fmt: skip


def test_random_tokens_are_the_same_each_time_and_differ_between_frames():
    features = torch.arange(32.0).reshape(2, 16, 1) % 16
    random = layout(RandomTokens(tokens_per_frame=5), newline="none", frame_token=False)

    first, again = compress(features, random), compress(features, random)

    assert torch.equal(first.features_KC, again.features_KC)
    assert not torch.equal(first.features_KC[:5], first.features_KC[5:])


def test_more_tokens_than_patches_are_refused():
    with pytest.raises(BudgetTooLarge, match="a budget of 17 tokens, but there are only 16"):
        compress(torch.ones(1, 16, 2), layout(RandomTokens(tokens_per_frame=17)))


def test_the_weighted_sampler_says_that_it_needs_a_response():
    with pytest.raises(ValueError, match="attention response"):
        compress(torch.ones(1, 16, 2), layout(WeightedSampler(tokens_per_frame=2)))
