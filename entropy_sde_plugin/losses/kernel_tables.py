"""Kernel values of a few bins at all pixels of a tile, looked up by rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from entropy_sde_plugin.losses.engine_contract import EntropySpec
from entropy_sde_plugin.losses.tiling import OUTSIDE

__all__ = ['KernelTables']

#: Least exponent of a kernel: exp of what lies below is a denormal float32, which takes seven times as long.
LEAST_EXPONENT = -87


@dataclass(frozen=True)
class KernelTables:
    """Kernels of t tiles along both axes. The last bin of each tile stands for none: its kernels vanish.

    Attributes:
        values: (t, axis, prediction or target, bins, area).
        steepness: The derivatives of the prediction's logarithms by its intensities, times h: (t, axis, bins, area).
    """

    values: Tensor
    steepness: Tensor

    @classmethod
    def of(cls, v: Tensor, origin: Tensor, span: int, spec: EntropySpec) -> KernelTables:
        """Evaluate the kernels of ``span`` bins, and the one that stands for none.

        Args:
            v: Intensities and neighbour means of the prediction and the target in level units, (t, 2, 2, area).
            origin: First bin of each tile and axis, (t, 2).
            span: Number of bins.
            spec: The options.
        """
        number = torch.arange(span + 1, device=v.device)
        bins = origin[..., None] + number
        bins = bins.masked_fill_((bins >= spec.levels) | (number == span), -int(OUTSIDE)).to(v.dtype)
        distance = bins[:, :, None, :, None] - v[:, :, :, None]
        exponent = distance.abs().mul_(-1 / spec.bandwidth)
        e = exponent.clamp(min=LEAST_EXPONENT).exp_()
        steepness = torch.tanh(distance[:, :, 0].mul_(0.5 / spec.bandwidth))
        if spec.normalise:
            # log K = log e - 2 log(1 + e), whose softmax holds where all kernels underflow.
            values = torch.softmax(exponent - 2 * torch.log1p(e), dim=3).mul_(v[:, :, :, None] < OUTSIDE)
            steepness -= (steepness * values[:, :, 0]).sum(2, keepdim=True)
        else:
            # e / (1 + e)^2: sigmoid(u) sigmoid(-u) would cancel to 0 in float32 from |u| = 17 on.
            values = e.div_((e + 1).square_())
        return cls(values, steepness)

    def select(self, bins: Tensor, axis: int, out: Tensor) -> None:
        """Write the prediction's kernels of bins (t, m), then the target's, into ``out`` (2 t m, area)."""
        count = self.values.shape[3]
        rows = bins + self._first_rows(self.values) + 2 * axis * count
        torch.index_select(self.values.flatten(0, 3), 0, torch.cat([rows.flatten(), rows.flatten() + count]), out=out)

    def contract(self, slope: Tensor, bins: Tensor, buffer: Tensor) -> Tensor:
        """Carry derivatives on to the pixels.

        Args:
            slope: Derivatives by the logarithms of the prediction's products, (t m, area).
            bins: Along both axes, (2, t, m).
            buffer: (2 t m, area), overwritten.

        Returns:
            Derivatives by the tiles' intensities and neighbour means, times h: (2, t, area).
        """
        rows = bins + self._first_rows(self.steepness)
        rows[1].add_(self.steepness.shape[2])
        torch.index_select(self.steepness.flatten(0, 2), 0, rows.flatten(), out=buffer)
        buffer.view(2, *slope.shape).mul_(slope)
        return buffer.view(*bins.shape, -1).sum(2)

    @staticmethod
    def _first_rows(table: Tensor) -> Tensor:
        """Number of each tile's first row in a table laid out flat, (t, 1)."""
        tiles, rows = len(table), table[0, ..., 0].numel()
        return torch.arange(0, tiles * rows, rows, device=table.device)[:, None]
