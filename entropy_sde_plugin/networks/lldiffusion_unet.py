"""The U-Net of LLDiffusion's denoiser and of its degradation network, with the maps of the encoder merged in.

Module names follow the released network, so that its checkpoints load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from entropy_sde_plugin.networks.lldiffusion_blocks import (
    AttentionBlock,
    ChannelAttention,
    Downsample,
    ResidualBlock,
    TimeEmbedding,
    Upsample,
    group_norm,
)

__all__ = ['LEVELS', 'FuseMode', 'UNet']

FuseMode = Literal['cat', 'cattn']
"""How a map is merged in: by concatenation, or with channel attention after it."""

LEVELS = 6
ATTENTIVE_LEVEL = 2
"""The level, from the finest, whose pixels attend to each other: at a quarter of the height and width."""


class UNet(nn.Module):
    """U-Net that merges in the maps of a :class:`.lldiffusion_encoder.LatentMapEncoder` on its way up.

    Args:
        in_channels: Channels of the input.
        ch: Width, in channels; a multiple of 32.
        ch_mult: Channels of each of the six levels, from the finest, in multiples of ``ch``.
        num_res_blocks: Blocks of each level on the way down; one more on the way up.
        fuse_mode: How the maps are merged in.
        map_widths: Channels of the maps, from the coarsest.
        unused_width: Channels of a channel attention that the released network has and never uses.
        timed: Whether the time is an input.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        ch: int,
        ch_mult: Sequence[int],
        num_res_blocks: int,
        fuse_mode: FuseMode,
        map_widths: Sequence[int],
        unused_width: int,
        timed: bool,
    ) -> None:
        super().__init__()
        time_dim = 4 * ch if timed else 0
        widths = [ch * factor for factor in ch_mult]
        if fuse_mode == 'cattn':
            self.fuse = Fusion({1: unused_width})
        if timed:
            self.temb = TimeEmbedding(ch)
        self.conv_in = nn.Conv2d(in_channels, ch, 3, padding=1)
        self.down = nn.ModuleList(
            DownLevel([before] + [width] * (num_res_blocks - 1), width, time_dim, level)
            for level, (before, width) in enumerate(zip([ch, *widths], widths, strict=False))
        )
        self.mid = Middle(widths[-1], time_dim)
        skips = [ch]
        for width in widths:
            skips += [width] * (num_res_blocks + 1)
        skips.pop()  # nothing lies below the coarsest level
        self.up = UpPath(widths[::-1], skips, num_res_blocks + 1, time_dim, fuse_mode, map_widths)
        last = ch + sum(map_widths[LEVELS - 1 :])
        self.norm_out = group_norm(last)
        self.conv_out = nn.Conv2d(last, 3, 3, padding=1)

    def forward(self, x: Tensor, maps: Sequence[Tensor], time: Tensor | None = None) -> Tensor:
        """Return an image.

        Args:
            x: (B, C, H, W); H and W multiples of 32.
            maps: The encoder's, of images of this size.
            time: Raw times, (B,) or (1,); None where the network takes none.

        Returns:
            (B, 3, H, W).
        """
        embedding = None if time is None else self.temb(time)
        x = self.conv_in(x)
        skips = [x]
        for level in self.down:
            x = level(x, embedding, skips)
        x = self.mid(x)
        x = self.up(x, embedding, skips, maps)
        return self.conv_out(F.silu(self.norm_out(x)))


