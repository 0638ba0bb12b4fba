"""Sums over square windows of rows of pixels, and their adjoint; by shifts on a CPU, by pooling elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.pytorch.tiling import Tiling

__all__ = ['PooledSums', 'Scratch', 'ShiftedSums', 'WindowSums']


class Scratch:
    """Reusable buffers: on a CPU, allocating memory costs more than the sums themselves."""

    def __init__(self, like: Tensor) -> None:
        self._like, self._elements = like, 0
        self._free: list[Tensor] = []
        self._taken: dict[int, Tensor] = {}

    def reserve(self, elements: int) -> None:
        """Set the minimum number of elements of a buffer; no buffer may be in use."""
        if elements > self._elements:
            self._elements, self._free = elements, []

    def take(self, *shape: int) -> Tensor:
        """Return an uninitialised tensor in a free buffer."""
        buffer = self._free.pop() if self._free else self._like.new_empty(self._elements)
        self._taken[buffer.data_ptr()] = buffer
        return buffer.as_strided(shape, [math.prod(shape[axis + 1 :]) for axis in range(len(shape))])

    def give(self, *tensors: Tensor) -> None:
        """Return buffers, given as tensors that start at the same address; other tensors are ignored."""
        self._free += [self._taken.pop(tensor.data_ptr()) for tensor in tensors if tensor.data_ptr() in self._taken]


class WindowSums(Protocol):
    """Window sums of the rows of tiles, a row being one bin over the tile's pixels and halo (``Tiling.area``).

    Attributes:
        weights: Weight of each output in the mean over a plane, (tiles of a plane, outputs).
    """

    weights: Tensor

    def __init__(self, tiling: Tiling, windows: Sequence[int], rows: int, scratch: Scratch, weights: Tensor) -> None:
        """Prepare for at most ``rows`` rows and for ``windows``."""
        ...

    def sums(self, products: Tensor, window: int) -> Tensor:
        """Add the pixels of the window around each output.

        Args:
            products: (rows, area).
            window: Side of the window.

        Returns:
            (rows, ...) with as many elements in a row as there are outputs; for a window of 1 a view of ``products``,
            else possibly in a buffer of the scratch.
        """
        ...

    def spread(self, ratio: Tensor, factor: Tensor, window: int, slope: Tensor | None) -> Tensor:
        """Propagate derivatives with respect to window sums back to the pixels: the adjoint of `sums`.

        Args:
            ratio: Shaped as `sums` returns it, in a buffer of the scratch, which is handed back.
            factor: (t, outputs), multiplies the rows of each of t tiles; 0 where an output is not a pixel.
            window: Side of the window.
            slope: What earlier calls have returned; None in the first, which must be for the largest window.

        Returns:
            The derivatives with respect to the pixels so far, (rows, area), possibly in a buffer of the scratch.
        """
        ...


class ShiftedSums:
    """Adds shifts of whole rows: long contiguous runs, in about log2(w) additions in each direction.

    Windows are added by doubling, without subtractions, which would cancel. Pixels of a row are ``pitch`` apart
    vertically, so that its outputs are interleaved with some that are not pixels, of weight 0.
    """

    def __init__(self, tiling: Tiling, windows: Sequence[int], rows: int, scratch: Scratch, weights: Tensor) -> None:
        self.tiling, self.scratch = tiling, scratch
        self.outputs = (tiling.tile_height - 1) * tiling.pitch + tiling.tile_width
        self.weights = torch.nn.functional.pad(weights, (0, 2 * tiling.halo)).flatten(1)[:, : self.outputs]
        # Zeros on both sides of the outputs: what the adjoint's windows reach there.
        self.margin = self._reach(max(windows))
        self.padded = weights.new_zeros(rows, self.outputs + 2 * self.margin)

    def sums(self, products: Tensor, window: int) -> Tensor:
        """See `WindowSums.sums`; (rows, outputs)."""
        begin = (self.tiling.halo - window // 2) * (self.tiling.pitch + 1)
        return self._box_sum(products[:, begin : begin + self.outputs + self._reach(window)], window)

    def spread(self, ratio: Tensor, factor: Tensor, window: int, slope: Tensor | None) -> Tensor:
        """See `WindowSums.spread`."""
        reach = self._reach(window)
        padded = self.padded[: len(ratio), self.margin - reach : self.margin + self.outputs + reach]
        inner = padded[:, reach : reach + self.outputs].unflatten(0, (len(factor), -1))
        torch.mul(ratio.view_as(inner), factor[:, None], out=inner)
        self.scratch.give(ratio)
        spread = self._box_sum(padded, window)
        if slope is None:
            return spread
        begin = (self.tiling.halo - window // 2) * (self.tiling.pitch + 1)
        slope[:, begin : begin + spread.shape[1]].add_(spread)
        self.scratch.give(spread)
        return slope

    def _reach(self, window: int) -> int:
        """How far a window extends along a row beyond its first element."""
        return (window - 1) * (self.tiling.pitch + 1)

    def _box_sum(self, source: Tensor, window: int) -> Tensor:
        """Sum the window that starts at each element: (rows, n) -> (rows, n - reach), in a scratch buffer if w > 1."""
        if window == 1:
            return source
        tall = self._run_sum(source, window, self.tiling.pitch)
        sums = self._run_sum(tall, window, 1)
        self.scratch.give(tall)
        return sums

    def _run_sum(self, source: Tensor, window: int, step: int) -> Tensor:
        """Sum ``window`` elements, ``step`` apart, by doubling along the window's binary digits."""
        rows, length = source.shape
        current, width = source, 1
        for bit in bin(window)[3:]:
            shift = width * step
            width *= 2
            longer = self.scratch.take(rows, length - (width - 1) * step)
            torch.add(current[:, : longer.shape[1]], current[:, shift:], out=longer)
            if current is not source:
                self.scratch.give(current)
            current = longer
            if bit == '1':
                current = current[:, : length - width * step]
                current += source[:, width * step :]
                width += 1
        return current


