"""ExposureUNet: the U-Net of ExposureDiffusion (ICCV 2023), that of "Learning to See in the Dark" (CVPR 2018).

Module names follow the released network, so that its checkpoints load strictly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.exposure import (
    RAW_PLANES,
    ResidualParts,
    adaptive_residual,
    input_planes,
    output_planes,
    plane_options,
)
from entropy_sde_plugin.networks.state_dicts import check_fit, size_of

__all__ = ['ExposureUNet', 'unet_options']

WIDTHS = (32, 64, 128, 256, 512)

SIZE_MULTIPLE = 2 ** (len(WIDTHS) - 1)


class ExposureUNet(nn.Module):
    """U-Net that predicts a clean raw image from the state of an exposure. It has no time input.

    The published ones take 8 planes (7,761,801 parameters) or, with ``concat_origin``, 12 (7,762,953).

    Args:
        adaptive: End in the adaptive residual layer; else the last convolution is the image.
        photon_plane: The planes include the state in photons.
        concat_origin: The planes include the short exposure.

    Example:
        >>> network = ExposureUNet()
        >>> picture, parts = network(torch.rand(1, 8, 32, 48))
        >>> tuple(picture.shape), tuple(parts.mask.shape)
        ((1, 4, 32, 48), (1, 1, 32, 48))
    """

    def __init__(self, adaptive: bool = True, photon_plane: bool = True, concat_origin: bool = False) -> None:
        super().__init__()
        self.adaptive, self.photon_plane, self.concat_origin = adaptive, photon_plane, concat_origin
        levels = len(WIDTHS)
        channels = (input_planes(photon_plane, concat_origin), *WIDTHS)
        for level in range(1, levels + 1):
            self._add_pair(level, channels[level - 1], channels[level])
        for level, width in enumerate(reversed(WIDTHS[:-1]), levels + 1):
            self.add_module(f'upv{level}', nn.ConvTranspose2d(2 * width, width, 2, stride=2))
            self._add_pair(level, 2 * width, width)
        self.conv10_1 = nn.Conv2d(WIDTHS[0], output_planes(adaptive), 1)

    def check_crop_size(self, side: int) -> None:
        """Check that the network can be trained on squares of a side.

        Raises:
            InputError: A side that is not a multiple of 16.
        """
        if side % SIZE_MULTIPLE:
            message = f"'gt_size' must be a multiple of {SIZE_MULTIPLE} for an ExposureUNet, but is {side}."
            raise InputError(message, 'gt_size')

    def _add_pair(self, level: int, inputs: int, outputs: int) -> None:
        self.add_module(f'conv{level}_1', nn.Conv2d(inputs, outputs, 3, padding=1))
        self.add_module(f'conv{level}_2', nn.Conv2d(outputs, outputs, 3, padding=1))

    def forward(self, planes: Tensor) -> tuple[Tensor, ResidualParts | None]:
        """Predict the clean image.

        Args:
            planes: The state x_t, then what the arguments add: x_t in photons, the short exposure; (B, 4 to 12, H, W),
                sides that are multiples of 16.

        Returns:
            The image (B, 4, H, W) in [0, 1], and the parts that the adaptive layer mixed, if there is one.

        Raises:
            InputError: Sides that are not multiples of 16.
        """
        if planes.shape[-2] % SIZE_MULTIPLE or planes.shape[-1] % SIZE_MULTIPLE:
            message = f'ExposureUNet takes sides that are multiples of {SIZE_MULTIPLE}, got {tuple(planes.shape[-2:])}.'
            raise InputError(message)
        output = self._last_convolution(planes)
        return adaptive_residual(output, planes[:, :RAW_PLANES]) if self.adaptive else (output.clamp(0, 1), None)

    def _last_convolution(self, planes: Tensor) -> Tensor:
        """Return what the last convolution gives for the planes, (B, 9 or 4, H, W)."""
        levels = len(WIDTHS)
        x, skips = self._pair(1, planes), []
        for level in range(2, levels + 1):
            skips.append(x)
            x = self._pair(level, F.max_pool2d(x, 2))
        for level in range(levels + 1, 2 * levels):
            up = self.get_submodule(f'upv{level}')(x)
            x = self._pair(level, torch.cat([up, skips.pop()], dim=1))
        return self.conv10_1(x)

    def _pair(self, level: int, x: Tensor) -> Tensor:
        for part in (1, 2):
            x = F.leaky_relu(self.get_submodule(f'conv{level}_{part}')(x), 0.2)
        return x


def unet_options(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of an ExposureUNet off its weights.

    Raises:
        InputError: The weights are those of another network.
    """
    name = ExposureUNet.__name__
    first, last = size_of(state, 'conv1_1.weight', name)[1], size_of(state, 'conv10_1.weight', name)[0]
    options = plane_options(first, last, name)
    check_fit(ExposureUNet, options, state)
    return options
