"""Which of a tile's L x L bins matter: products of kernels decay as exp(-d / h), d the L1 distance of both axes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ['OccupiedBins', 'occupied_bins']


@dataclass(frozen=True)
class OccupiedBins:
    """The bins of T tiles: in every row i of bins, one interval of j.

    Attributes:
        low: First j of each row, (T, L), int64.
        ends: Number of bins in the rows up to and including i, (T, L), int64.
        origin: Smallest occupied i and j of each tile, (T, 2), int64.
        counts: Number of bins of each tile.
        spans: Extent of each tile's bins along the axis where it is larger.
    """

    low: Tensor
    ends: Tensor
    origin: Tensor
    counts: list[int]
    spans: list[int]

    def fullest_first(self) -> tuple[OccupiedBins, Tensor]:
        """Sort the tiles by their numbers of bins, descending; return the order too, (T,)."""
        ranked = sorted(range(len(self.counts)), key=self.counts.__getitem__, reverse=True)
        order = torch.tensor(ranked).to(self.low.device, non_blocking=True)
        counts, spans = ([values[tile] for tile in ranked] for values in (self.counts, self.spans))
        return OccupiedBins(self.low[order], self.ends[order], self.origin[order], counts, spans), order

    def enumerate(self, tiles: slice, start: int, stop: int, none: int) -> Tensor:
        """List the bins numbered ``start`` to ``stop`` of some tiles.

        Args:
            tiles: The tiles.
            start: First number.
            stop: Number after the last.
            none: Row to give where a tile has no bin of that number.

        Returns:
            Rows i and columns j counted from the tile's origin, (2, t, stop - start).
        """
        low, ends, origin = self.low[tiles], self.ends[tiles], self.origin[tiles]
        number = torch.arange(start, stop, device=low.device).expand(len(low), -1).contiguous()
        exists = number < ends[:, -1:]
        i = torch.searchsorted(ends, number, right=True).clamp_(max=ends.shape[1] - 1)
        first = torch.nn.functional.pad(ends, (1, 0)).gather(1, i)
        j = low.gather(1, i) + number - first
        bins = torch.stack([i, j]) - origin.t()[:, :, None]
        return torch.where(exists, bins, torch.tensor([none, 0], device=low.device)[:, None, None])


def occupied_bins(points: Tensor, levels: int, reach: int) -> OccupiedBins:
    """Find the bins within ``reach`` levels of a tile's points, filling the gaps within a row.

    The one host synchronisation of an engine call stands here.

    Args:
        points: Positions (i, j) in level units, (T, 2, points). Points beyond the bins count as far as they reach in.
        levels: L.
        reach: In the L1 distance of both axes, up to rounding.
    """
    margin = reach + 1
    i, j = points.clamp(-margin, levels - 1 + margin).round_().to(torch.int32).unbind(1)
    # Smallest j and smallest -j of the points in each row i; rows -margin ... L-1 + margin.
    nowhere = 4 * (levels + margin)
    smallest = torch.full((len(points), 2, levels + 2 * margin), nowhere, dtype=torch.int32, device=points.device)
    row = (i + margin).long()[:, None].expand(-1, 2, -1)
    smallest = smallest.scatter_reduce(2, row, torch.stack([j, -j], 1), 'amin')
    smallest = _dilate(smallest, reach)[..., margin:-margin] - reach
    low = smallest[:, 0].clamp(min=0)
    high = (-smallest[:, 1]).clamp(max=levels - 1)
    length = (high - low + 1).clamp_(min=0)
    ends = length.cumsum(1)
    # The extent in both axes; an empty tile has the extent 1 at 0.
    filled = length > 0
    rows = torch.arange(levels, device=points.device, dtype=torch.int32).expand_as(low)
    first = torch.stack([_least(rows, filled, levels), _least(low, filled, levels)], 1)
    last = torch.stack([-_least(-rows, filled, 1), -_least(-high, filled, 1)], 1)
    empty = ends[:, -1:] == 0
    first = first.masked_fill(empty, 0).long()
    spans = (last.masked_fill(empty, 0) - first + 1).amax(1)
    counts, spans = torch.stack([ends[:, -1], spans]).tolist()
    return OccupiedBins(low.long(), ends, first, counts, spans)


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
