"""LLDiffusionNet on images of any size: whole up to a megapixel, above that in tiles, or in patches as it is released.

Either way an image is covered by windows, and the prediction of a pixel is the mean over its windows at every sampling
step. What the network knows of a window of the dark image is computed once and serves all steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.lldiffusion import MULTIPLE, SMALLEST, Features, LLDiffusionNet, color_map, padded
from entropy_sde_plugin.networks.padding import reflect_to

__all__ = ['Patches', 'WholeOrTiles']

MEGAPIXEL = 1024**2
"""An image of up to this many pixels is taken whole, unless a tile is given …"""
TILE = 512
"""… and larger ones in tiles of this side: the attention's work for a pixel grows with the tile's area."""

PATCHES_PIXELS = 512**2
"""Pixels of the patches that pass the network at a time."""

KEPT_BYTES = 2**30
"""Limit of what is kept of the windows of an image. The rest is computed again at every step, which adds a sixth of a
call."""


class _InWindows(ABC):
    """A network for inference that goes over images in windows.

    Args:
        network: In evaluation mode, float32, on the device to compute on.
        tile: Side of a window, in pixels.
        dtype: Type of convolutions and products.
        compile: Let torch.compile fuse the denoiser.
    """

    def __init__(self, network: LLDiffusionNet, tile: int, dtype: torch.dtype, compile: bool) -> None:
        self.network = network
        self.tile = tile
        self.dtype = dtype
        if compile:
            network.diff_unet.compile(dynamic=True)
        self._images: list[_Image] = []
        self._made_of: tuple[Tensor, int] | None = None

    @torch.inference_mode()
    def __call__(self, x: Tensor, cond: Tensor, time: int) -> Tensor:
        """Predict from states (B, C, H, W), float32, at one time; see :meth:`LLDiffusionNet.forward`.

        A call with the same dark images as the previous one reuses what was computed then, even if the network's
        weights have changed since.
        """
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype is not torch.float32):
            if not self._knows(cond):
                self._images = []  # what is known of other images, up to 1 GiB each, is released first
                self._images = [self._image(image) for image in cond.split(1)]
                self._made_of = cond.clone(), self.tile
            predicted = [image.predict(state, time) for image, state in zip(self._images, x.split(1), strict=True)]
        return torch.cat(predicted)

    def _knows(self, cond: Tensor) -> bool:
        if self._made_of is None:
            return False
        images, tile = self._made_of
        return tile == self.tile and images.device == cond.device and torch.equal(images, cond)

    @abstractmethod
    def _image(self, cond: Tensor) -> _Image:
        """Lay windows over a dark image, (1, 3, H, W)."""


class WholeOrTiles(_InWindows):
    """Images of up to a megapixel, or ``tile`` x ``tile`` pixels, at once; larger ones in overlapping tiles.

    The encoder sees the whole image even then: its norms take their statistics from all of it. The denoiser's norms and
    its attention see a tile. Predictions are faded into each other across the overlap, a quarter of a tile.

    Args:
        network: In evaluation mode, float32, on the device to compute on.
        tile: Side of a tile in pixels, rounded down to a multiple of 32 and at least 64; 0 takes every image whole;
            None takes images of up to a megapixel whole, and larger ones in tiles of 512.
        dtype: Type of convolutions and products.
        compile: Let torch.compile fuse the denoiser; costs a minute once and needs a C++ compiler.

    Attributes:
        tile: As given, or 512.

    Raises:
        InputError: A negative tile.
    """

    def __init__(
        self,
        network: LLDiffusionNet,
        *,
        tile: int | None = None,
        dtype: torch.dtype = torch.float32,
        compile: bool = False,
    ) -> None:
        if tile is not None and tile < 0:
            raise InputError(f'tile must be 0 (the whole image) or above, got {tile}.')
        super().__init__(network, TILE if tile is None else tile, dtype, compile)
        self._takes_a_megapixel = tile is None

    def _image(self, cond: Tensor) -> _Image:
        canvas = padded(cond)
        height, width = canvas.shape[-2:]
        # Where memory ran out, the tile is smaller than it was, and holds for every image.
        whole = MEGAPIXEL if self._takes_a_megapixel and self.tile == TILE else self.tile**2
        if self.tile == 0 or height * width <= whole:
            side = max(height, width)
        else:
            side = max(self.tile // MULTIPLE * MULTIPLE, SMALLEST)
        overlap = max(side // 4 // MULTIPLE, 1) * MULTIPLE
        return _Tiled(self.network, canvas, _Layout.of(canvas, side, side - overlap), overlap)


class Patches(_InWindows):
    """Images in square patches, each an image of its own to the whole network, as the released test works.

    Args:
        network: In evaluation mode, float32, on the device to compute on.
        tile: Side of a patch in pixels; None is 128, that of the released training's crops.
        stride: Distance of the patches' corners; the last ones are moved to the border. The released test has 16.
        dtype: Type of convolutions and products.
        compile: Let torch.compile fuse the denoiser; costs a minute once and needs a C++ compiler.

    Raises:
        InputError: No such patch, or a stride that leaves pixels out.
    """

    def __init__(
        self,
        network: LLDiffusionNet,
        *,
        stride: int,
        tile: int | None = None,
        dtype: torch.dtype = torch.float32,
        compile: bool = False,
    ) -> None:
        tile = 128 if tile is None else tile
        if tile == 0:
            message = 'stride is for patches, and with tile 0 there are none: leave one of the two out.'
            raise InputError(message, option='stride')
        if not 1 <= stride <= tile:
            message = f'stride must lie in 1…{tile}, the side of a patch, or pixels are left out; got {stride}.'
            raise InputError(message, option='stride')
        super().__init__(network, tile, dtype, compile)
        self.stride = stride
        # Of the size asked for: where memory ran out, patches are smaller, and no more of them pass at a time.
        self._batch = max(1, PATCHES_PIXELS // tile**2)

    def _image(self, cond: Tensor) -> _Image:
        canvas = reflect_to(cond, *(max(side, self.tile) for side in cond.shape[-2:]))
        layout = _Layout.of(canvas, self.tile, min(self.stride, self.tile))
        return _Patched(self.network, canvas, layout, canvas.new_ones(()), self._batch)


@dataclass(frozen=True)
class _Window:
    top: int
    left: int
    height: int
    width: int

    def of(self, images: Tensor) -> Tensor:
        """This part of images (B, C, H, W), a view."""
        return images[..., self.top : self.top + self.height, self.left : self.left + self.width]


class _Layout(list[_Window]):
    """Windows of one size that cover an image."""

    @classmethod
    def of(cls, canvas: Tensor, side: int, stride: int) -> _Layout:
        """Put a window's corner at every multiple of ``stride``, and the last ones where the image ends."""
        height, width = (min(length, side) for length in canvas.shape[-2:])
        rows, columns = (
            [*range(0, length - size, stride), length - size]
            for length, size in zip(canvas.shape[-2:], (height, width), strict=True)
        )
        return cls(_Window(top, left, height, width) for top, left in product(rows, columns))


