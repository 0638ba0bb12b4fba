"""ConditionalNAFNet: the noise predictor of IR-SDE and Entropy-SDE, a NAFNet (arXiv 2204.04676) with a time input.

Module names follow the released network, so that its checkpoints load strictly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from entropy_sde_plugin.errors import InputError, quoted
from entropy_sde_plugin.networks.state_dicts import check_fit, size_of
from entropy_sde_plugin.networks.time_embedding import SinusoidalEmbedding

__all__ = ['ConditionalNAFNet', 'network_options']

MOST_LEVELS = 10
"""Pictures are padded to multiples of 2^levels."""

MOST_BLOCKS = 1000
"""Of a level: beyond it, a slip of the pen takes minutes to be built."""


class SimpleGate(nn.Module):
    """Product of the two halves of the channels (arXiv 2204.04676, eq. 3): the network's only non-linearity."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each pixel, with a gain and no bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        # Channels last is the layout of torch's fused kernel; a channels-last network pays no copy for it.
        normed = F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), self.g.flatten(), None, 1e-5)
        return normed.permute(0, 3, 1, 2)


class ConditionalNAFBlock(nn.Module):
    """NAFNet block whose two branches are shifted and scaled by the time, (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, time_dim: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.mlp = nn.Sequential(SimpleGate(), nn.Linear(time_dim // 2, 4 * channels))
        self.conv1 = nn.Conv2d(channels, wide, 1)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.conv4 = nn.Conv2d(channels, wide, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.norm1 = ChannelLayerNorm(channels)
        self.norm2 = ChannelLayerNorm(channels)
        self.sg = SimpleGate()
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def modulation(self, time: Tensor) -> Tensor:
        """What an embedded time says to the block, (B, 4 C, 1, 1): shift and scale of the attention branch, then of the
        feed-forward branch, C channels each."""
        return self.mlp(time)[:, :, None, None]

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift_attention, scale_attention, shift_ffn, scale_ffn = self.modulation(time).chunk(4, dim=1)

        y = self.norm1(x) * (scale_attention + 1) + shift_attention
        y = self.sg(self.conv2(self.conv1(y)))
        y = self.conv3(y * self.sca(y))
        x = x + y * self.beta

        y = self.norm2(x) * (scale_ffn + 1) + shift_ffn
        y = self.conv5(self.sg(self.conv4(y)))
        return x + y * self.gamma


class ConditionalNAFNet(nn.Module):
    """U-shaped NAFNet that sees the noisy state, the degraded image and the time.

    The released network is ``width=64, enc_blk_nums=[1, 1, 1, 1, 28], middle_blk_num=1, dec_blk_nums=[1, 1, 1, 1, 1]``
    (287,965,571 parameters).

    Args:
        img_channel: Channels of an image.
        width: Channels of the first level, even and at least 4; each level down doubles them.
        middle_blk_num: Blocks at the bottom, at most 1000, as of every level.
        enc_blk_nums: Blocks of each level on the way down; at most 10 levels.
        dec_blk_nums: Blocks of each level on the way up, as many levels as ``enc_blk_nums``.
        checkpoint_activations: Keep of each block its input alone, and compute the rest again in the backward pass:
            less memory in training for more time, the same gradients (arXiv 1604.06174).

    Raises:
        InputError: A size that makes no network.

    Example:
        >>> network = ConditionalNAFNet(width=8, enc_blk_nums=[1, 1], middle_blk_num=1, dec_blk_nums=[1, 1])
        >>> dark = torch.full((1, 3, 13, 18), 0.1)
        >>> tuple(network(dark, dark, time=100).shape)
        (1, 3, 13, 18)
    """

    def __init__(
        self,
        img_channel: int = 3,
        width: int = 16,
        middle_blk_num: int = 1,
        enc_blk_nums: Sequence[int] = (),
        dec_blk_nums: Sequence[int] = (),
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if width < 4 or width % 2:
            raise InputError(f'width must be even and at least 4, got {width}.', option='width')
        if len(enc_blk_nums) != len(dec_blk_nums):
            raise InputError(
                f'enc_blk_nums has {len(enc_blk_nums)} levels and dec_blk_nums {len(dec_blk_nums)}: '
                'give both the same number.',
                option='enc_blk_nums',
            )
        if len(enc_blk_nums) > MOST_LEVELS:
            message = f'enc_blk_nums has {len(enc_blk_nums)} levels, more than {MOST_LEVELS}: each halves x.'
            raise InputError(message, option='enc_blk_nums')
        blocks = {'enc_blk_nums': enc_blk_nums, 'middle_blk_num': (middle_blk_num,), 'dec_blk_nums': dec_blk_nums}
        for name, counts in blocks.items():
            if not all(0 <= count <= MOST_BLOCKS for count in counts):
                message = f'{name}: a level has 0 to {MOST_BLOCKS} blocks, got {quoted(list(counts))}.'
                raise InputError(message, option=name)
        self.checkpoint_activations = checkpoint_activations
        self.size_multiple = 2 ** len(enc_blk_nums)
        time_dim = 4 * width
        self.time_mlp = nn.Sequential(
            SinusoidalEmbedding(width), nn.Linear(width, 2 * time_dim), SimpleGate(), nn.Linear(time_dim, time_dim)
        )
        self.intro = nn.Conv2d(2 * img_channel, width, 3, padding=1)
        self.ending = nn.Conv2d(width, img_channel, 3, padding=1)

        def level(channels: int, blocks: int) -> nn.ModuleList:
            return nn.ModuleList(ConditionalNAFBlock(channels, time_dim) for _ in range(blocks))

        widths = [width * 2**depth for depth in range(len(enc_blk_nums) + 1)]
        self.encoders = nn.ModuleList(level(c, n) for c, n in zip(widths, enc_blk_nums, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, 2) for c in widths[:-1])
        self.middle_blks = level(widths[-1], middle_blk_num)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1, bias=False), nn.PixelShuffle(2)) for c in reversed(widths[:-1])
        )
        self.decoders = nn.ModuleList(level(c, n) for c, n in zip(reversed(widths[:-1]), dec_blk_nums, strict=True))

    def forward(self, x: Tensor, cond: Tensor, time: int | float | Tensor) -> Tensor:
        """Predict from a state.

        Args:
            x: Noisy states x_t, (B, C, H, W), any H and W.
            cond: Degraded images mu in [0, 1], shaped as x.
            time: Raw time t (not t / T): a number, or a tensor of B values or of one.

        Returns:
            The prediction (noise, or the residual x0 - mu, as trained), shaped as x.
        """
        height, width = x.shape[-2:]
        times = torch.as_tensor(time, device=x.device).reshape(-1).expand(x.shape[0])
        embedding = self.time_mlp(times)

        x = self._pad(torch.cat([x - cond, cond], dim=1))
        x = self.intro(x)
        skips = []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            x = self._run(blocks, x, embedding)
            skips.append(x)
            x = down(x)
        x = self._run(self.middle_blks, x, embedding)
        for blocks, up in zip(self.decoders, self.ups, strict=True):
            x = self._run(blocks, up(x) + skips.pop(), embedding)
        return self.ending(x)[..., :height, :width]

    def _run(self, blocks: nn.Module, x: Tensor, embedding: Tensor) -> Tensor:
        for block in blocks.children():
            if self.checkpoint_activations and torch.is_grad_enabled():
                x = checkpoint(block, x, embedding, use_reentrant=False, preserve_rng_state=False)  # it draws nothing
            else:
                x = block(x, embedding)
        return x

    def _pad(self, x: Tensor) -> Tensor:
        """Zero-pad right and bottom to the multiple that the strided levels need."""
        height, width = x.shape[-2:]
        return F.pad(x, (0, -width % self.size_multiple, 0, -height % self.size_multiple))


def network_options(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of a ConditionalNAFNet off its weights.

    Args:
        state: State dict of a network of any size.

    Returns:
        Keyword arguments of :class:`ConditionalNAFNet`.

    Raises:
        InputError: The weights are those of another network.
    """

    def blocks(side: str, level: int) -> int:
        return len({match[1] for key in state if (match := re.match(rf'{side}\.{level}\.(\d+)\.', key))})

    levels = sum(bool(re.fullmatch(r'downs\.\d+\.weight', key)) for key in state)
    options = {
        'img_channel': size_of(state, 'ending.weight', 'ConditionalNAFNet')[0],
        'width': size_of(state, 'intro.weight', 'ConditionalNAFNet')[0],
        'middle_blk_num': len({match[1] for key in state if (match := re.match(r'middle_blks\.(\d+)\.', key))}),
        'enc_blk_nums': [blocks('encoders', level) for level in range(levels)],
        'dec_blk_nums': [blocks('decoders', level) for level in range(levels)],
    }
    check_fit(ConditionalNAFNet, options, state)
    return options
