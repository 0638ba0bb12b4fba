"""Small windows by matrix products: a pixel's window sums over all bins are A^T B, A and B the kernels of its window.

On a CPU the fastest form of small windows: a matrix product keeps its sums in registers, where sums over shifted rows
go to memory and back for every addition. Its work grows with w^2, that of the shifts with log w.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from entropy_sde_plugin.losses.engine_contract import EntropySpec
from entropy_sde_plugin.losses.kernel_tables import kernels
from entropy_sde_plugin.losses.tiling import OUTSIDE, Tiling
from entropy_sde_plugin.losses.window_terms import WindowTerms, window_terms

__all__ = ['OuterProducts']


VECTOR = 8


@dataclass(frozen=True)
class _Rectangles:
    """The bins of each tile that its pixels reach: an interval on each axis.

    Attributes:
        first: (T, 2), int64.
        counts: [(bins along the intensities, bins along the neighbour means)] of each tile.
    """

    first: Tensor
    counts: list[tuple[int, int]]

    @classmethod
    def around(cls, points: Tensor, levels: int, reach: float) -> _Rectangles:
        """Find the bins within ``reach`` levels of the points (T, 2, n); see `occupied_bins`."""
        largest = torch.where(points < OUTSIDE, points, -OUTSIDE).amax(2)
        first = (points.amin(2) - reach).ceil_().clamp_(0, levels - 1).long()
        last = (largest + reach).floor_().clamp_(0, levels - 1).long()
        counts = (last - first + 1).clamp_(min=1)
        # Matrix products are twice as fast where the columns fill whole vectors.
        counts[:, 1].add_(VECTOR - 1).div_(VECTOR, rounding_mode='floor').mul_(VECTOR)
        return cls(first, [(i, j) for i, j in counts.tolist()])


class OuterProducts:
    """The tiles of one engine call and the buffers to work through them, a chunk of pixels at a time.

    Attributes:
        values: The tiles' shares of their planes' distances, (T,).
        gradient: Derivatives by the tiles' intensities and neighbour means, times h: (T area, 2).
    """

    def __init__(self, spec: EntropySpec, tiling: Tiling, pixels: Tensor, elements: int, need_gradient: bool) -> None:
        self.spec, self.tiling, self.pixels, self.need_gradient = spec, tiling, pixels, need_gradient
        self.windows = sorted(spec.windows)
        self.elements = elements
        self.terms: WindowTerms = window_terms(spec)
        self.buffers: dict[str, Tensor] = {}
        self.weights = tiling.weights(pixels).flatten(1) / len(self.windows)
        self.near = _offsets(tiling, max(self.windows)).to(pixels.device)
        self.values = pixels.new_zeros(len(pixels))
        self.gradient = pixels.new_zeros(len(pixels) * tiling.area if need_gradient else 0, 2)

    def finish(self, points: Tensor, reach: float) -> None:
        """Compute everything; ``points`` are those whose surroundings count, (T, 2, n)."""
        bins = _Rectangles.around(points, self.spec.levels, reach)
        outputs = len(self.near)
        for tiles, (rows, columns) in self._chunks(bins):
            numbers = torch.tensor(tiles)
            a, b = (self._tables(numbers, bins, axis, count) for axis, count in enumerate((rows, columns)))
            at_once = max(1, self.elements // _elements(rows, columns, self.windows[-1]))
            for pixels in torch.arange(len(tiles) * outputs).split(at_once):
                self._finish_pixels(numbers, pixels, a, b)

    def _chunks(self, bins: _Rectangles) -> Iterator[tuple[list[int], tuple[int, int]]]:
        """Group tiles of similar rectangles; yield their numbers and the numbers of bins to take along both axes."""
        tiles = sorted(range(len(bins.counts)), key=bins.counts.__getitem__, reverse=True)
        chunk: list[int] = []
        extent = 0, 0
        for tile in tiles:
            rows, columns = map(max, extent, bins.counts[tile])
            pixels = (len(chunk) + 1) * len(self.near)
            if chunk and pixels * _elements(rows, columns, self.windows[-1]) > self.elements:
                yield chunk, extent
                chunk, (rows, columns) = [], bins.counts[tile]
            chunk.append(tile)
            extent = rows, columns
        yield chunk, extent

    def _tables(self, tiles: Tensor, bins: _Rectangles, axis: int, count: int) -> tuple[Tensor, Tensor]:
        """Evaluate the kernels of tiles (t) at their pixels.

        Returns:
            The prediction's, along the first axis after its derivatives times h, along the second before them,
            (t area, 2, count); and the target's, (t area, count).
        """
        number = bins.first[tiles, axis, None] + torch.arange(count)
        number = number.masked_fill_(number >= self.spec.levels, -int(OUTSIDE)).to(self.pixels.dtype)
        v = self.pixels[tiles, axis, None, :, :, None]
        values, steepness = kernels(number[:, None, None, None], v, 4, self.spec)
        if axis:
            values *= self.spec.prefactor
        p, q = values[:, 0].unbind(1)
        slope = steepness[:, 0] * p
        return torch.stack((p, slope) if axis else (slope, p), 2).flatten(0, 1), q.flatten(0, 1)

    def _finish_pixels(self, tiles: Tensor, pixels: Tensor, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> None:
        """Finish pixels, numbered through the tiles (t) that the tables are of."""
        tile = pixels // len(self.near)
        output = pixels - tile * len(self.near)
        around = self.near[output]
        near = (around + tile[:, None] * self.tiling.area).flatten()
        (pa, qa), (pb, qb) = (
            [self._gather(name + axis, table, near, around.shape) for name, table in zip('pq', tables, strict=True)]
            for axis, tables in (('a', a), ('b', b))
        )
        weights = self.weights[tiles[tile] % len(self.weights), output]
        value, gradient = 0, torch.zeros(*around.shape, 2, dtype=pa.dtype) if self.need_gradient else None
        for window in self.windows:
            area = window**2
            if window == 1 and self.spec.distance == 'hellinger':
                total, slopes = separable(pa[:, 0], pb[:, 0], qa[:, 0], qb[:, 0])
                factor = self.terms.slope(total, window) * weights
                if gradient is not None:
                    gradient[:, 0] -= slopes * factor[:, None]
                value = value + self.terms.value(total, window)
                continue
            sums = self._buffer('sums', 2, len(pixels), qa.shape[2], qb.shape[2])
            (p, q), (ratio, terms) = sums, self._buffer('terms', *sums.shape)
            torch.bmm(pa[:, :area, 1].transpose(1, 2), pb[:, :area, 0], out=p)
            torch.bmm(qa[:, :area].transpose(1, 2), qb[:, :area], out=q)
            sums += self.terms.offset * area
            self.terms.split(p, q, window, terms, ratio)
            total = terms.flatten(1).sum(1)
            value = value + self.terms.value(total, window)
            if gradient is not None:
                factor = self.terms.slope(total, window) * weights
                slope = self._buffer('slope', len(pixels), 2 * area, qb.shape[2])
                torch.bmm(pa[:, :area].flatten(1, 2), ratio, out=slope)
                products = slope.unflatten(1, (area, 2)).mul_(pb[:, :area])
                gradient[:, :area] += products.sum(3) * factor[:, None, None]
        self.values.index_add_(0, tiles[tile], value * weights)
        if gradient is not None:
            rows = (around + tiles[tile][:, None] * self.tiling.area).flatten()
            self.gradient.index_add_(0, rows, gradient.flatten(0, 1))

    def _gather(self, name: str, table: Tensor, rows: Tensor, shape: torch.Size) -> Tensor:
        """Select rows of a table (n, ...) as a tensor of ``shape`` and what a row holds."""
        found = self._buffer(name, *shape, *table.shape[1:])
        torch.index_select(table, 0, rows, out=found.flatten(0, 1))
        return found

    def _buffer(self, name: str, *shape: int) -> Tensor:
        """Return an uninitialised tensor in memory that is used again under the same name: fresh pages cost time."""
        count = math.prod(shape)
        if name not in self.buffers or self.buffers[name].numel() < count:
            self.buffers[name] = self.pixels.new_empty(count)
        return self.buffers[name][:count].view(shape)


def _elements(rows: int, columns: int, window: int) -> int:
    """Half the elements of the largest buffer for a pixel: its bins in two pictures, or its window's kernels."""
    return max(rows * columns, window**2 * max(rows, columns))


