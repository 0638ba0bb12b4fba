"""The spatial entropy in PyTorch: any device, float32 or float64, few and large operations.

The planes are cut into tiles. For each tile only the bins near its pixels are evaluated (`occupied_bins`); one row of
memory holds one bin for all pixels of the tile and its halo. Products of kernels, sums over windows (shifts of these
rows) and sums over bins are then plain operations on large arrays. Each chunk of tiles is finished, gradient included,
before the next begins, so that only one chunk is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.pytorch.kernel_tables import KernelTables
from entropy_sde_plugin.losses.spatial_entropy.pytorch.occupied_bins import BinLists, OccupiedBins, occupied_bins
from entropy_sde_plugin.losses.spatial_entropy.pytorch.tiling import OUTSIDE, Tiling
from entropy_sde_plugin.losses.spatial_entropy.pytorch.window_sums import PooledSums, Scratch, ShiftedSums, WindowSums
from entropy_sde_plugin.losses.spatial_entropy.pytorch.window_terms import window_terms

__all__ = ['distance_and_gradient']

#: Elements (bins x pixels) of a chunk: on a CPU its buffers should fit the caches, on a GPU there should be few
#: launches.
CHUNK_ELEMENTS_CPU = 3 << 17
CHUNK_ELEMENTS = 1 << 23

#: Pixels of the planes that are cut into tiles together (at least one plane); cutting takes about 200 bytes a pixel.
GROUP_PIXELS_CPU = 1 << 14
GROUP_PIXELS = 1 << 22

WINDOW_SUMS: dict[str, type[WindowSums]] = {'cpu': ShiftedSums}

#: Bins farther than this many bandwidths from every pixel of a tile are left out. exp(-16) is near float32's round-off;
#: measured: 16 leaves 1e-7 to 6e-7 in the gradient, 14 up to 5e-6. The cross entropy's terms -q ln p grow as q
#: vanishes: 16 leaves up to 2e-5 in the value, 20 leaves 4e-7. The Hellinger distance's tails are extrapolated: 16
#: leaves up to 2e-5 in the gradient, 18 4e-6 up to 64 levels; beyond them pixels lie far apart, most of the gradient
#: cancels, and 18 leaves up to 2e-5 of the rest where 24 leaves rounding alone.
REACH = {'hellinger': 18, 'relative_entropy': 16, 'cross_entropy': 20}
REACH_HELLINGER_FINE = 24
FINE_LEVELS = 64
REACH_DOUBLE = 40

#: Side of a tile in halos; less for the distance whose gradient goes twice through the bins of a tile that is cut.
HALOS = {'hellinger': 6, 'relative_entropy': 10, 'cross_entropy': 10}


@torch.no_grad()
def distance_and_gradient(
    v: Tensor, v_nbr: Tensor, w: Tensor, w_nbr: Tensor, spec: EntropySpec, need_gradient: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Compute the distance of every plane and its gradient; see `definition.SpatialEntropyEngine`."""
    pixels = GROUP_PIXELS_CPU if v.device.type == 'cpu' else GROUP_PIXELS
    planes = max(1, pixels // v[0].numel())
    groups = zip(*(plane.split(planes) for plane in (v, v_nbr, w, w_nbr)), strict=True)
    with torch.inference_mode():  # cheaper views than without gradients alone
        scratch = Scratch(v)
        found = [_finish_group(a, a_nbr, b, b_nbr, spec, need_gradient, scratch) for a, a_nbr, b, b_nbr in groups]
    value, grad_v, grad_v_nbr = (torch.cat(parts) for parts in zip(*found, strict=True))
    # NaN reaches no bin, and tiles without bins are left out.
    lost = torch.stack([plane.flatten(1).isnan().any(1) for plane in (v, v_nbr, w, w_nbr)]).any(0)
    value.masked_fill_(lost, math.nan)
    if not need_gradient:
        return value, None, None
    for gradient in (grad_v, grad_v_nbr):
        gradient.masked_fill_(lost[:, None, None], math.nan)
    return value, grad_v, grad_v_nbr


def _finish_group(
    v: Tensor, v_nbr: Tensor, w: Tensor, w_nbr: Tensor, spec: EntropySpec, need_gradient: bool, scratch: Scratch
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the distance of planes that are cut together, and its gradient (without ``need_gradient`` empty)."""
    tiling = Tiling.of(v, max(spec.windows), HALOS[spec.distance])
    # (prediction and target, tiles, intensity and neighbour mean, area)
    pixels = torch.stack([torch.stack([tiling.cut(plane) for plane in pair], 1) for pair in ((v, v_nbr), (w, w_nbr))])
    # The Hellinger distance's terms are homogeneous in the densities, which makes their tails geometric series.
    extrapolate = spec.distance == 'hellinger' and not spec.normalise
    found = occupied_bins(_reaching(pixels, spec), spec.levels, spec.bandwidth, _reach(spec, v.dtype), extrapolate)
    bins, order = found.fullest_first()
    tiles = _Tiles(spec, tiling, pixels[:, order], bins, order, need_gradient, scratch)
    del pixels
    for chunk in _chunks(bins, tiles.rows):
        tiles.finish(chunk)
    back = order.argsort()
    value = tiles.values()[back].view(len(v), -1).sum(1)
    if not need_gradient:
        return value, v.new_empty(0), v.new_empty(0)
    grad_v, grad_v_nbr = tiles.gradient[:, back] / spec.bandwidth
    return value, tiling.join(grad_v), tiling.join(grad_v_nbr)


def _reach(spec: EntropySpec, dtype: torch.dtype) -> int:
    """How far from a tile's pixels bins count, in bandwidths."""
    if dtype == torch.float64:
        return REACH_DOUBLE
    if spec.distance == 'hellinger' and spec.levels > FINE_LEVELS:
        return REACH_HELLINGER_FINE
    return REACH[spec.distance]


def _reaching(pixels: Tensor, spec: EntropySpec) -> Tensor:
    """Positions (tiles, 2, points) near which bins count.

    The logarithmic distances weight every bin by the target's density, so only the target's bins matter. Pixels outside
    the bins are moved to the nearest bin, where their kernels are largest.
    """
    points = pixels if spec.distance == 'hellinger' else pixels[1:]
    points = torch.where(points < OUTSIDE, points.clamp(0, spec.levels - 1), OUTSIDE)
    return points.movedim(0, 2).flatten(2)


@dataclass(frozen=True)
class _Chunk:
    """Tiles that are finished together.

    Attributes:
        tiles: Their place in the order.
        parts: Intervals of bin numbers to work through; several when one tile alone fills the buffers.
        span: Largest extent of their bins.
    """

    tiles: slice
    parts: list[tuple[int, int]]
    span: int


def _chunks(bins: OccupiedBins, rows: int) -> Iterator[_Chunk]:
    """Group tiles, the fullest first, into chunks of at most ``rows`` bins. Tiles without bins are left out."""
    at, filled = 0, len(bins.counts) - bins.counts.count(0)
    while at < filled:
        most = bins.counts[at]
        stop = min(filled, at + max(1, rows // most))
        parts = [(start, min(start + rows, most)) for start in range(0, most, rows)]
        yield _Chunk(slice(at, stop), parts, max(bins.spans[at:stop]))
        at = stop


class _Tiles:
    """The tiles of one engine call, the fullest first, with the buffers to work through them.

    Attributes:
        rows: Largest number of bins of a part of a chunk.
        gradient: Derivatives with respect to the tiles' intensities and neighbour means, times h: (2, T, area).
    """

    def __init__(
        self,
        spec: EntropySpec,
        tiling: Tiling,
        pixels: Tensor,
        bins: OccupiedBins,
        order: Tensor,
        need_gradient: bool,
        scratch: Scratch,
    ) -> None:
        self.spec, self.pixels, self.bins, self.need_gradient = spec, pixels, bins, need_gradient
        self.lists, self.scratch = BinLists(bins), scratch
        elements = CHUNK_ELEMENTS_CPU if pixels.device.type == 'cpu' else CHUNK_ELEMENTS
        self.rows = max(1, min(elements // tiling.area, sum(bins.counts)))
        scratch.reserve(2 * self.rows * tiling.area)
        # The largest window first: its gradient covers the tile with its halo, the others are added inside.
        self.windows = sorted(spec.windows, reverse=True)
        self.terms = window_terms(spec)
        self.offset = pixels.new_tensor(self.terms.offset)
        kind = WINDOW_SUMS.get(pixels.device.type, PooledSums)
        weights = tiling.weights(pixels) / len(self.windows)
        self.window_sums = kind(tiling, self.windows, self.rows if need_gradient else 0, self.scratch, weights)
        self.weights = self.window_sums.weights[order % len(weights)]
        self.totals = [torch.zeros_like(self.weights) for _ in self.windows]
        self.gradient = pixels.new_zeros(2, len(order) if need_gradient else 0, tiling.area)

    def finish(self, chunk: _Chunk) -> None:
        """Add up the terms of a chunk's bins, and its gradient."""
        tables = KernelTables.of(self.pixels[:, chunk.tiles], self.bins.origin[chunk.tiles], chunk.span, self.spec)
        # If a derivative needs the sum over all bins and the bins come in parts, two passes are needed.
        twice = self.need_gradient and len(chunk.parts) > 1 and not self.terms.one_pass
        for add_totals, add_slopes in [(True, False), (False, True)] if twice else [(True, self.need_gradient)]:
            for start, stop in chunk.parts:
                bins, bin_weights = self.lists.of(chunk.tiles, start, stop)
                rows = tables.rows(bins)
                products = self._products(tables, rows, bin_weights)
                slope = self._windows(products, chunk.tiles, add_totals, add_slopes)
                if slope is not None:
                    slope *= products[: len(slope)].sub_(self.offset)
                    buffer = self.scratch.take(*products.shape)
                    self.gradient[:, chunk.tiles].add_(tables.contract(slope, rows, buffer))
                    self.scratch.give(buffer, slope)
                self.scratch.give(products)

    def _products(self, tables: KernelTables, rows: Tensor, bin_weights: Tensor) -> Tensor:
        """Weighted products of kernels plus the offset, (2 rows, area): the prediction's bins above the target's.

        With the offset on every product, a window's sum divided by w^2 is density + offset. Weights may be in both
        densities, since the terms of a distance that is given any but 0 and 1 are homogeneous in them.
        """
        products, other = (self.scratch.take(rows[0].numel(), self.pixels.shape[-1]) for _ in range(2))
        tables.select(rows, 0, products)
        tables.select(rows, 1, other)
        if self.bins.row_weights is not None or len(bin_weights) > 1:
            other.view(2, *bin_weights.shape, -1).mul_(bin_weights[:, :, None])
        torch.addcmul(self.offset, products, other, value=self.spec.prefactor, out=products)
        self.scratch.give(other)
        return products

    def _windows(self, products: Tensor, tiles: slice, add_totals: bool, add_slopes: bool) -> Tensor | None:
        """Go through the windows; return the gradient with respect to the prediction's products, (rows, area)."""
        slope, weights = None, self.weights[tiles]
        for window, totals in zip(self.windows, self.totals, strict=True):
            total = totals[tiles]
            sums = self.window_sums.sums(products, window)
            p, q = sums.chunk(2)
            ratio, terms = self.scratch.take(*sums.shape).chunk(2)
            self.terms.split(p, q, window, ratio, terms)
            self.scratch.give(sums)
            if add_totals:
                total += terms.view(len(total), len(terms) // len(total), -1).sum(1)
            if add_slopes:
                factor = self.terms.slope(total, window) * weights
                slope = self.window_sums.spread(ratio, factor, window, slope)
            else:
                self.scratch.give(ratio)
        return slope

    def values(self) -> Tensor:
        """The tiles' shares of their planes' distances, (T,)."""
        values = [self.terms.value(total, window) for total, window in zip(self.totals, self.windows, strict=True)]
        return (torch.stack(values).sum(0) * self.weights).sum(1)
