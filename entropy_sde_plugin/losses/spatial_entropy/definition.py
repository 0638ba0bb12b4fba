"""The definition of the spatial entropy, which every engine implements.

An engine computes on planes instead of images: intensities and neighbour means in level units. Clamping, scaling and
the neighbour convolution are outside it, in ordinary differentiable PyTorch (`functional.py`).

Definition (arXiv 2404.09735, section 3.2, and its released code), for one plane with pixels x, bins i, j = 0 ... L-1::

    K(u)      = sigmoid(u) sigmoid(-u) = e / (1 + e)^2,  e = exp(-|u|)
    A(x, i)   = K((i - v(x)) / h)              B(x, j) = K((j - v_nbr(x)) / h)
    p_w(x, i, j) = prefactor / w^2 * sum over the w x w window around x of A(., i) B(., j)    (outside the plane: 0)

and q_w likewise from the target's ``w`` and ``w_nbr``. With ``normalise`` each pixel's kernels are divided by their
sums over the bins first, A(x, i) / sum_k A(x, k) and B likewise (evaluate it as a softmax of log K: far outside the
bins the sums underflow). The distance at a pixel, summed over the L x L bins:

* ``relative_entropy``: sum of q (ln(q + RELATIVE_ENTROPY_EPS) - ln(p + RELATIVE_ENTROPY_EPS))
* ``cross_entropy``: -sum of q ln(p + DENSITY_FLOOR)
* ``hellinger``: S / sqrt(S + root_epsilon) / sqrt(2) with S = sum of (sqrt(p) - sqrt(q))^2. It differs from
  sqrt(S / 2) by less than root_epsilon / S relatively, is 0 with gradient 0 where the windows are identical, and smooth
  there. Where p is 0 its square root has no derivative; engines add DENSITY_FLOOR inside both roots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

__all__ = ['DENSITY_FLOOR', 'DISTANCES', 'RELATIVE_ENTROPY_EPS', 'EntropySpec', 'SpatialEntropyEngine']

DISTANCES = ('hellinger', 'relative_entropy', 'cross_entropy')

#: Added to both densities inside the logarithms of the relative entropy; part of the published definition.
RELATIVE_ENTROPY_EPS = 1e-10

#: Added to densities whose logarithm or square root is taken elsewhere; keeps underflowed float32 bins finite.
DENSITY_FLOOR = 1e-30


@dataclass(frozen=True)
class EntropySpec:
    """The mathematical options of one call; already checked.

    Attributes:
        distance: One of `DISTANCES`.
        levels: Number of bins L per axis, at least 2.
        windows: Distinct odd side lengths; the result is the mean over them.
        bandwidth: Kernel width h in levels, positive.
        prefactor: Factor of the densities: 1 / (0.5 h) as published, 1 with ``normalise``.
        normalise: Divide each pixel's kernels by their sums over the bins.
        root_epsilon: Smooths the Hellinger distance's root at 0; positive.
    """

    distance: str
    levels: int
    windows: tuple[int, ...]
    bandwidth: float
    prefactor: float
    normalise: bool = False
    root_epsilon: float = 1e-10


class SpatialEntropyEngine(Protocol):
    """A function that computes the distance of whole planes and, in the same call, its gradient."""

    def __call__(
        self, v: Tensor, v_nbr: Tensor, w: Tensor, w_nbr: Tensor, spec: EntropySpec, need_gradient: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Compare the predicted planes with the target's.

        Args:
            v: The prediction's intensities in level units, (N, H, W), contiguous, float32 or float64. In range they
                lie in 0 ... L-1; any finite value is allowed.
            v_nbr: Its weighted neighbour means, like ``v``.
            w: The target's intensities, like ``v``.
            w_nbr: The target's neighbour means, like ``v``.
            spec: The options.
            need_gradient: Whether to return gradients.

        Returns:
            ``(distance, grad_v, grad_v_nbr)``: the distance per plane, averaged over pixels and windows, (N,); and the
            derivatives of each plane's distance with respect to ``v`` and ``v_nbr``, (N, H, W) each, or None twice.
            The dtype is that of ``v``. No autograd history.
        """
        ...
