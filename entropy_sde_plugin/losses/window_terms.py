"""The distances' terms, bin by bin, on the window sums of kernel products.

Window sums are w^2 times a density plus offset, so the constants here carry the w^2.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from entropy_sde_plugin.losses.engine_contract import DENSITY_FLOOR, RELATIVE_ENTROPY_EPS, EntropySpec
from entropy_sde_plugin.losses.window_sums import Scratch

__all__ = ['WindowTerms', 'window_terms']


class WindowTerms(Protocol):
    """One distance. The distance at a pixel is ``value`` of the sum of the terms of all bins.

    Attributes:
        offset: What is added to both densities.
        one_pass: Whether a term's derivative can be had before the sum over all bins is known.
    """

    offset: float
    one_pass: bool

    def summed(self, sums: Tensor, window: int, tiles: int, scratch: Scratch) -> tuple[Tensor, Tensor]:
        """Add the terms of a tile's bins up.

        Args:
            sums: Window sums, (2 t m, ...): the prediction's for the m bins of t tiles, then the target's.
            window: Side of the window.
            tiles: t.
            scratch: Where buffers come from.

        Returns:
            The sums over the bins (t, outputs); and the terms' derivatives by the prediction's window sums, up to the
            factor `slope`, (t m, ...) in a buffer of ``scratch``.
        """
        ...

    def value(self, total: Tensor, window: int) -> Tensor:
        """Distance at each pixel from the sum of its terms."""
        ...

    def slope(self, total: Tensor, window: int) -> Tensor | float:
        """Factor that makes the derivatives of `summed` those of the distance."""
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

    def summed(self, sums: Tensor, window: int, tiles: int, scratch: Scratch) -> tuple[Tensor, Tensor]:
        rows = len(sums) // 2
        # The same operations on both, and the difference of the roots itself: identical windows must give exactly 0.
        roots = torch.sqrt(sums, out=scratch.take(*sums.shape))
        root_p, square = roots[:rows], roots[rows:]
        ratio = torch.sub(root_p, square, out=scratch.take(rows, *sums.shape[1:]))
        torch.mul(ratio, ratio, out=square)
        total = square.view(tiles, rows // tiles, -1).sum(1)
        ratio /= root_p
        scratch.give(roots)
        return total, ratio

    def value(self, total: Tensor, window: int) -> Tensor:
        return total * (total + self.root_epsilon * window**2).rsqrt_() / (math.sqrt(2) * window)

    def slope(self, total: Tensor, window: int) -> Tensor:
        # d/ds of s (s + eps)^(-1/2) = (r + eps r^3) / 2 with r = (s + eps)^(-1/2)
        epsilon = self.root_epsilon * window**2
        root = (total + epsilon).rsqrt_()
        return root.square().mul_(epsilon).add_(1).mul_(root).mul_(1 / (2 * math.sqrt(2) * window))


class _Logarithmic:
    """Relative entropy, q ln((q + eps) / (p + eps)), and cross entropy, -q ln(p + floor)."""

    one_pass = True

    def __init__(self, relative: bool) -> None:
        self.relative = relative
        self.offset = RELATIVE_ENTROPY_EPS if relative else DENSITY_FLOOR

    def summed(self, sums: Tensor, window: int, tiles: int, scratch: Scratch) -> tuple[Tensor, Tensor]:
        rows = len(sums) // 2
        p, q = sums[:rows], sums[rows:]
        logarithms = scratch.take(*sums.shape)
        log_p, terms = logarithms[:rows], logarithms[rows:]
        if self.relative:
            torch.log(sums, out=logarithms)
        else:
            torch.log(p, out=log_p)
            terms.fill_(math.log(window**2))
        terms -= log_p
        ratio = torch.sub(q, self.offset * window**2, out=scratch.take(*q.shape))
        terms *= ratio
        total = terms.view(tiles, rows // tiles, -1).sum(1)
        ratio /= p
        scratch.give(logarithms)
        return total, ratio

    def value(self, total: Tensor, window: int) -> Tensor:
        return total / window**2

    def slope(self, total: Tensor, window: int) -> float:
        return -1 / window**2
