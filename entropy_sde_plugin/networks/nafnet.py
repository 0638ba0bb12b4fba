"""What NAFNets (arXiv 2204.04676) have in common: the layers of a block and the U that the blocks form.

Module names follow the released networks, so that their checkpoints load strictly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from entropy_sde_plugin.errors import InputError, quoted
from entropy_sde_plugin.networks.state_dicts import MOST_BLOCKS

__all__ = ['Affine', 'NAFBlock', 'NAFNet', 'SimpleGate', 'block_counts', 'channel_norm', 'check_sizes']

MOST_LEVELS = 10
"""Images are padded to multiples of 2^levels."""


class SimpleGate(nn.Module):
    """Product of the two halves of the channels (arXiv 2204.04676, eq. 3): the network's only non-linearity."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


def channel_norm(x: Tensor, gain: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """Layer norm over the channels of each pixel, (B, C, H, W) -> (B, C, H, W)."""
    # Channels last is the layout of torch's fused kernel; a channels-last network pays no copy for it.
    return F.layer_norm(x.permute(0, 2, 3, 1), gain.shape, gain, bias, eps).permute(0, 3, 1, 2)


class Affine(NamedTuple):
    """What follows a layer norm: times ``gain``, plus ``shift``, (C,) each."""

    gain: Tensor
    shift: Tensor


class NAFBlock(nn.Module):
    """The layers of a block; a subclass joins its two branches.

    A subclass adds its own layers before these, as the order of parameters is that of an optimiser's state.

    Attributes:
        norm_eps: What the layer norms add to the variance.
    """

    norm_eps: float

    def add_layers(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        """Add the layers for features of some channels, with norms made by ``norm``."""
        wide = 2 * channels
        self.conv1 = nn.Conv2d(channels, wide, 1)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.conv4 = nn.Conv2d(channels, wide, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.norm1 = norm(channels)
        self.norm2 = norm(channels)
        self.sg = SimpleGate()
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def norms_affine(self, *extra: Tensor) -> tuple[Affine, Affine]:
        """Return what follows the norm of the attention branch and of the feed-forward branch, for one image.

        Args:
            extra: What the block is given beside its features.
        """
        raise NotImplementedError

    def attend(self, x: Tensor, normed: Tensor) -> Tensor:
        """Add the attention branch, of the normalised features, to the features."""
        gated = self.sg(self.conv2(self.conv1(normed)))
        return x + self.conv3(gated * self.sca(gated)) * self.beta

    def feed_forward(self, x: Tensor, normed: Tensor) -> Tensor:
        """Add the feed-forward branch, of the normalised features, to the features."""
        return x + self.conv5(self.sg(self.conv4(normed))) * self.gamma


class NAFNet(nn.Module):
    """The U of a NAFNet; a subclass adds its own modules before it, and says what goes in and what comes out.

    Attributes:
        size_multiple: Sides are zero-padded to multiples of it.
        checkpoint_activations: Keep of each block its input alone, and compute the rest again in the backward pass.
    """

    checkpoint_activations = False

    def add_levels(
        self,
        block: Callable[[int], NAFBlock],
        *,
        in_channels: int,
        out_channels: int,
        width: int,
        middle_blk_num: int,
        enc_blk_nums: Sequence[int],
        dec_blk_nums: Sequence[int],
    ) -> None:
        """Add the first and last convolution and the levels between them.

        Args:
            block: Makes a block for features of some channels.
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            width: Channels of the first level, which :func:`check_sizes` checks with all that follow.
            middle_blk_num: Blocks at the bottom.
            enc_blk_nums: Blocks of each level on the way down.
            dec_blk_nums: Blocks of each level on the way up.
        """
        self.size_multiple = 2 ** len(enc_blk_nums)
        self.intro = nn.Conv2d(in_channels, width, 3, padding=1)
        self.ending = nn.Conv2d(width, out_channels, 3, padding=1)

        def level(channels: int, blocks: int) -> nn.ModuleList:
            return nn.ModuleList(block(channels) for _ in range(blocks))

        widths = [width * 2**depth for depth in range(len(enc_blk_nums) + 1)]
        self.encoders = nn.ModuleList(level(c, n) for c, n in zip(widths, enc_blk_nums, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, 2) for c in widths[:-1])
        self.middle_blks = level(widths[-1], middle_blk_num)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1, bias=False), nn.PixelShuffle(2)) for c in reversed(widths[:-1])
        )
        self.decoders = nn.ModuleList(level(c, n) for c, n in zip(reversed(widths[:-1]), dec_blk_nums, strict=True))

    def through_levels(self, x: Tensor, *extra: Tensor) -> Tensor:
        """Return the output for an input (B, in_channels, H, W) of any size: (B, out_channels, H, W).

        Args:
            x: The input.
            extra: What every block is given beside its features.
        """
        height, width = x.shape[-2:]
        x = self.intro(self._pad(x))
        skips = []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            x = self._run(blocks, x, *extra)
            skips.append(x)
            x = down(x)
        x = self._run(self.middle_blks, x, *extra)
        for blocks, up in zip(self.decoders, self.ups, strict=True):
            x = self._run(blocks, up(x) + skips.pop(), *extra)
        return self.ending(x)[..., :height, :width]

    def _run(self, blocks: nn.Module, x: Tensor, *extra: Tensor) -> Tensor:
        for block in blocks.children():
            if self.checkpoint_activations and torch.is_grad_enabled():
                x = checkpoint(block, x, *extra, use_reentrant=False, preserve_rng_state=False)  # it draws nothing
            else:
                x = block(x, *extra)
        return x

    def _pad(self, x: Tensor) -> Tensor:
        """Zero-pad right and bottom to the multiple that the strided levels need."""
        height, width = x.shape[-2:]
        return F.pad(x, (0, -width % self.size_multiple, 0, -height % self.size_multiple))


