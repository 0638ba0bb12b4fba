"""Which of a tile's L x L bins matter: products of kernels decay as exp(-d / h), d the L1 distance of both axes.

Where the terms of a sum over the bins are homogeneous in both densities, fewer bins do. Beyond all pixels of a tile, u
bandwidths from the nearest, kernels are series in e = exp(-u), K = e - 2 e^2 + 3 e^3 - ..., and so are the densities
and the terms; from bin to bin a term's part in e^n falls by exp(-n / h). Two bins can therefore represent all beyond
them, by weights that are exact for n = 1 and n = 2: what is left out falls as e^3, and a third of the reach is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.pytorch.tiling import OUTSIDE

__all__ = ['BinLists', 'OccupiedBins', 'occupied_bins']

#: Bins that are listed together.
LISTED_AHEAD = 1 << 14


@dataclass(frozen=True)
class OccupiedBins:
    """The bins of T tiles: in every row i of bins, one interval of j.

    Attributes:
        low: First j of each row, (T, L), int64.
        ends: Number of bins in the rows up to and including i, (T, L), int64.
        origin: Smallest occupied i and j of each tile, (T, 2), int64.
        row_weights: Weight of each row in a sum over the bins, (T, L); None if the bins weigh 1.
        tails: See `_tail_weights`.
        counts: Number of bins of each tile.
        spans: Extent of each tile's bins along the axis where it is larger.
    """

    low: Tensor
    ends: Tensor
    origin: Tensor
    row_weights: Tensor | None
    tails: Tensor
    counts: list[int]
    spans: list[int]

    def fullest_first(self) -> tuple[OccupiedBins, Tensor]:
        """Sort the tiles by their numbers of bins, descending; return the order too, (T,)."""
        ranked = sorted(range(len(self.counts)), key=self.counts.__getitem__, reverse=True)
        order = torch.tensor(ranked).to(self.low.device, non_blocking=True)
        counts, spans = ([values[tile] for tile in ranked] for values in (self.counts, self.spans))
        row_weights = None if self.row_weights is None else self.row_weights[order]
        tensors = self.low[order], self.ends[order], self.origin[order], row_weights, self.tails
        return OccupiedBins(*tensors, counts, spans), order

    def enumerate(self, tiles: slice, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """List the bins numbered ``start`` to ``stop`` of some tiles.

        Returns:
            Rows i and columns j counted from the tile's origin, (2, t, stop - start), 0 where a tile has no bin of
            that number; and the bins' weights in a sum over all bins, (t, stop - start), 0 there.
        """
        low, ends, origin = self.low[tiles], self.ends[tiles], self.origin[tiles]
        number = torch.arange(start, stop, device=low.device).expand(len(low), -1).contiguous()
        exists = number < ends[:, -1:]
        i = torch.searchsorted(ends, number, right=True).clamp_(max=low.shape[1] - 1)
        first = torch.nn.functional.pad(ends, (1, 0)).gather(1, i)
        low = low.gather(1, i)
        j = low + number - first
        bins = (torch.stack([i, j]) - origin.t()[:, :, None]).mul_(exists)
        if self.row_weights is None:
            return bins, exists.to(self.tails.dtype)
        high = low + ends.gather(1, i) - 1 - first
        weights = _end_weights(self.tails, j, low, high)
        return bins, weights.mul_(self.row_weights[tiles].gather(1, i)).mul_(exists)


class BinLists:
    """The bins of tiles, listed for many tiles at a time: forty small operations, however many there are."""

    def __init__(self, bins: OccupiedBins) -> None:
        self.occupied = bins
        self.tiles, self.numbers = range(0), range(0)

    def of(self, tiles: slice, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return `OccupiedBins.enumerate` of the same arguments; tiles are to be asked for in ascending order."""
        if not (tiles.stop - 1 in self.tiles and stop - 1 in self.numbers and start in self.numbers):
            most = self.occupied.counts[tiles.start]
            self.numbers = range(most) if most <= LISTED_AHEAD else range(start, stop)
            self.tiles = range(tiles.start, max(tiles.stop, tiles.start + LISTED_AHEAD // len(self.numbers)))
            ahead = slice(self.tiles.start, self.tiles.stop)
            self.bins, self.weights = self.occupied.enumerate(ahead, self.numbers.start, self.numbers.stop)
        rows = slice(tiles.start - self.tiles.start, tiles.stop - self.tiles.start)
        columns = slice(start - self.numbers.start, stop - self.numbers.start)
        return self.bins[:, rows, columns], self.weights[rows, columns]


def occupied_bins(points: Tensor, levels: int, bandwidth: float, reach: float, extrapolate: bool) -> OccupiedBins:
    """Find the bins within ``reach`` bandwidths of a tile's points, filling the gaps within a row.

    The one host synchronisation of an engine call is here.

    Args:
        points: Positions (i, j) in level units, (T, 2, points), in 0 ... L-1 or `OUTSIDE`.
        levels: L.
        bandwidth: Kernel width h in levels.
        reach: In the L1 distance of both axes, up to rounding.
        extrapolate: Whether the bins beyond a third of it, along either axis, may be left to weights.
    """
    reach, steepness = math.ceil(reach * bandwidth), 3 if extrapolate else 1
    margin = reach + 1
    i, j = points.clamp(max=levels - 1 + margin).unbind(1)
    # In each row i the smallest j and the smallest -j, times steepness; rows -margin ... L-1 + margin.
    nowhere = 4 * steepness * (levels + margin)
    smallest = torch.full((len(points), 2, levels + 2 * margin), nowhere, dtype=torch.int32, device=points.device)
    row = (i.round().long() + margin)[:, None].expand(-1, 2, -1)
    j = (j * steepness).round_().to(torch.int32)
    smallest = smallest.scatter_reduce(2, row, torch.stack([j, -j], 1), 'amin')
    smallest = _dilate(smallest, reach)[..., margin:-margin] - reach
    smallest = torch.div(smallest, steepness, rounding_mode='floor')
    low = smallest[:, 0].clamp(min=0)
    high = (-smallest[:, 1]).clamp(max=levels - 1)
    # The first and the last row, as far from all points as the ends of a row at a point.
    last = points[:, :1].masked_fill(points[:, :1] == OUTSIDE, -OUTSIDE).amax(2).add_(reach / steepness).ceil_()
    first = points[:, :1].amin(2).sub_(reach / steepness).floor_()
    first, last = first.clamp_(0, levels).int(), last.clamp_(-1, levels - 1).int()
    rows = torch.arange(levels, device=points.device, dtype=torch.int32).expand_as(low)
    length = (high - low + 1).clamp_(min=0).masked_fill_((rows < first) | (rows > last), 0)
    tails = _tail_weights(levels, bandwidth).to(points)
    row_weights = _end_weights(tails, rows, first, last) if extrapolate else None
    ends = length.cumsum(1)
    # The extent in both axes; an empty tile has the extent 1 at 0.
    filled = length > 0
    origin = torch.stack([_least(rows, filled, levels), _least(low, filled, levels)], 1)
    last = torch.stack([-_least(-rows, filled, 1), -_least(-high, filled, 1)], 1)
    empty = ends[:, -1:] == 0
    origin = origin.masked_fill(empty, 0).long()
    spans = (last.masked_fill(empty, 0) - origin + 1).amax(1)
    counts, spans = torch.stack([ends[:, -1], spans]).tolist()
    return OccupiedBins(low.long(), ends, origin, row_weights, tails, counts, spans)


def _tail_weights(levels: int, bandwidth: float) -> Tensor:
    """Weights to add at an end of an interval of bins, in place of the bins beyond it.

    Returns:
        (3, L): for the last bin, the one before it and all others; column k is for k bins beyond the end.
    """
    ratio = math.exp(-1 / bandwidth)
    beyond = torch.arange(levels, dtype=torch.float64)
    # The sums of ratio^k and ratio^(2 k) over k = 1 ... beyond. The two weights fulfil
    # last + previous / ratio = simple and last + previous / ratio^2 = double.
    simple, double = (r * (1 - r**beyond) / (1 - r) for r in (ratio, ratio**2))
    last = simple - (double - simple) * ratio / (1 - ratio)
    previous = (double - simple) * ratio**2 / (1 - ratio)
    return torch.stack([last, previous, torch.zeros_like(last)])


def _end_weights(tails: Tensor, bins: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Weights of bins in intervals ``first`` to ``last``, which represent all of 0 ... L-1 along their axis."""
    others, most = tails.shape[0] - 1, tails.shape[1] - 1
    below = tails[(bins - first).clamp_(0, others), first.clamp(0, most)]
    above = tails[(last - bins).clamp_(0, others), (most - last).clamp_(0, most)]
    return below.add_(above).add_(1)


def _least(values: Tensor, where: Tensor, otherwise: int) -> Tensor:
    return values.masked_fill(~where, otherwise).amin(1)


def _dilate(smallest: Tensor, reach: int) -> Tensor:
    """Minimum over |d| <= reach of smallest(i + d) + |d|, in steps that double."""
    step, covered = 1, 0
    while covered < reach:
        step = min(step, reach - covered)
        padded = torch.nn.functional.pad(smallest, (step, step), value=torch.iinfo(smallest.dtype).max // 2)
        neighbours = torch.minimum(padded[..., : -2 * step], padded[..., 2 * step :])
        smallest = torch.minimum(smallest, neighbours + step)
        covered += step
        step *= 2
    return smallest
