"""The mass of the densities over their bins, in O(pixels).

Kernels extend beyond the first and last bin, so the mass of a density depends on its intensities: 1 inside the range,
about 0.56 where everything is black or white. It is separable: the sum of p over all bins, at a pixel, is
prefactor / w^2 times the sum over the window of (sum_i A_i) (sum_j B_j).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec

__all__ = ['mean_mass']


def mean_mass(v: Tensor, v_nbr: Tensor, spec: EntropySpec) -> Tensor:
    """Mass of the densities, averaged over pixels and windows.

    Args:
        v: Intensities in level units, (N, H, W).
        v_nbr: Neighbour means, like ``v``.
        spec: The options; without ``normalise``.

    Returns:
        (N,), differentiable.
    """
    height, width = v.shape[1:]
    # Number of windows that contain a pixel, as a share of w^2: below 1 near the image's border.
    coverage = v.new_zeros(height, width)
    for window in spec.windows:
        down, across = (_windows_around(n, window, v) for n in (height, width))
        coverage += down[:, None] * across / window**2
    products = _KernelSum.apply(v, spec)[0] * _KernelSum.apply(v_nbr, spec)[0]
    return spec.prefactor / len(spec.windows) * (coverage * products).mean((1, 2))


def _windows_around(length: int, window: int, like: Tensor) -> Tensor:
    """Number of windows that contain each position and whose centre lies in 0 ... length-1, along one axis."""
    position = torch.arange(length, device=like.device)
    reach = window // 2
    return ((position + reach).clamp(max=length - 1) - (position - reach).clamp(min=0) + 1).to(like.dtype)


class _KernelSum(torch.autograd.Function):
    """Sum over the bins of K((i - v) / h); keeps the derivative instead of the kernels."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, spec: EntropySpec) -> tuple[Tensor, Tensor]:
        """Sum the bins near each value; those farther than 40 bandwidths add nothing in either precision."""
        last = spec.levels - 1
        reach = min(math.ceil(40 * spec.bandwidth), last)
        nearest = v.clamp(0, last).round()
        total, slope = torch.zeros_like(v), torch.zeros_like(v)
        for offset in range(-reach, reach + 1):
            bin_ = nearest + offset
            u = (bin_ - v) / spec.bandwidth
            e = torch.exp(-u.abs())
            kernel = e / (1 + e).square() * ((bin_ >= 0) & (bin_ <= last))
            total += kernel
            slope += kernel * torch.tanh(u / 2)
        return total, slope / spec.bandwidth

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, EntropySpec], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, None]:
        """Scale the kept derivative."""
        (slope,) = ctx.saved_tensors
        return upstream * slope, None
