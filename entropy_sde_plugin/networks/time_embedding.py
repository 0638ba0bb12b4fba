"""The diffusion time as an input of a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ['SinusoidalEmbedding']


class SinusoidalEmbedding(nn.Module):
    """Sines, then cosines, of the time at geometrically spaced frequencies: (B,) -> (B, dim).

    Example:
        >>> SinusoidalEmbedding(4)(torch.tensor([0.0])).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, time: Tensor) -> Tensor:
        half = self.dim // 2
        ladder = torch.arange(half, device=time.device, dtype=torch.float32)
        angles = time.float()[:, None] * torch.exp(ladder * (-math.log(10000) / (half - 1)))
        return torch.cat([angles.sin(), angles.cos()], dim=1)
