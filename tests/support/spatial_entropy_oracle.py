"""The spatial entropy straight from its formula: float64, every bin of every window held at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec, SpatialEntropyEngine


def level_planes(
    image: Tensor,
    levels: int,
    weights: Tensor | None = None,
    all_channels: bool = False,
    intensity_range: Sequence[float] = (0, 1),
    clamp: bool = True,
) -> tuple[Tensor, Tensor]:
    """Planes (B C, H, W) of an image in level units and of its neighbour means, by a convolution."""
    low, high = intensity_range
    x = image.double()
    if clamp:
        x = x.clamp(low, high)
    v = ((x - low) / (high - low) * (levels - 1)).flatten(0, 1)
    kernel = torch.ones(3, 3, dtype=torch.float64) if weights is None else weights.double().view(3, 3).clone()
    kernel[1, 1] = 0
    kernel = kernel / kernel.sum() / (image.shape[1] if all_channels else 1)
    return v, functional.conv2d(v[:, None], kernel[None, None], padding=1)[:, 0]


def densities(
    v: Tensor, v_nbr: Tensor, window: int, levels: int, bandwidth: float, prefactor: float, normalise: bool
) -> Tensor:
    """Density over the bins of the window around each pixel, (N, L, L, H, W)."""
    bins = torch.arange(levels, dtype=torch.float64)[:, None, None]

    def kernels(x: Tensor) -> Tensor:
        u = (bins - x[:, None]) / bandwidth
        logarithm = functional.logsigmoid(u) + functional.logsigmoid(-u)
        return logarithm.softmax(1) if normalise else logarithm.exp()

    products = kernels(v)[:, :, None] * kernels(v_nbr)[:, None]
    windows = functional.pad(products, [window // 2] * 4).unfold(3, window, 1).unfold(4, window, 1)
    return prefactor / window**2 * windows.sum((-1, -2))


def plane_distance(
    v: Tensor,
    v_nbr: Tensor,
    w: Tensor,
    w_nbr: Tensor,
    *,
    distance: str,
    levels: int,
    windows: Sequence[int],
    bandwidth: float = 0.5,
    prefactor: float | None = None,
    normalise: bool = False,
    root_epsilon: float = 1e-10,
    generalised: bool = False,
) -> Tensor:
    """Mean over pixels and windows, (N,); differentiable."""
    prefactor = 1 / (0.5 * bandwidth) if prefactor is None else prefactor
    means = []
    for window in windows:
        p, q = (
            densities(*planes, window, levels, bandwidth, prefactor, normalise) for planes in ((v, v_nbr), (w, w_nbr))
        )
        if distance == 'hellinger':
            squared = ((p + 1e-30).sqrt() - (q + 1e-30).sqrt()).square().sum((1, 2))
            distances = squared / (squared + root_epsilon).sqrt() / math.sqrt(2)
        elif distance == 'relative_entropy':
            distances = (q * ((q + 1e-10).log() - (p + 1e-10).log())).sum((1, 2))
        else:
            distances = -(q * (p + 1e-30).log()).sum((1, 2))
        if generalised:
            distances = distances + (p - q).sum((1, 2))
        means.append(distances.mean((1, 2)))
    return torch.stack(means).mean(0)


def brute_force(planes: list[Tensor], spec: EntropySpec) -> tuple[Tensor, Tensor, Tensor]:
    """Distance of planes (v, v_nbr, w, w_nbr) and its gradients in v and v_nbr, in float64."""
    v, v_nbr, w, w_nbr = (plane.double().clone() for plane in planes)
    v.requires_grad_()
    v_nbr.requires_grad_()
    value = plane_distance(v, v_nbr, w, w_nbr, **dataclasses.asdict(spec))
    return value.detach(), *torch.autograd.grad(value.sum(), (v, v_nbr))


def relative_error(found: Tensor, expected: Tensor, least: float = 0.0) -> float:
    """Difference relative in the L2 norm; fails where ``found`` is not finite.

    Args:
        found: What to judge.
        expected: What it should be.
        least: Norm to take for a smaller one, where terms of either sign may cancel.
    """
    assert torch.isfinite(found).all()
    return float((found.double() - expected).norm() / expected.norm().clamp(min=least))


def least_norms(planes: list[Tensor], spec: EntropySpec, value: Tensor) -> tuple[float, float, float]:
    """Norms of value and gradients below which the rounding of their terms, not 1e-5, bounds the error.

    They are sums over bins of terms of either sign, which vanish, for one, where the prediction meets the target; the
    error is that of the terms, 1e-6 of their unsigned sum: 16 roundings of 2^-24. With the mass M, the larger sum of p
    or q over the bins, and the Hellinger distance d at a pixel, the unsigned sums are at most

    * M for the logarithmic distances and, |tanh| being at most 1, M / h for their gradients;
    * sqrt(M) for the Hellinger distance d = sqrt(S / 2), and M / (4 d h) for its gradient, of terms
      p (1 - sqrt(q / p)) / (4 d) whose difference is rounded like 1.

    Normalising subtracts a mean from the tanh, at most doubling the gradients' sums.
    """
    v, v_nbr, w, w_nbr = (plane.double() for plane in planes)
    options = (1, spec.levels, spec.bandwidth, spec.prefactor, spec.normalise)
    mass = max(float(densities(*pair, *options).sum((1, 2)).max()) for pair in ((v, v_nbr), (w, w_nbr)))
    hellinger = spec.distance == 'hellinger'
    at_pixel = mass / (4 * max(float(value.min()), spec.root_epsilon**0.5)) if hellinger else mass
    gradient = (2 if spec.normalise else 1) * at_pixel / spec.bandwidth * (len(v) / v[0].numel()) ** 0.5
    value_norm = (mass**0.5 if hellinger else mass) * len(v) ** 0.5
    return 0.1 * value_norm, 0.1 * gradient, 0.1 * gradient


def worst_error(
    engine: SpatialEntropyEngine, planes: list[Tensor], spec: EntropySpec, cancelling: bool = False
) -> float:
    """Largest `relative_error` of an engine's value and gradients; if ``cancelling``, of `least_norms` at least."""
    expected = brute_force(planes, spec)
    least = least_norms(planes, spec, expected[0]) if cancelling else (0.0, 0.0, 0.0)
    errors = []
    for ours, theirs, norm in zip(engine(*planes, spec, True), expected, least, strict=True):
        assert ours is not None
        assert ours.dtype == planes[0].dtype
        errors.append(relative_error(ours, theirs, norm))
    return max(errors)