class _Image(ABC):
    """A dark image in windows, and what the network knows of them.

    Args:
        network: The network.
        canvas: The dark image, (1, 3, H, W), padded.
        layout: Its windows, all of one size.
        weight: Weights of a window's pixels in the means, (H', W').
        batch: How many windows pass the network at a time.
    """

    def __init__(self, network: LLDiffusionNet, canvas: Tensor, layout: _Layout, weight: Tensor, batch: int) -> None:
        self.network = network
        self.canvas = canvas
        self._weight = weight
        self._batches = [layout[start : start + batch] for start in range(0, len(layout), batch)]
        self._total_weight = canvas.new_zeros(1, 1, *canvas.shape[-2:])
        for window in layout:
            window.of(self._total_weight).add_(weight)
        self._kept: dict[int, Features] = {}
        self._room = KEPT_BYTES

    def predict(self, x: Tensor, time: int) -> Tensor:
        """Predict from a state, (1, 3, H, W), as large as the image was before it was padded."""
        height, width = x.shape[-2:]
        x = reflect_to(x, *self.canvas.shape[-2:])
        total = torch.zeros_like(x)
        for index, windows in enumerate(self._batches):
            states, conds = (torch.cat([window.of(images) for window in windows]) for images in (x, self.canvas))
            predicted = self.network(states, conds, time, self._known(index, windows, conds))
            for window, part in zip(windows, predicted.split(1), strict=True):
                window.of(total).add_(part * self._weight)
        return total.div_(self._total_weight)[..., :height, :width]

    def _known(self, index: int, windows: list[_Window], conds: Tensor) -> Features:
        if index in self._kept:
            return self._kept[index]
        features = self._features(windows, conds)
        size = sum(tensor.nbytes for tensor in (*features.maps, features.color_map))
        if size <= self._room:
            self._kept[index] = features
            self._room -= size
        return features

    @abstractmethod
    def _features(self, windows: list[_Window], conds: Tensor) -> Features:
        """What the network knows of some windows; ``conds`` are the dark image's parts in them."""


class _Tiled(_Image):
    """Windows that fade into each other, one after the other, known by the encoder as parts of the whole image."""

    def __init__(self, network: LLDiffusionNet, canvas: Tensor, layout: _Layout, overlap: int) -> None:
        ramps = (_ramp(size, overlap, canvas.device) for size in (layout[0].height, layout[0].width))
        weight = torch.outer(*ramps) if len(layout) > 1 else canvas.new_ones(())
        super().__init__(network, canvas, layout, weight, batch=1)
        # 1/1024 of the pixels, of 512 channels: small enough to be kept, and the maps of any part follow from it.
        self._trunk = network.encoder.encoder(canvas)

    def _features(self, windows: list[_Window], conds: Tensor) -> Features:
        (window,) = windows
        maps = self.network.encoder.maps_of_part(
            self._trunk, *(length // MULTIPLE for length in (window.top, window.left, window.height, window.width))
        )
        return Features(maps, color_map(conds))


class _Patched(_Image):
    """Windows of equal weight, many at a time, each an image of its own."""

    def _features(self, windows: list[_Window], conds: Tensor) -> Features:
        return self.network.features(conds)


def _ramp(size: int, overlap: int, device: torch.device) -> Tensor:
    """Weights along a window's side: from the borders up to 1 across the overlap."""
    middles = torch.arange(size, device=device, dtype=torch.float32) + 0.5
    return (torch.minimum(middles, size - middles) / overlap).clamp(max=1)