def separable(pa: Tensor, pb: Tensor, qa: Tensor, qb: Tensor) -> tuple[Tensor, Tensor]:
    """Sum (sqrt(p) - sqrt(q))^2 of single pixels over all bins in O(L): sqrt(p) is an outer product itself.

    With sqrt(p) = a b^T and sqrt(q) = c d^T the sum is |a-c|^2 |b|^2 + |c|^2 |b-d|^2 + 2 <a-c, c> <b-d, b>.

    Args:
        pa: The prediction's derivatives and kernels along the first axis, (n, 2, I).
        pb: Its kernels and derivatives along the second axis, (n, 2, J).
        qa: The target's kernels along the first axis, (n, I).
        qb: The target's kernels along the second axis, (n, J).

    Returns:
        The sums (n,) and their derivatives by the pixels' intensities and neighbour means, times h, (n, 2).
    """
    a, b, c, d = (kernel.sqrt() for kernel in (pa[:, 1], pb[:, 0], qa, qb))
    da, db = a - c, b - d
    aa, bb = a.square().sum(1), b.square().sum(1)
    cross_a, cross_b = (da * c).sum(1), (db * b).sum(1)
    total = da.square().sum(1) * bb + c.square().sum(1) * db.square().sum(1) + 2 * cross_a * cross_b
    # d total / d sqrt(p) is 2 (a b^T - c d^T); that of a by v is a' / (2 a), where underflown kernels have a' = 0.
    tiny = torch.finfo(a.dtype).tiny
    by_a = (da * bb[:, None] + c * cross_b[:, None]) * pa[:, 0] / a.clamp(min=tiny)
    by_b = (db * aa[:, None] + d * (da * a).sum(1, keepdim=True)) * pb[:, 1] / b.clamp(min=tiny)
    return total.clamp_(min=0), torch.stack([by_a.sum(1), by_b.sum(1)], 1)


def _offsets(tiling: Tiling, window: int) -> Tensor:
    """Where in a tile's area the window around each of its outputs lies, (outputs, w^2), from the centre outwards."""
    reach = window // 2
    steps = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    steps.sort(key=lambda step: max(map(abs, step)))
    offsets = torch.tensor([y * tiling.pitch + x for y, x in steps])
    y, x = torch.arange(tiling.tile_height)[:, None], torch.arange(tiling.tile_width)
    outputs = (y + tiling.halo) * tiling.pitch + x + tiling.halo
    return outputs.flatten()[:, None] + offsets
