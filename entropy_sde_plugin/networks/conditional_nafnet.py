"""ConditionalNAFNet: the noise predictor of IR-SDE and Entropy-SDE, a NAFNet (arXiv 2204.04676) with a time input.

Module names follow the released network, so that its checkpoints load strictly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.brightness import BrightnessEmbedding
from entropy_sde_plugin.networks.nafnet import (
    Affine,
    NAFBlock,
    NAFNet,
    SimpleGate,
    block_counts,
    channel_norm,
    check_sizes,
)
from entropy_sde_plugin.networks.state_dicts import check_fit, size_of
from entropy_sde_plugin.networks.time_embedding import SinusoidalEmbedding

__all__ = ['ConditionalNAFNet', 'network_options']


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each pixel, with a gain and no bias."""

    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return channel_norm(x, self.g.flatten(), None, self.eps)


class ConditionalNAFBlock(NAFBlock):
    """NAFNet block whose two branches are shifted and scaled by the time, (B, C, H, W) -> (B, C, H, W)."""

    norm_eps = ChannelLayerNorm.eps
    norm1: ChannelLayerNorm
    norm2: ChannelLayerNorm

    def __init__(self, channels: int, time_dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(SimpleGate(), nn.Linear(time_dim // 2, 4 * channels))
        self.add_layers(channels, ChannelLayerNorm)

    def modulation(self, time: Tensor) -> Tensor:
        """Return what an embedded time does to the block, (B, 4 C, 1, 1): shift and scale of the attention branch, then
        of the feed-forward branch, C channels each."""
        return self.mlp(time)[:, :, None, None]

    def norms_affine(self, *extra: Tensor) -> tuple[Affine, Affine]:
        (time,) = extra
        shift_attention, scale_attention, shift_ffn, scale_ffn = self.modulation(time)[0, :, 0, 0].chunk(4)
        return (
            Affine(self.norm1.g.flatten() * (scale_attention + 1), shift_attention),
            Affine(self.norm2.g.flatten() * (scale_ffn + 1), shift_ffn),
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift_attention, scale_attention, shift_ffn, scale_ffn = self.modulation(time).chunk(4, dim=1)
        x = self.attend(x, self.norm1(x) * (scale_attention + 1) + shift_attention)
        return self.feed_forward(x, self.norm2(x) * (scale_ffn + 1) + shift_ffn)


class ConditionalNAFNet(NAFNet):
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
        brightness: Take the brightness that the result should have as a further input (RGB images only).

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
        brightness: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(width, middle_blk_num, enc_blk_nums, dec_blk_nums)
        if brightness and img_channel != 3:
            raise InputError(f'brightness: only RGB images have one, but img_channel is {img_channel}.', 'brightness')
        self.checkpoint_activations = checkpoint_activations
        time_dim = 4 * width
        self.time_mlp = nn.Sequential(
            SinusoidalEmbedding(width), nn.Linear(width, 2 * time_dim), SimpleGate(), nn.Linear(time_dim, time_dim)
        )
        self.brightness = BrightnessEmbedding(width, time_dim) if brightness else None
        self.add_levels(
            lambda channels: ConditionalNAFBlock(channels, time_dim),
            in_channels=2 * img_channel,
            out_channels=img_channel,
            width=width,
            middle_blk_num=middle_blk_num,
            enc_blk_nums=enc_blk_nums,
            dec_blk_nums=dec_blk_nums,
        )

    @property
    def takes_brightness(self) -> bool:
        """Whether it has the input ``brightness``."""
        return self.brightness is not None

    def forward(self, x: Tensor, cond: Tensor, time: int | float | Tensor, brightness: Tensor | None = None) -> Tensor:
        """Predict from a state.

        Args:
            x: Noisy states x_t, (B, C, H, W), any H and W.
            cond: Degraded images mu in [0, 1], shaped as x.
            time: Raw time t (not t / T): a number, or a tensor of B values or of one.
            brightness: Mean luma that the results should have, (B,) in (0, 1]; 0 for an image, or None, leaves it to
                the network. Of a network built with ``brightness`` only.

        Returns:
            The prediction (noise, or the residual x0 - mu, as trained), shaped as x.
        """
        return self.through_levels(torch.cat([x - cond, cond], dim=1), self.embedding(cond, time, brightness))

    def embedding(self, cond: Tensor, time: int | float | Tensor, brightness: Tensor | None = None) -> Tensor:
        """Return what shifts and scales the blocks, (B, 4 width); arguments as of :meth:`forward`."""
        times = torch.as_tensor(time, device=cond.device).reshape(-1).expand(cond.shape[0])
        embedding = self.time_mlp(times)
        if self.brightness is not None:
            wanted = cond.new_zeros(cond.shape[0]) if brightness is None else brightness
            embedding = embedding + self.brightness(cond, wanted)
        return embedding


def network_options(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of a ConditionalNAFNet off its weights.

    Args:
        state: State dict of a network of any size.

    Returns:
        Keyword arguments of :class:`ConditionalNAFNet`.

    Raises:
        InputError: The weights are those of another network.
    """
    options = {
        'img_channel': size_of(state, 'ending.weight', 'ConditionalNAFNet')[0],
        'width': size_of(state, 'intro.weight', 'ConditionalNAFNet')[0],
        **block_counts(state),
        'brightness': 'brightness.out.weight' in state,
    }
    check_fit(ConditionalNAFNet, options, state)
    return options
