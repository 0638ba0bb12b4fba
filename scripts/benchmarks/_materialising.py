"""The spatial entropy as the formula reads: every bin of every window in memory at once, gradient by autograd.

What `bench_loss.py` measures the engines against: the same definition, float32, in two ways. `lean` is as good as this
manner gets: the stable kernel, one product of kernels an image, depthwise convolutions. `as_released` works as the
method's published code does: kernels as sigmoid(u) (1 - sigmoid(u)), which cancel to 0 in float32 and make Hellinger
gradients NaN, densities by broadcasting over all channels and pairs of bins, windows by pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def lean(
    pred: Tensor,
    target: Tensor,
    *,
    distance: str,
    levels: int,
    windows: Sequence[int],
    neighbour_normalisation: str,
    bandwidth: float = 0.5,
) -> Tensor:
    """Mean distance of two images (B, C, H, W), with equal neighbour weights; see `definition` for the formula."""
    products = []
    for image in (pred, target):
        v = (image.clamp(0, 1) * (levels - 1)).flatten(0, 1)
        v_nbr = _neighbour_means(v, image.shape[1] if neighbour_normalisation == 'all_channels' else 1)
        a, b = (_kernel(x, levels, bandwidth) for x in (v, v_nbr))
        products.append((a[:, :, None] * b[:, None]).flatten(1, 2) / (0.5 * bandwidth))  # (B C, L^2, H, W)
    total = pred.new_zeros(())
    for window in windows:
        p, q = (_window_means(product, window) for product in products)
        if distance == 'hellinger':
            squared = ((p + 1e-30).sqrt() - (q + 1e-30).sqrt()).square().sum(1)
            total = total + (squared / (squared + 1e-10).sqrt()).mean() / math.sqrt(2)
        elif distance == 'relative_entropy':
            total = total + (q * ((q + 1e-10).log() - (p + 1e-10).log())).sum(1).mean()
        else:
            total = total - (q * (p + 1e-30).log()).sum(1).mean()
    return total / len(windows)


def as_released(
    pred: Tensor,
    target: Tensor,
    *,
    distance: str,
    levels: int,
    windows: Sequence[int],
    neighbour_normalisation: str,
    bandwidth: float = 0.5,
) -> Tensor:
    """The same as `lean`, in the published code's manner; for its time and memory, not for its numbers."""
    bins = torch.arange(levels, dtype=pred.dtype, device=pred.device)[:, None, None, None]
    kernels = []
    for image in (pred, target):
        v = image.clamp(0, 1) * (levels - 1)
        v_nbr = _neighbour_means(v.flatten(0, 1), v.shape[1] if neighbour_normalisation == 'all_channels' else 1)
        squashed = [torch.sigmoid((bins - x[:, None]) / bandwidth) for x in (v, v_nbr.view_as(v))]
        kernels.append([s * (1 - s) for s in squashed])  # (B, L, C, H, W)
    total = pred.new_zeros(())
    for window in windows:
        densities = []
        for a, b in kernels:
            products = (a[:, :, None] * b[:, None]).flatten(1, 2)  # (B, L^2, C, H, W)
            means = functional.avg_pool2d(products.flatten(1, 2), window, stride=1, padding=window // 2)
            densities.append(means.view_as(products) / (0.5 * bandwidth))
        p, q = densities
        if distance == 'hellinger':
            total = total + ((p.sqrt() - q.sqrt()) ** 2).sum(1).sqrt().mean() / math.sqrt(2)
        elif distance == 'relative_entropy':
            total = total + (q * ((q + 1e-10).log() - (p + 1e-10).log())).sum(1).mean()
        else:
            total = total - (q * (p + 1e-30).log()).sum(1).mean()
    return total / len(windows)


def _neighbour_means(v: Tensor, divisor: int) -> Tensor:
    """Mean of the eight neighbours in planes (N, H, W), divided by ``divisor``; zeros outside."""
    weights = torch.ones(1, 1, 3, 3, device=v.device)
    weights[..., 1, 1] = 0
    return functional.conv2d(v[:, None], weights / (8 * divisor), padding=1)[:, 0]


def _window_means(products: Tensor, window: int) -> Tensor:
    """Mean over the window around each pixel, zeros outside; depthwise convolution is PyTorch's fastest for it."""
    if window == 1:
        return products
    weights = products.new_full((products.shape[1], 1, window, window), 1 / window**2)
    return functional.conv2d(products, weights, padding=window // 2, groups=products.shape[1])


def _kernel(v: Tensor, levels: int, bandwidth: float) -> Tensor:
    bins = torch.arange(levels, dtype=v.dtype, device=v.device)[:, None, None]
    e = torch.exp(-(bins - v[:, None]).abs() / bandwidth)
    return e / (1 + e) ** 2
