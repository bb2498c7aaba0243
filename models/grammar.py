"""Decoding held to a JSON schema: of the tokens that may come next, the most likely is taken.

Which tokens those are is llguidance's to say, as it is in SGLang. The choice stays greedy: what a
model writes that keeps to the schema by itself is not changed.

Shape letters:
    V tokens of the vocabulary
"""

import json
from typing import cast

import llguidance.hf
import torch
from llguidance import LLMatcher
from llguidance.numpy import (
    allocate_token_bitmask,
    apply_token_bitmask_inplace,
    fill_next_token_bitmask,
)
from pydantic import BaseModel
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

COMPACT = {"whitespace_flexible": False, "key_separator": ":", "item_separator": ","}
"""JSON without a blank that says nothing."""


def schema_text(schema: type[BaseModel]) -> str:
    """A schema as llguidance is told it, here and in a model server."""
    return json.dumps({**schema.model_json_schema(), "x-guidance": COMPACT})


class Grammars:
    """Makes a `Writing` for each reply, with one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, vocab_size: int, end_id: int) -> None:
        fast = cast(PreTrainedTokenizerFast, tokenizer)  # all that transformers 5 gives
        self._tokens = llguidance.hf.from_tokenizer(fast, n_vocab=vocab_size, eos_token=end_id)

    def writing(self, schema: type[BaseModel]) -> "Writing":
        """What begins to be written and shall be of that shape."""
        grammar = LLMatcher.grammar_from_json_schema(schema_text(schema))
        return Writing(LLMatcher(self._tokens, grammar), self._tokens.vocab_size)


class Writing:
    """A reply while it is written."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._allowed = allocate_token_bitmask(1, vocab_size)

    def choose(self, logits_V: Tensor) -> int:
        """The most likely token that may come next; the reply goes on with it."""
        token = int(logits_V.argmax())
        if not self._matcher.validate_tokens([token]):
            fill_next_token_bitmask(self._matcher, self._allowed)
            masked_1V = logits_V[None].float().cpu().numpy().copy()
            apply_token_bitmask_inplace(masked_1V, self._allowed)
            token = int(masked_1V.argmax())
        self._matcher.consume_token(token)
        return token


def most_likely(logits_V: Tensor) -> int:
    """The choice where nothing is asked of the shape."""
    return int(torch.argmax(logits_V))
