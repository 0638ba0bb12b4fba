"""The wanted brightness as an input of a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from entropy_sde_plugin.utils.luma import mean_luma

__all__ = ['BrightnessEmbedding', 'takes_brightness', 'with_brightness']


def takes_brightness(network: Callable[..., Tensor]) -> bool:
    """Return whether a network has the input ``brightness``: one that has it says so in ``takes_brightness``."""
    return getattr(network, 'takes_brightness', False)


def with_brightness(network: Callable[..., Tensor], wanted: Tensor) -> Callable[..., Tensor]:
    """Bind the wanted brightness to a network that takes one; any other is returned as it is.

    Args:
        network: (x, cond, time) -> prediction.
        wanted: Mean luma of each result, (B,); 0 leaves it to the network.
    """
    return partial(network, brightness=wanted) if takes_brightness(network) else network


class BrightnessEmbedding(nn.Module):
    """Embeds the brightness that is wanted, and that of the dark image: (B, 3, H, W), (B,) -> (B, out).

    The wanted brightness may be left open: the network then chooses it. The dark image's brightness tells a convolution
    what lies outside its window. The last layer starts at zero, so that a network trained without this input gives the
    same results at first.

    Args:
        frequencies: Number of sines and cosines of each of the two values, even and at least 4.
        out: Numbers in the embedding.

    Example:
        >>> embed = BrightnessEmbedding(16, out=64)
        >>> tuple(embed(torch.rand(2, 3, 8, 8), torch.tensor([0.4, 0.0])).shape)
        (2, 64)
    """

    def __init__(self, frequencies: int, out: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.hidden = nn.Linear(2 * frequencies + 1, out)
        self.out = nn.Linear(out, out)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, cond: Tensor, brightness: Tensor) -> Tensor:
        """Embed.

        Args:
            cond: Dark images, (B, 3, H, W) in [0, 1].
            brightness: Wanted brightness of each image in (0, 1], (B,); 0 leaves it to the network.
        """
        given = (brightness > 0)[:, None]
        wanted = _waves(100 * brightness, self.frequencies)
        # A dark image's brightness spans two orders of magnitude: its logarithm says more.
        present = _waves(-10 * torch.log2(mean_luma(cond) + 2**-10), self.frequencies)
        features = torch.cat([wanted * given, given, present], dim=1)
        return self.out(nn.functional.silu(self.hidden(features)))


def _waves(values: Tensor, count: int) -> Tensor:
    """Sines and cosines of values in 0…100 at wavelengths from 6 to 600: (B,) -> (B, count)."""
    ladder = torch.linspace(0, -2, count // 2, device=values.device, dtype=torch.float32)
    angles = values.float()[:, None] * 10**ladder
    return torch.cat([angles.sin(), angles.cos()], dim=1)
