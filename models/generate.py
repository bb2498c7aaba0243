"""Greedy decoding of one or several sequences from a video LLM, token by token.

Written out rather than taken from `generate`, whose per-token bookkeeping costs a small model more
than its own arithmetic; the choice made (the most likely token) is the same, and a test holds it to
that.

Shape letters:
    B sequences    L positions    D decoder width    V vocabulary    X visual tokens of a prompt
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from models.cpu_decoder import is_readable, last_hidden
from models.grammar import most_likely
from models.video_llm import LongwatchForConditionalGeneration

LOOP_TIMES, LOOP_TOKENS, LOOP_SIZES = 5, 16, range(1, 33)
"""How often a piece of how many tokens is said in a row when nothing else will come any more.

Notes of footage that a model knows say a thing three times in a row at most.
"""
FEW_TOKENS, OF_TOKENS = 12, 64
"""So few different tokens among so many are circles, too, of pieces that take turns.

Notes of footage that a model knows have 21 and more.
"""


@torch.inference_mode()
def next_logits(
    model: LongwatchForConditionalGeneration, prompts: Sequence[tuple[Sequence[int], Tensor | None]]
) -> Tensor:
    """Logits, shape (B, V), of the token after each prompt, of which each has its visual tokens.

    Safe to call from several threads at once.
    """
    device, decoder = model.device, model.language_model.model
    embeds_BLD = pad_sequence(  # on the right, where causal attention does not look
        [model.inputs_embeds(torch.tensor([ids], device=device), seen)[0] for ids, seen in prompts],
        batch_first=True,
    )
    last_B = torch.tensor([len(ids) - 1 for ids, _ in prompts], device=device)
    if is_readable(decoder):
        hidden_BD = last_hidden(decoder, embeds_BLD, last_B)
    else:
        hidden_BLD = decoder(inputs_embeds=embeds_BLD, use_cache=False).last_hidden_state
        hidden_BD = hidden_BLD[torch.arange(len(prompts), device=device), last_B]
    return model.language_model.lm_head(hidden_BD)


@torch.inference_mode()
def greedy(
    model: LongwatchForConditionalGeneration,
    ids: Sequence[int],
    visual_XD: Tensor | None,
    *,
    end_id: int,
    max_new_tokens: int,
    choose: Callable[[Tensor], int] = most_likely,
) -> Iterator[int]:
    """Yield the ids of the reply as they come, without the end token, until it goes in circles."""
    decoder = model.language_model
    cache = DynamicCache(config=model.config.text_config)
    embeds = model.inputs_embeds(torch.tensor([ids], device=model.device), visual_XD)
    written: list[int] = []
    for _ in range(max_new_tokens):
        hidden_1LD = decoder.model(
            inputs_embeds=embeds, past_key_values=cache, use_cache=True
        ).last_hidden_state
        token = choose(decoder.lm_head(hidden_1LD[0, -1]))
        if token == end_id:
            return
        yield token
        written.append(token)
        if goes_round(written):
            return
        embeds = model.get_input_embeddings()(torch.tensor([[token]], device=model.device))


def goes_round(ids: Sequence[int]) -> bool:
    """Whether the last tokens are one piece, over and over, or a few that take turns."""
    if len(ids) >= OF_TOKENS and len(set(ids[-OF_TOKENS:])) <= FEW_TOKENS:
        return True
    for size in LOOP_SIZES:
        length = max(LOOP_TIMES * size, LOOP_TOKENS)
        tail = ids[-length:]
        if len(tail) == length and tail[size:] == tail[:-size]:
            return True
    return False


@torch.inference_mode()
def greedy_batch(
    model: LongwatchForConditionalGeneration,
    prompts: Sequence[Sequence[int]],
    visual_XD: Tensor | None,
    *,
    end_id: int,
    max_new_tokens: int,
) -> list[list[int]]:
    """Replies to several prompts at once, padded on the left; visual tokens in prompt order."""
    decoder, B = model.language_model, len(prompts)
    L = max(len(prompt) for prompt in prompts)
    ids = torch.full((B, L), end_id)
    mask = torch.zeros(B, L, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, L - len(prompt) :] = torch.tensor(prompt)
        mask[row, L - len(prompt) :] = 1
    cache = DynamicCache(config=model.config.text_config)
    embeds = model.inputs_embeds(ids, visual_XD)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    replies: list[list[int]] = [[] for _ in prompts]
    running = torch.ones(B, dtype=torch.bool)
    for _ in range(max_new_tokens):
        hidden = decoder.model(
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions,
            past_key_values=cache, use_cache=True,
        ).last_hidden_state  # fmt: skip
        tokens_B = decoder.lm_head(hidden[:, -1]).argmax(-1)
        running &= tokens_B != end_id
        if not running.any():
            break
        for row in running.nonzero().flatten().tolist():
            replies[row].append(int(tokens_B[row]))
        embeds = model.get_input_embeddings()(tokens_B[:, None])
        mask = torch.cat([mask, torch.ones(B, 1, dtype=torch.long)], 1)
        positions = positions[:, -1:] + 1
    return replies
