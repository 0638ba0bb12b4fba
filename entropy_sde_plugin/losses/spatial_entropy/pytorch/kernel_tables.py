"""Kernel values of a few bins at all pixels of a tile, looked up by rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.pytorch.tiling import OUTSIDE

__all__ = ['KernelTables']

#: Smallest exponent of a kernel: below it exp is a denormal float32, which is seven times slower.
LEAST_EXPONENT = -87


@dataclass(frozen=True)
class KernelTables:
    """Kernels of t tiles along both axes.

    Attributes:
        values: (prediction or target, t, axis, bins, area).
        steepness: The derivatives of the prediction's logarithms by its intensities, times h: (t, axis, bins, area).
    """

    values: Tensor
    steepness: Tensor

    @classmethod
    def of(cls, v: Tensor, origin: Tensor, span: int, spec: EntropySpec) -> KernelTables:
        """Evaluate the kernels of ``span`` bins.

        Args:
            v: Intensities and neighbour means of the prediction and the target in level units, (2, t, 2, area).
            origin: First bin of each tile and axis, (t, 2).
            span: Number of bins.
            spec: The options.
        """
        bins = origin[..., None] + torch.arange(span, device=v.device)
        bins = bins.masked_fill_(bins >= spec.levels, -int(OUTSIDE)).to(v.dtype)
        distance = bins[..., None] - v[:, :, :, None]
        sign = distance[0].sign()
        exponent = distance.abs_().mul_(-1 / spec.bandwidth)
        # At most 1/2, so that s (1 - s), the kernel, and 1 - 2 s, the size of its logarithm's slope, do not cancel.
        s = exponent.clamp(min=LEAST_EXPONENT).sigmoid_()
        steepness = sign.mul_(torch.rsub(s[0], 1, alpha=2))
        if spec.normalise:
            # log K = log e + 2 log(1 - s), whose softmax holds where all kernels underflow.
            values = torch.softmax(exponent + 2 * torch.log1p(-s), dim=3).mul_(v[:, :, :, None] < OUTSIDE)
            steepness -= (steepness * values[0]).sum(2, keepdim=True)
        else:
            values = s.addcmul_(s, s, value=-1)
        return cls(values, steepness)

    def rows(self, bins: Tensor) -> Tensor:
        """Return the rows of the flattened ``values`` that hold ``bins`` (2, t, m): (axis, prediction or target, t
        m)."""
        tiles, _, count, _ = self.steepness.shape
        first = torch.arange(0, 2 * tiles * count, count, device=bins.device).view(tiles, 2, 1).transpose(0, 1)
        rows = (bins + first).flatten(1)
        return torch.stack([rows, rows + 2 * tiles * count], 1)

    def select(self, rows: Tensor, axis: int, out: Tensor) -> None:
        """Write the prediction's kernels, then the target's, into ``out`` (2 t m, area)."""
        torch.index_select(self.values.flatten(0, 3), 0, rows[axis].flatten(), out=out)

    def contract(self, slope: Tensor, rows: Tensor, buffer: Tensor) -> Tensor:
        """Propagate derivatives to the pixels.

        Args:
            slope: Derivatives with respect to the logarithms of the prediction's products, (t m, area).
            rows: See `rows`.
            buffer: (2 t m, area), overwritten.

        Returns:
            Derivatives with respect to the tiles' intensities and neighbour means, times h: (2, t, area).
        """
        torch.index_select(self.steepness.flatten(0, 2), 0, rows[:, 0].flatten(), out=buffer)
        buffer.view(2, *slope.shape).mul_(slope)
        return buffer.view(2, len(self.steepness), -1, slope.shape[1]).sum(2)