class PooledSums:
    """One pooling per window: a fifth of the memory traffic of the shifts where a kernel's reads meet in a cache."""

    def __init__(self, tiling: Tiling, windows: Sequence[int], rows: int, scratch: Scratch, weights: Tensor) -> None:
        self.tiling, self.scratch = tiling, scratch
        self.weights = weights.flatten(1)
        height, width = weights.shape[1:]
        self.padded = {w: weights.new_zeros(rows, height + 2 * (w - 1), width + 2 * (w - 1)) for w in windows}

    def sums(self, products: Tensor, window: int) -> Tensor:
        """See `WindowSums.sums`; (rows, tile height, tile width)."""
        sums = _pool(products.view(len(products), -1, self.tiling.pitch), window)
        begin = self.tiling.halo - window // 2
        return sums[:, begin : begin + self.tiling.tile_height, begin : begin + self.tiling.tile_width]

    def spread(self, ratio: Tensor, factor: Tensor, window: int, slope: Tensor | None) -> Tensor:
        """See `WindowSums.spread`."""
        padded = self.padded[window][: len(ratio)]
        reach, (height, width) = window - 1, ratio.shape[1:]
        inner = padded[:, reach : reach + height, reach : reach + width].unflatten(0, (len(factor), -1))
        torch.mul(ratio.view_as(inner), factor.view(-1, 1, height, width), out=inner)
        self.scratch.give(ratio)
        spread = _pool(padded, window)
        if slope is None:
            return spread.flatten(1)
        begin = self.tiling.halo - window // 2
        inside = slope.view(len(slope), -1, self.tiling.pitch)
        inside[:, begin : begin + spread.shape[1], begin : begin + spread.shape[2]].add_(spread)
        return slope


def _pool(planes: Tensor, window: int) -> Tensor:
    if window == 1:
        return planes
    return torch.nn.functional.avg_pool2d(planes[:, None], window, stride=1, divisor_override=1)[:, 0]
