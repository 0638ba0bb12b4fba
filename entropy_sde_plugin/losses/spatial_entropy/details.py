"""Details of an image: what is left without its local mean."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ['without_local_mean']


def without_local_mean(image: Tensor, window: int) -> Tensor:
    """Subtract from every pixel the mean of the window around it; at the border, of the pixels that there are.

    Args:
        image: (B, C, H, W), float32 or float64.
        window: Odd side of the window, in pixels.

    Returns:
        Differences of either sign, of the same shape. Where the image is even, they are 0.

    Example:
        >>> import torch
        >>> without_local_mean(torch.tensor([[[[0.0, 3.0, 0.0]]]]), 3).tolist()
        [[[[-1.5, 2.0, -1.5]]]]
    """
    mean = image
    for sides in ((window, 1), (1, window)):  # one axis after the other: 2 w operations a pixel in place of w²
        padding = tuple(side // 2 for side in sides)
        mean = functional.avg_pool2d(mean, sides, stride=1, padding=padding, count_include_pad=False)
    return image - mean
