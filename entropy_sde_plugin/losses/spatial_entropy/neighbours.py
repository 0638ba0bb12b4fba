"""Weighted mean of the eight neighbours: the second axis of the spatial entropy's densities (paper, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError, suggestion

__all__ = ['NEIGHBOUR_NORMALISATIONS', 'check_neighbour_weights', 'draw_neighbour_weights', 'neighbour_mean']

NEIGHBOUR_WEIGHTS = ('random', 'mean', 'legacy_normal')
NEIGHBOUR_NORMALISATIONS = ('per_channel', 'all_channels')


def check_neighbour_weights(kind: str) -> None:
    """Raise an InputError unless `draw_neighbour_weights` knows ``kind``."""
    if kind not in NEIGHBOUR_WEIGHTS:
        message = f"neighbour_weights: unknown '{kind}'. {suggestion(str(kind), NEIGHBOUR_WEIGHTS)}"
        raise InputError(message, option='neighbour_weights')


def draw_neighbour_weights(kind: str, generator: torch.Generator | None = None) -> Tensor:
    """Draw the 3 x 3 weights of one call; their centre is 0 and the eight others are normalised later.

    Args:
        kind: ``random``: independent and uniform on (0, 1], so the mean is a convex combination of the neighbours.
            ``mean``: all equal. ``legacy_normal``: standard normal, as in the released code; their sum can be near
            0, so that some draws amplify the mean more than a hundredfold.
        generator: CPU generator; None uses PyTorch's default generator. Processes with the same state draw the same
            weights.

    Returns:
        (3, 3) float32 on the CPU.

    Raises:
        InputError: Unknown ``kind``.
    """
    check_neighbour_weights(kind)
    if kind == 'random':
        weights = 1 - torch.rand(3, 3, generator=generator, dtype=torch.float32)
    elif kind == 'mean':
        weights = torch.ones(3, 3, dtype=torch.float32)
    else:
        weights = torch.randn(3, 3, generator=generator, dtype=torch.float32)
    weights[1, 1] = 0
    return weights


def neighbour_mean(v: Tensor, weights: Tensor, normalisation: str) -> Tensor:
    """Average the eight neighbours of every pixel; neighbours outside the image count as 0 with their weight.

    A cross-correlation written as shifted sums, since a convolution may run in TF32 on a GPU and lose float32
    accuracy.

    Args:
        v: (B, C, H, W).
        weights: Nine values, any shape; row-major, the centre is ignored.
        normalisation: ``per_channel``: divide the weights by their sum. ``all_channels``: by C times their sum, as
            the released code does, so that the mean comes out C times too small.

    Returns:
        (B, C, H, W), differentiable in ``v``.
    """
    *_, channels, height, width = v.shape
    kernel = weights.to(v, non_blocking=True).flatten()  # a blocking copy would wait for a GPU to finish its work
    kernel = torch.cat([kernel[:4], kernel[5:]])
    kernel = kernel / kernel.sum()
    if normalisation == 'all_channels':
        kernel = kernel / channels
    padded = nn.functional.pad(v, (1, 1, 1, 1))
    offsets = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    shifted = [padded[..., y : y + height, x : x + width] for y, x in offsets]
    mean = kernel[0] * shifted[0]
    for weight, plane in zip(kernel[1:].unbind(), shifted[1:], strict=True):
        mean = torch.addcmul(mean, weight, plane)
    return mean
