"""The losses of ExposureDiffusion (ICCV 2023): of one network call, and of all calls of a training step together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ['CRITERIA', 'CallLoss', 'CallWeights', 'Criterion', 'Weighting', 'call_loss', 'poisson_kl', 'released_kl']

Criterion = Literal['l1', 'poisson_kl', 'released_kl']
"""How an image is compared with the truth."""

Weighting = Literal['released', 'softmax', 'fixed', 'sum']
"""How calls are weighted: by the released learned weights, by learned weights above 0 whose sum is 1 (``softmax``), by
the mean, or by the sum."""

_KL_FLOOR = 0.2
"""From this value on the release compares by its divergence; below by the absolute difference."""


class CallLoss(NamedTuple):
    """The losses of one network call.

    Attributes:
        picture: The loss of its image, a scalar.
        parts: The auxiliary loss, of the parts of the adaptive layer; 0 without one.
    """

    picture: Tensor
    parts: Tensor


def call_loss(
    picture: Tensor, parts: tuple[Tensor, Tensor, Tensor] | None, truth: Tensor, criterion: Criterion = 'l1'
) -> CallLoss:
    """Return the loss of one network call.

    Args:
        picture: The prediction, (B, 4, H, W), at the brightness of the truth where that is corrected.
        parts: Mask, direct and residual prediction of the adaptive layer, as a
            :class:`~entropy_sde_plugin.networks.exposure.ResidualParts`, whose differences the mask mixes. None
            for no auxiliary loss.
        truth: The clean image, (B, 4, H, W).
        criterion: How the image is compared.

    Example:
        >>> truth = torch.full((1, 4, 2, 2), 0.5)
        >>> call_loss(truth + 0.25, None, truth)
        CallLoss(picture=tensor(0.2500), parts=tensor(0.))
    """
    loss = CRITERIA[criterion](picture, truth)
    if parts is None:
        return CallLoss(loss, torch.zeros_like(loss))
    mask, direct, residual = parts
    return CallLoss(loss, (mask * (direct - truth).abs() + (1 - mask) * (residual - truth).abs()).mean())


def poisson_kl(picture: Tensor, truth: Tensor, least: float = 1e-4) -> Tensor:
    """Return the mean divergence of Poisson distributions, the paper's bound: a log(a / b) + b - a for means a and b.

    Args:
        picture: The means b, (B, 4, H, W).
        truth: The means a, likewise.
        least: Means below it count as it.
    """
    a, b = truth.clamp_min(least), picture.clamp_min(least)
    return (a * (a / b).log() + b - a).mean()


def released_kl(picture: Tensor, truth: Tensor) -> Tensor:
    """Return the mean of the release's option ``kl``, for an image b and the truth a.

    b log(b / a) + a - b where both are 0.2 or more, elsewhere |b - a|.
    """
    bright = (truth >= _KL_FLOOR) & (picture >= _KL_FLOOR)
    a, b = (torch.where(bright, each, torch.ones_like(each)) for each in (truth, picture))
    return torch.where(bright, b * (b / a).log() + a - b, (picture - truth).abs()).mean()


CRITERIA: dict[Criterion, Callable[[Tensor, Tensor], Tensor]] = {
    'l1': F.l1_loss,
    'poisson_kl': poisson_kl,
    'released_kl': released_kl,
}
"""The comparisons by the names that option files use."""


class CallWeights(nn.Module):
    """Weights of the network calls in the loss of a training step.

    The released weights w start at the mean and are learned without a bound: the last call gets 1 - sum(w). Where an
    early call is the easiest, its w grows past 1, the last weight falls below 0, and so does the loss.

    Args:
        between: Exposures between the first and the reference: one call fewer than there are.
        weighting: How to weigh; a single call has the weight 1.

    Example:
        >>> weights = CallWeights(between=2, weighting='fixed')
        >>> weights(torch.tensor([3.0, 2.0, 1.0]))
        tensor(2.)
    """

    def __init__(self, between: int, weighting: Weighting) -> None:
        super().__init__()
        self.between = between
        self.weighting = weighting if between else 'fixed'
        if self.weighting == 'released':
            self.w = nn.Parameter(torch.full((between,), 1 / (between + 1)))
        elif self.weighting == 'softmax':
            self.w = nn.Parameter(torch.zeros(between + 1))

    def forward(self, losses: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the loss of a step from those of its calls, scalars or (calls,); a drawn ladder may have one fewer."""
        stacked = losses if isinstance(losses, Tensor) else torch.stack(list(losses))
        return (self.weights(len(stacked)).to(stacked) * stacked).sum()

    def weights(self, calls: int) -> Tensor:
        """Return the weights of that many calls, (calls,)."""
        if self.weighting == 'sum':
            return torch.ones(calls)
        if self.weighting == 'fixed':
            return torch.full((calls,), 1 / calls)
        if self.weighting == 'softmax':
            return self.w[:calls].softmax(0)
        return torch.cat([self.w.clamp(0, 1), 1 - self.w.sum(0, keepdim=True)])[:calls]
