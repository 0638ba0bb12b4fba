"""Padding of images to the sizes that a network takes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['reflect_to']


def reflect_to(images: Tensor, height: int, width: int) -> Tensor:
    """Continue images to the right and downwards by reflection, again and again where they are too small for once.

    Args:
        images: (B, C, H, W), H and W at least 1.
        height: Rows of the result, at least H.
        width: Columns of the result, at least W.

    Returns:
        (B, C, height, width); the images themselves where nothing is added.

    Example:
        >>> reflect_to(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 1, 8).flatten().tolist()
        [1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """
    for dim, size in ((2, height), (3, width)):
        if size != images.shape[dim]:
            images = images.index_select(dim, _mirrored(images.shape[dim], size, images.device))
    return images


def _mirrored(length: int, size: int, device: torch.device) -> Tensor:
    """The indices 0, 1, …, length - 1, length - 2, …, 0, 1, …: as many as ``size``."""
    steps = torch.arange(size, device=device)
    last = torch.full_like(steps, length - 1)  # a tensor, which the export to ONNX asks for
    return last - (last - steps % (2 * last).clamp(min=1)).abs()