class Level(nn.Module):
    """Blocks at one resolution, each followed by attention where the level has it.

    Args:
        in_widths: Channels that each block takes.
        width: Channels that all return.
        time_dim: Size of the embedding of the time, as the blocks take it.
        level: Which one, from the finest.
    """

    def __init__(self, in_widths: Sequence[int], width: int, time_dim: int, level: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(before, width, time_dim) for before in in_widths)
        self.attn = nn.ModuleList(AttentionBlock(width) for _ in in_widths if level == ATTENTIVE_LEVEL)

    def pass_block(self, index: int, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Pass a block and the attention after it."""
        x = self.block[index](x, embedding)
        return self.attn[index](x) if self.attn else x


class DownLevel(Level):
    """A level on the way down; its outputs, and its halved last one, are appended to the skip connections."""

    def __init__(self, in_widths: Sequence[int], width: int, time_dim: int, level: int) -> None:
        super().__init__(in_widths, width, time_dim, level)
        if level < LEVELS - 1:
            self.downsample = Downsample(width)

    def forward(self, x: Tensor, embedding: Tensor | None, skips: list[Tensor]) -> Tensor:
        for index in range(len(self.block)):
            x = self.pass_block(index, x, embedding)
            skips.append(x)
        if hasattr(self, 'downsample'):
            x = self.downsample(x)
            skips.append(x)
        return x


class Middle(nn.Module):
    """The bottom of the U. Its blocks have weights for the time and, as released, do not get it."""

    def __init__(self, width: int, time_dim: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(width, width, time_dim)
        self.attn_1 = AttentionBlock(width)
        self.block_2 = ResidualBlock(width, width, time_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x, None)), None)


class UpLevel(Level):
    """A level on the way up; each block takes one skip connection."""

    def __init__(self, in_widths: Sequence[int], width: int, time_dim: int, level: int) -> None:
        super().__init__(in_widths, width, time_dim, level)
        if level > 0:
            self.upsample = Upsample(width)

    def forward(self, x: Tensor, embedding: Tensor | None, skips: list[Tensor]) -> Tensor:
        for index in range(len(self.block)):
            x = self.pass_block(index, torch.cat([x, skips.pop()], dim=1), embedding)
        return self.upsample(x) if hasattr(self, 'upsample') else x


class UpPath(nn.Module):
    """The way up, from the coarsest level (0) to the finest (5).

    The encoder's maps are merged in on the way: map i before level i + 1, and the sixth map after the last level.

    Args:
        widths: Channels of the levels, from the coarsest.
        skips: Channels of the skip connections, in the order in which they were made.
        blocks: Number of blocks of each level.
        time_dim: Size of the embedding of the time, as the blocks take it.
        fuse_mode: How the maps are merged in.
        map_widths: Channels of the maps.
    """

    def __init__(
        self,
        widths: Sequence[int],
        skips: Sequence[int],
        blocks: int,
        time_dim: int,
        fuse_mode: FuseMode,
        map_widths: Sequence[int],
    ) -> None:
        super().__init__()
        left = list(skips)
        entering = [before + after for before, after in zip([widths[0], *widths], _per_level(map_widths), strict=False)]
        for index, (first, width) in enumerate(zip(entering, widths, strict=True)):
            in_widths = [before + left.pop() for before in [first] + [width] * (blocks - 1)]
            self.add_module(str(index), UpLevel(in_widths, width, time_dim, LEVELS - 1 - index))
        if fuse_mode == 'cattn':
            # Those of levels that no map enters are not used; the released checkpoints hold them.
            self.fuse = Fusion(dict(enumerate(entering)))

    def forward(self, x: Tensor, embedding: Tensor | None, skips: list[Tensor], maps: Sequence[Tensor]) -> Tensor:
        for index in range(LEVELS):
            if 0 < index <= len(maps):
                x = torch.cat([x, maps[index - 1]], dim=1)
                if hasattr(self, 'fuse'):
                    x = self.fuse.cattns[str(index)](x)
            x = self.get_submodule(str(index))(x, embedding, skips)
        return torch.cat([x, *maps[LEVELS - 1 :]], dim=1)


def _per_level(map_widths: Sequence[int]) -> list[int]:
    """Channels of the map that enters in front of each level; 0 for none."""
    return [0, *map_widths[: LEVELS - 1], *[0] * (LEVELS - 1 - len(map_widths))]


class Fusion(nn.Module):
    """Channel attentions by the number of their level, in a module of their own for the sake of their names."""

    def __init__(self, widths: dict[int, int]) -> None:
        super().__init__()
        self.cattns = nn.ModuleDict({str(level): ChannelAttention(width) for level, width in widths.items()})