def check_sizes(width: int, middle_blk_num: int, enc_blk_nums: Sequence[int], dec_blk_nums: Sequence[int]) -> None:
    """Check the sizes of a NAFNet.

    Raises:
        InputError: They make no network.
    """
    if width < 4 or width % 2:
        raise InputError(f'width must be even and at least 4, got {width}.', option='width')
    if len(enc_blk_nums) != len(dec_blk_nums):
        raise InputError(
            f'enc_blk_nums has {len(enc_blk_nums)} levels and dec_blk_nums {len(dec_blk_nums)}: '
            'give both the same number.',
            option='enc_blk_nums',
        )
    if len(enc_blk_nums) > MOST_LEVELS:
        message = f'enc_blk_nums has {len(enc_blk_nums)} levels, more than {MOST_LEVELS}: each halves height and width.'
        raise InputError(message, option='enc_blk_nums')
    blocks = {'enc_blk_nums': enc_blk_nums, 'middle_blk_num': (middle_blk_num,), 'dec_blk_nums': dec_blk_nums}
    for name, counts in blocks.items():
        if not all(0 <= count <= MOST_BLOCKS for count in counts):
            message = f'{name}: a level has 0 to {MOST_BLOCKS} blocks, got {quoted(list(counts))}.'
            raise InputError(message, option=name)


def block_counts(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read ``middle_blk_num``, ``enc_blk_nums`` and ``dec_blk_nums`` off the weights of a NAFNet."""

    def blocks(prefix: str) -> int:
        return len({match[1] for key in state if (match := re.match(rf'{prefix}\.(\d+)\.', key))})

    levels = sum(bool(re.fullmatch(r'downs\.\d+\.weight', key)) for key in state)
    return {
        'middle_blk_num': blocks('middle_blks'),
        'enc_blk_nums': [blocks(rf'encoders\.{level}') for level in range(levels)],
        'dec_blk_nums': [blocks(rf'decoders\.{level}') for level in range(levels)],
    }
