"""Planes cut into tiles that overlap by the largest window's reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ['OUTSIDE', 'Tiling']

#: Intensity, in levels, of pixels outside the image: so far from every bin that products of its kernels vanish.
OUTSIDE = 1e9


@dataclass(frozen=True)
class Tiling:
    """Tiles of ``tile_height`` x ``tile_width`` pixels with a halo of ``halo`` pixels on each side.

    A tile's pixels, halo included, form one row of ``area`` elements; the image's rows follow each other at a distance
    of ``pitch`` elements.
    """

    planes: int
    height: int
    width: int
    halo: int
    tile_height: int
    tile_width: int

    @classmethod
    def of(cls, planes: Tensor, window: int, halos: int) -> Tiling:
        """Choose the tiles of (N, H, W) planes: small tiles touch few bins, large tiles have relatively little halo.

        Args:
            planes: (N, H, W).
            window: Side of the largest window.
            halos: Side of a tile in halos, for windows so large that the halo matters.
        """
        count, height, width = planes.shape
        halo = window // 2
        side = max(16, halos * halo)
        tile_height, tile_width = (math.ceil(n / math.ceil(n / side)) for n in (height, width))
        return cls(count, height, width, halo, tile_height, tile_width)

    @property
    def pitch(self) -> int:
        return self.tile_width + 2 * self.halo

    @property
    def area(self) -> int:
        return (self.tile_height + 2 * self.halo) * self.pitch

    @property
    def grid(self) -> tuple[int, int]:
        return math.ceil(self.height / self.tile_height), math.ceil(self.width / self.tile_width)

    def cut(self, planes: Tensor) -> Tensor:
        """Cut (N, H, W) planes into tiles (N x tiles, area); `OUTSIDE` around the image."""
        rows, columns = self._surplus()
        padded = torch.nn.functional.pad(planes, (self.halo, columns, self.halo, rows), value=OUTSIDE)
        tiles = padded.unfold(1, self.tile_height + 2 * self.halo, self.tile_height)
        return tiles.unfold(2, self.pitch, self.tile_width).reshape(-1, self.area)

    def join(self, tiles: Tensor) -> Tensor:
        """Add overlapping tiles (N x tiles, area) up to planes (N, H, W): the adjoint of `cut`."""
        rows, columns = self._surplus()
        size = (self.height + self.halo + rows, self.width + self.halo + columns)
        block = (self.tile_height + 2 * self.halo, self.pitch)
        blocks = tiles.view(self.planes, -1, self.area).transpose(1, 2)
        planes = torch.nn.functional.fold(blocks, size, block, stride=(self.tile_height, self.tile_width))
        return planes[:, 0, self.halo : self.halo + self.height, self.halo : self.halo + self.width].contiguous()

    def weights(self, like: Tensor) -> Tensor:
        """Weight of each pixel in the mean over a plane, (tiles, tile height, tile width).

        1 / (H W), or 0 where the last tiles reach beyond the image.
        """
        rows, columns = self._surplus()
        inside = like.new_full((self.height, self.width), 1 / (self.height * self.width))
        inside = torch.nn.functional.pad(inside, (0, columns - self.halo, 0, rows - self.halo))
        tiles = inside.unfold(0, self.tile_height, self.tile_height).unfold(1, self.tile_width, self.tile_width)
        return tiles.flatten(0, 1)

    def _surplus(self) -> tuple[int, int]:
        """Rows and columns to add below and to the right: the halo and what completes the last tile."""
        down, across = self.grid
        return (
            down * self.tile_height - self.height + self.halo,
            across * self.tile_width - self.width + self.halo,
        )
