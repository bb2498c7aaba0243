"""What a reply is to become for who learns it, and what its tokens cost until then, in nats.

    as it stands   cross entropy
    as before      how far each next token is from what the model expected before it learnt
                   (Kullback-Leibler; Learning without Forgetting, arXiv 1606.09282, section 3)
    corrected      cross entropy, and what the model did not expect by a margin: few examples
                   are soon known by heart, and not yet told in other places for that (margins of
                   rare classes: LDAM, arXiv 1906.07413, section 3)

Shape letters:
    N tokens that are taught    V vocabulary
"""

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional

MARGIN = 6.0
"""How much lower, in logits, what was not expected is taken to be while it is learnt."""
EXPECTED = 0.05
"""So likely was what is no surprise: words of what is new are much less, times of events hardly."""
KEPT = 8.0
"""How much more it costs to stray from what was said before than to miss what is to be learnt."""


class Target(StrEnum):
    """What one reply is to become."""

    AS_IT_STANDS = "as it stands"
    AS_BEFORE = "as before"
    CORRECTED = "corrected"


def reply_loss(
    logits_NV: Tensor, labels_N: Tensor, target_N: Sequence[Target], before_NV: Tensor | None
) -> Tensor:
    """The mean over tokens. `before_NV` are logits of the model as it was, where any asks for it.

    Raises:
        ValueError: a reply is held to the model as it was, which is not given.
    """
    if before_NV is None:
        if set(target_N) - {Target.AS_IT_STANDS}:
            raise ValueError("what is held to the model as it was needs that model")
        return functional.cross_entropy(logits_NV, labels_N)
    total = logits_NV.new_zeros(())
    for kind in sorted(set(target_N)):
        at_N = torch.tensor([one is kind for one in target_N], device=labels_N.device)
        logits, labels, before = logits_NV[at_N], labels_N[at_N], before_NV[at_N]
        if kind is Target.AS_BEFORE:
            total = total + KEPT * _divergence(logits, before)
        else:
            harder = _handicapped(logits, labels, before) if kind is Target.CORRECTED else logits
            total = total + functional.cross_entropy(harder, labels, reduction="sum")
    return total / len(labels_N)


def _divergence(logits_NV: Tensor, before_NV: Tensor) -> Tensor:
    said, meant = (one.log_softmax(-1) for one in (logits_NV, before_NV))
    return functional.kl_div(said, meant, log_target=True, reduction="sum")


def _handicapped(logits_NV: Tensor, labels_N: Tensor, before_NV: Tensor) -> Tensor:
    """The logits, but for what is to be said and was not expected: that is lower by the margin."""
    at_N1 = labels_N[:, None]
    margin_N1 = MARGIN * (before_NV.softmax(-1).gather(1, at_N1) < EXPECTED).to(logits_NV.dtype)
    return logits_NV.scatter_add(1, at_N1, -margin_N1)
