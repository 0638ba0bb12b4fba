"""The spatial entropy as the formula reads: every bin of every window in memory at once, gradient by autograd.

What `bench_loss.py` measures the engines against. Same definition and same stable kernel; float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def materialising(
    pred: Tensor,
    target: Tensor,
    *,
    distance: str,
    levels: int,
    windows: Sequence[int],
    neighbour_normalisation: str,
    bandwidth: float = 0.5,
) -> Tensor:
    """Mean distance of two images (B, C, H, W), with equal neighbour weights; see `engine_contract` for the formula."""
    channels = pred.shape[1]
    weights = torch.ones(1, 1, 3, 3, device=pred.device)
    weights[..., 1, 1] = 0
    weights = weights / weights.sum() / (channels if neighbour_normalisation == 'all_channels' else 1)
    products = []
    for image in (pred, target):
        v = (image.clamp(0, 1) * (levels - 1)).flatten(0, 1)
        v_nbr = functional.conv2d(v[:, None], weights, padding=1)[:, 0]
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
