"""ExposureNAFNet: the NAFNet of ExposureDiffusion (ICCV 2023).

Module names follow the released network, so that its checkpoints load strictly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from entropy_sde_plugin.networks.exposure import (
    RAW_PLANES,
    ResidualParts,
    adaptive_residual,
    input_planes,
    output_planes,
    plane_options,
)
from entropy_sde_plugin.networks.nafnet import Affine, NAFBlock, NAFNet, block_counts, channel_norm, check_sizes
from entropy_sde_plugin.networks.state_dicts import check_fit, size_of

__all__ = ['ExposureNAFNet', 'nafnet_options']


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, with a gain and a bias."""

    eps = 1e-6

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return channel_norm(x, self.weight, self.bias, self.eps)


class ExposureNAFBlock(NAFBlock):
    """NAFNet block without a time, (B, C, H, W) -> (B, C, H, W)."""

    norm_eps = ChannelNorm.eps
    norm1: ChannelNorm
    norm2: ChannelNorm

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.add_layers(channels, ChannelNorm)

    def norms_affine(self, *extra: Tensor) -> tuple[Affine, Affine]:
        return Affine(self.norm1.weight, self.norm1.bias), Affine(self.norm2.weight, self.norm2.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attend(x, self.norm1(x))
        return self.feed_forward(x, self.norm2(x))


class ExposureNAFNet(NAFNet):
    """NAFNet that predicts a clean raw image from the state of an exposure. It has no time input.

    The paper's NAFNet-1 is the default. Its NAFNet-2 is ``enc_blk_nums=[2, 2, 4, 4], middle_blk_num=12,
    dec_blk_nums=[2, 2, 2, 2]`` (6,897,865 parameters).

    Args:
        adaptive: End in the adaptive residual layer; else in a sum with the state.
        photon_plane: The planes include the state in photons.
        concat_origin: The planes include the short exposure.
        width: Channels of the first level, even and at least 4; each level down doubles them.
        enc_blk_nums: Blocks of each level on the way down; at most 10 levels.
        middle_blk_num: Blocks at the bottom, at most 1000, as of every level.
        dec_blk_nums: Blocks of each level on the way up, as many levels as ``enc_blk_nums``.

    Raises:
        InputError: A size that makes no network.

    Example:
        >>> picture, parts = ExposureNAFNet()(torch.rand(1, 8, 21, 26))
        >>> tuple(picture.shape)
        (1, 4, 21, 26)
    """

    def __init__(
        self,
        adaptive: bool = True,
        photon_plane: bool = True,
        concat_origin: bool = False,
        width: int = 16,
        enc_blk_nums: Sequence[int] = (),
        middle_blk_num: int = 1,
        dec_blk_nums: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_sizes(width, middle_blk_num, enc_blk_nums, dec_blk_nums)
        self.adaptive, self.photon_plane, self.concat_origin = adaptive, photon_plane, concat_origin
        self.add_levels(
            ExposureNAFBlock,
            in_channels=input_planes(photon_plane, concat_origin),
            out_channels=output_planes(adaptive),
            width=width,
            middle_blk_num=middle_blk_num,
            enc_blk_nums=enc_blk_nums,
            dec_blk_nums=dec_blk_nums,
        )

    def forward(self, planes: Tensor) -> tuple[Tensor, ResidualParts | None]:
        """Predict the clean image.

        The release does not crop the parts where sides were padded; here they are as large as the image.

        Args:
            planes: The state x_t, then what the arguments add: x_t in photons, the short exposure; (B, 4 to 12, H, W),
                of any size.

        Returns:
            The image (B, 4, H, W) in [0, 1], and the parts that the adaptive layer mixed, if there is one.
        """
        output, state = self.through_levels(planes), planes[:, :RAW_PLANES]
        return adaptive_residual(output, state) if self.adaptive else ((output + state).clamp(0, 1), None)


def nafnet_options(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of an ExposureNAFNet off its weights.

    Raises:
        InputError: The weights are those of another network.
    """
    name = ExposureNAFNet.__name__
    width, first = size_of(state, 'intro.weight', name)[:2]
    last = size_of(state, 'ending.weight', name)[0]
    options = {**plane_options(first, last, name), 'width': width, **block_counts(state)}
    check_fit(ExposureNAFNet, options, state)
    return options
