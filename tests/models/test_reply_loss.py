"""What replies cost, by what they are to become."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.reply_loss import EXPECTED, MARGIN, Target, reply_loss

TOKENS, WORDS = 5, 7


def drawn(seed: int) -> Tensor:
    return torch.randn(TOKENS, WORDS, generator=torch.Generator().manual_seed(seed))


LOGITS, BEFORE = drawn(1), drawn(2)
LABELS = torch.tensor([0, 6, 3, 3, 1])


def cost(target: Target, before: Tensor | None = BEFORE) -> float:
    return reply_loss(LOGITS, LABELS, [target] * TOKENS, before).item()


def test_as_it_stands_is_cross_entropy() -> None:
    wanted = functional.cross_entropy(LOGITS, LABELS).item()

    assert cost(Target.AS_IT_STANDS) == pytest.approx(wanted)
    assert cost(Target.AS_IT_STANDS, before=None) == pytest.approx(wanted)


def test_as_before_is_nothing_where_all_is_as_before() -> None:
    assert cost(Target.AS_BEFORE) > 0.1
    assert cost(Target.AS_BEFORE, before=LOGITS) == pytest.approx(0, abs=1e-6)


def test_what_was_expected_is_corrected_as_it_stands() -> None:
    certain = functional.one_hot(LABELS, WORDS) * 20.0

    assert cost(Target.CORRECTED, before=certain) == pytest.approx(cost(Target.AS_IT_STANDS))


def test_what_was_not_expected_has_to_be_likelier_by_the_margin() -> None:
    unlikely = functional.one_hot(LABELS, WORDS) * -20.0
    told = LOGITS + MARGIN * functional.one_hot(LABELS, WORDS)

    corrected = reply_loss(told, LABELS, [Target.CORRECTED] * TOKENS, unlikely).item()
    assert corrected == pytest.approx(cost(Target.AS_IT_STANDS), rel=1e-5)


def test_each_token_is_judged_by_itself() -> None:
    """One that was just expected, and one that just was not."""
    before = torch.zeros(TOKENS, WORDS)
    even = torch.logit(torch.tensor(EXPECTED)) + torch.log(torch.tensor(WORDS - 1.0))
    before[0, LABELS[0]], before[1, LABELS[1]] = even + 0.01, even - 0.01
    assert before.softmax(-1)[0, LABELS[0]] > EXPECTED > before.softmax(-1)[1, LABELS[1]]

    first, second = (
        reply_loss(LOGITS[n : n + 1], LABELS[n : n + 1], [kind], before[n : n + 1]).item()
        for n, kind in ((0, Target.CORRECTED), (1, Target.CORRECTED))
    )

    plain = functional.cross_entropy(LOGITS, LABELS, reduction="none").tolist()
    assert first == pytest.approx(plain[0])
    assert second > plain[1] + 0.1


def test_replies_of_one_batch_may_have_different_targets() -> None:
    kinds = [Target.AS_BEFORE, Target.AS_BEFORE, Target.CORRECTED, *2 * [Target.AS_IT_STANDS]]

    mixed = reply_loss(LOGITS, LABELS, kinds, BEFORE).item()

    alone = [
        reply_loss(LOGITS[n : n + 1], LABELS[n : n + 1], [kind], BEFORE[n : n + 1]).item()
        for n, kind in enumerate(kinds)
    ]
    assert mixed == pytest.approx(sum(alone) / TOKENS, rel=1e-5)


@pytest.mark.parametrize("target", [Target.AS_BEFORE, Target.CORRECTED])
def test_without_the_model_as_it_was_nothing_is_held_to_it(target: Target) -> None:
    with pytest.raises(ValueError, match="needs that model"):
        cost(target, before=None)
