"""The networks of ExposureDiffusion on frames of any size, exactly as on the whole frame."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.exposure import RAW_PLANES, adaptive_residual
from entropy_sde_plugin.networks.exposure_nafnet import ExposureNAFNet
from entropy_sde_plugin.networks.exposure_unet import SIZE_MULTIPLE, ExposureUNet
from entropy_sde_plugin.networks.nafnet_strips import NAFNetStrips

__all__ = ['ExposureStrips', 'ExposureTiles']

TILE = 768
"""Side of a U-Net's tiles on planes: a working set of about 1 GB."""

MARGIN = 96
"""How far zero-padding at a tile's border reaches into the result of a U-Net, rounded up to a multiple of 16: two
pixels at the finest level, then at each level down half as far and two more, and twice as far and two more up: 94."""


class ExposureStrips(NAFNetStrips):
    """An ExposureNAFNet for inference, planes -> (picture, None); arguments as of :class:`.NAFNetStrips`.

    The result is that of the whole frame, to rounding.

    Example:
        >>> network = ExposureNAFNet().eval()
        >>> planes = torch.rand(1, 8, 20, 30)
        >>> strips, _ = ExposureStrips(network, tile=8)(planes)
        >>> bool(torch.allclose(strips, network(planes)[0], atol=1e-5))
        True
    """

    network: ExposureNAFNet

    @torch.inference_mode()
    def __call__(self, planes: Tensor) -> tuple[Tensor, None]:
        """Predict from planes (B, 4 to 12, H, W), float32; see :meth:`ExposureNAFNet.forward`."""
        pictures = [self._picture(image) for image in planes]  # one by one: a mean is that of one image
        return torch.stack(pictures), None

    def _picture(self, planes: Tensor) -> Tensor:
        output = planes.new_empty(self.network.ending.out_channels, *planes.shape[-2:])
        self._image(lambda top, bottom: planes[:, top:bottom], output)
        state = planes[:RAW_PLANES]
        if not self.network.adaptive:
            return (output + state).clamp(0, 1)
        picture = torch.empty_like(state)
        for top, bottom in self._rows(output.permute(1, 2, 0)):
            rows = slice(top, bottom)
            picture[:, rows] = adaptive_residual(output[None, :, rows], state[None, :, rows])[0][0]
        return picture


class ExposureTiles:
    """An ExposureUNet for inference, planes -> (picture, None).

    Tiles overlap by what the network sees around a pixel, so that the result is that of the whole frame, to rounding.

    Args:
        network: In evaluation mode, float32, on the device to compute on.
        tile: Side of a tile without its margins, on planes; 0 takes the whole frame, None what suits the memory.
        dtype: Type of the convolutions.
        compile: Let torch.compile fuse the network; takes a minute once and needs a C++ compiler.

    Attributes:
        tile: As given, or what suits the memory.

    Raises:
        InputError: A negative tile.

    Example:
        >>> picture, _ = ExposureTiles(ExposureUNet().eval(), tile=0)(torch.rand(1, 8, 32, 48))
        >>> tuple(picture.shape)
        (1, 4, 32, 48)
    """

    def __init__(
        self,
        network: ExposureUNet,
        *,
        tile: int | None = None,
        dtype: torch.dtype = torch.float32,
        compile: bool = False,
    ) -> None:
        if tile is not None and tile < 0:
            raise InputError(f'tile must be 0 (the whole frame) or above, got {tile}.')
        self.network = network
        self.tile = TILE if tile is None else tile
        self.dtype = dtype
        if compile:
            network.compile(dynamic=True)

    @torch.inference_mode()
    def __call__(self, planes: Tensor) -> tuple[Tensor, None]:
        """Predict from planes (B, 4 to 12, H, W), float32, sides that are multiples of 16; see
        :meth:`ExposureUNet.forward`."""
        height, width = planes.shape[-2:]
        step = max(height, width) if self.tile == 0 else max(self.tile // SIZE_MULTIPLE, 1) * SIZE_MULTIPLE
        picture = planes.new_empty(len(planes), RAW_PLANES, height, width)
        for top, left in product(range(0, height, step), range(0, width, step)):
            above, before = max(top - MARGIN, 0), max(left - MARGIN, 0)
            seen = planes[..., above : top + step + MARGIN, before : left + step + MARGIN]
            with torch.autocast(planes.device.type, self.dtype, enabled=self.dtype is not torch.float32):
                predicted, _ = self.network(seen)
            inside = predicted[..., top - above :, left - before :][..., :step, :step]
            picture[..., top : top + step, left : left + step] = inside
        return picture, None
