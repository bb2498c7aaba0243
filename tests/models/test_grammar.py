"""What is written is held to its schema, and is otherwise what the model would write anyway."""

import pytest
import torch
from pydantic import BaseModel, ValidationError

from models.grammar import Grammars, most_likely
from models.nano.tokenizer import END as END_TOKEN
from models.schemas import Note, Plan
from tests.models.builders import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
VOCAB_SIZE, END = len(TOKENIZER), TOKENIZER.get_vocab()[END_TOKEN]
GRAMMARS = Grammars(TOKENIZER, vocab_size=VOCAB_SIZE, end_id=END)


def written(schema: type[BaseModel], seed: int, *, at_most: int = 400) -> tuple[str, bool]:
    """What a model without any sense writes, and whether it came to an end."""
    random = torch.Generator().manual_seed(seed)
    writing, ids = GRAMMARS.writing(schema), list[int]()
    for _ in range(at_most):
        token = writing.choose(torch.randn(VOCAB_SIZE, generator=random))
        if token == END:
            return str(TOKENIZER.decode(ids)), True
        ids.append(token)
    return str(TOKENIZER.decode(ids)), False


@pytest.mark.parametrize("schema", [Note, Plan])
def test_whatever_the_model_would_rather_write_it_keeps_to_the_schema(schema: type[BaseModel]):
    ended = [text for seed in range(40) for text, is_whole in [written(schema, seed)] if is_whole]

    assert len(ended) > 10
    for text in ended:
        schema.model_validate_json(text)


def test_without_a_schema_it_does_not():
    random = torch.Generator().manual_seed(0)
    ids = [most_likely(torch.randn(VOCAB_SIZE, generator=random)) for _ in range(40)]
    with pytest.raises(ValidationError):
        Note.model_validate_json(str(TOKENIZER.decode(ids)))


def test_what_keeps_to_the_schema_by_itself_is_not_changed():
    reply = '{"text":"a cat","events":[{"start_s":-0.5,"end_s":4.0,"text":"a cat sits"}]}'
    ids = [*TOKENIZER.encode(reply, add_special_tokens=False), END]
    writing = GRAMMARS.writing(Note)

    assert [writing.choose(wanting(token)) for token in ids] == ids


def wanting(token: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(token), VOCAB_SIZE).float()
