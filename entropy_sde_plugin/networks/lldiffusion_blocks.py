"""Blocks of LLDiffusion's U-Nets: those of DDPM (arXiv 2006.11239, appendix B), and channel attention.

Module names follow the released network, so that its checkpoints load strictly.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from entropy_sde_plugin.networks.time_embedding import SinusoidalEmbedding

__all__ = [
    'GROUPS',
    'AttentionBlock',
    'ChannelAttention',
    'Downsample',
    'ResidualBlock',
    'TimeEmbedding',
    'Upsample',
    'group_norm',
]

GROUPS = 32
"""Groups of the norms: every width is a multiple of it."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Return the norm of the U-Nets: (B, C, H, W) -> (B, C, H, W), C a multiple of 32."""
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


class TimeEmbedding(nn.Module):
    """Sinusoids of the time through two linear layers, (B,) -> (B, 4 ch)."""

    def __init__(self, ch: int) -> None:
        super().__init__()
        self.sinusoids = SinusoidalEmbedding(ch)
        self.dense = nn.ModuleList([nn.Linear(ch, 4 * ch), nn.Linear(4 * ch, 4 * ch)])

    def forward(self, time: Tensor) -> Tensor:
        first, second = self.dense
        return second(F.silu(first(self.sinusoids(time))))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added, (B, C_in, H, W) -> (B, C_out, H, W).

    Args:
        in_channels: C_in.
        out_channels: C_out.
        time_dim: Length of an embedded time; 0 for a network without one.
    """

    def __init__(self, in_channels: int, out_channels: int, time_dim: int) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        if time_dim:
            self.temb_proj = nn.Linear(time_dim, out_channels)
        self.norm2 = group_norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        if embedding is not None:
            y = y + self.temb_proj(F.silu(embedding))[:, :, None, None]
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (self.nin_shortcut(x) if hasattr(self, 'nin_shortcut') else x)


class AttentionBlock(nn.Module):
    """Attention of every pixel to all others, one head, added to the input: (B, C, H, W) -> (B, C, H, W).

    The fused kernels of PyTorch compute it exactly, and keep no matrix of scores, (H W)² numbers.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # The kernels need the channels last in memory, and a dimension for the heads.
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        query, key, value = (_pointwise(pixels, conv)[:, None] for conv in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(query, key, value)[:, 0]
        return x + _pointwise(mixed, self.proj_out).transpose(1, 2).reshape(x.shape)


def _pointwise(pixels: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution on pixels, (B, H W, C)."""
    return F.linear(pixels, conv.weight.flatten(1), conv.bias)


class Downsample(nn.Module):
    """Half the height and width by a convolution; zeros continue the image to the right and downwards only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the height and width: every pixel repeated, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode='nearest'))


class ChannelAttention(nn.Module):
    """Weighs every channel by a function of the means of all channels: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 16, 1),
            nn.ReLU(),
            nn.Conv2d(channels // 16, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x)
