"""The distances' terms, bin by bin, on the window sums of kernel products.

Window sums are w^2 (density + offset), so the constants here contain the factor w^2.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.definition import DENSITY_FLOOR, RELATIVE_ENTROPY_EPS, EntropySpec

__all__ = ['WindowTerms', 'window_terms']


class WindowTerms(Protocol):
    """One distance. The distance at a pixel is ``value`` of the sum of the terms of all bins.

    Attributes:
        offset: What is added to both densities.
        one_pass: Whether a term's derivative does not depend on the sum over all bins.
    """

    offset: float
    one_pass: bool

    def split(self, p: Tensor, q: Tensor, window: int, ratio: Tensor, terms: Tensor) -> None:
        """Compute the terms bin by bin.

        Args:
            p: Window sums of the prediction.
            q: Window sums of the target, shaped like ``p``.
            window: Side of the window.
            ratio: Like ``p``, overwritten with the terms' derivatives with respect to ``p``, up to the factor `slope`.
            terms: Like ``p``, overwritten with the terms.
        """
        ...

    def value(self, total: Tensor, window: int) -> Tensor:
        """Distance at each pixel from the sum of its terms."""
        ...

    def slope(self, total: Tensor, window: int) -> Tensor | float:
        """Factor that makes the derivatives of `split` those of the distance."""
        ...


def window_terms(spec: EntropySpec) -> WindowTerms:
    """Return the terms of the distance that ``spec`` names."""
    if spec.distance == 'hellinger':
        return _Hellinger(spec.root_epsilon)
    return _Logarithmic(relative=spec.distance == 'relative_entropy')


class _Hellinger:
    offset = DENSITY_FLOOR
    one_pass = False

    def __init__(self, root_epsilon: float) -> None:
        self.root_epsilon = root_epsilon

    def split(self, p: Tensor, q: Tensor, window: int, ratio: Tensor, terms: Tensor) -> None:
        # (sqrt(p) - sqrt(q))^2 = p (sqrt(q / p) - 1)^2 takes one root, not two, and is exactly 0 for identical windows.
        torch.div(p, q, out=ratio).rsqrt_().sub_(1)
        torch.mul(p, ratio, out=terms).mul_(ratio)

    def value(self, total: Tensor, window: int) -> Tensor:
        return total * (total + self.root_epsilon * window**2).rsqrt_() / (math.sqrt(2) * window)

    def slope(self, total: Tensor, window: int) -> Tensor:
        # d/ds of s (s + eps)^(-1/2) = (r + eps r^3) / 2 with r = (s + eps)^(-1/2); d/dp of a term is -(sqrt(q/p) - 1)
        epsilon = self.root_epsilon * window**2
        root = (total + epsilon).rsqrt_()
        return root.addcmul(root, root.square().mul_(epsilon)).mul_(-1 / (2 * math.sqrt(2) * window))


class _Logarithmic:
    """Relative entropy, q ln((q + eps) / (p + eps)), and cross entropy, -q ln(p + floor)."""

    one_pass = True

    def __init__(self, relative: bool) -> None:
        self.relative = relative
        self.offset = RELATIVE_ENTROPY_EPS if relative else DENSITY_FLOOR

    def split(self, p: Tensor, q: Tensor, window: int, ratio: Tensor, terms: Tensor) -> None:
        if self.relative:
            torch.div(q, p, out=ratio)
        else:
            torch.reciprocal(p, out=ratio).mul_(window**2)
        torch.log(ratio, out=terms)
        torch.sub(q, self.offset * window**2, out=ratio)
        terms *= ratio
        ratio /= p

    def value(self, total: Tensor, window: int) -> Tensor:
        return total / window**2

    def slope(self, total: Tensor, window: int) -> float:
        return -1 / window**2
