"""The spatial entropy on CUDA devices: a window's densities live in the registers of one program.

Memory is limited in two ways. Planes are processed in groups, so that a group's tables of kernels fit into
`TABLE_BYTES`. The pixels of a group are processed in ranges, so that a range's parts of the gradient fit into
`PART_BYTES`. A group has at least one plane, a range at least one pixel. Nothing waits for the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.definition import DENSITY_FLOOR, RELATIVE_ENTROPY_EPS, EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.triton.first_use import interpreted
from entropy_sde_plugin.losses.spatial_entropy.triton.kernels import collect_gradient, compare_windows, kernel_tables

__all__ = ['PIXELS', 'Problem', 'distance_and_gradient']

TABLE_BYTES = 64 << 20
PART_BYTES = 32 << 20

#: Bins farther than this many bandwidths from every pixel of a window are left out: exp(-16) is near float32's
#: round-off. The cross entropy's terms -q ln p grow as q vanishes.
REACH = {'hellinger': 16, 'relative_entropy': 16, 'cross_entropy': 20}

#: Pixels of a program of the two kernels that work pixel by pixel, and bins that `kernel_tables` works on at once.
PIXELS = 128
TABLE_BINS = 32

#: Where Python interprets the kernels, a program takes much more at once: pixels; pixels around each centre; elements
#: of a tensor, of which Triton allows no more.
PIXELS_INTERPRETED = 4096
SLOTS_INTERPRETED = 8
ELEMENTS_INTERPRETED = 1 << 20


@torch.no_grad()
def distance_and_gradient(
    v: Tensor, v_nbr: Tensor, w: Tensor, w_nbr: Tensor, spec: EntropySpec, need_gradient: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Compute the distance of every plane and its gradient; see `definition.SpatialEntropyEngine`.

    Float32 on a CUDA device, or on the CPU in Triton's interpreter. Repeated calls give the same bits.
    """
    planes = torch.stack([plane.detach() for plane in (v, v_nbr, w, w_nbr)])
    problem = Problem.of(planes, spec, need_gradient)
    value = v.new_empty(len(v))
    # Two tensors: the results of an operator must not share memory.
    grad_v, grad_v_nbr = (torch.empty_like(v) if need_gradient else v.new_empty(len(v), 0, 0) for _ in range(2))
    step = max(1, TABLE_BYTES // problem.table_bytes)
    with torch.cuda.device_of(v):
        for first in range(0, len(v), step):
            group = slice(first, first + step)
            value[group], (grad_v[group], grad_v_nbr[group]) = problem.finish(planes[:, group].contiguous())
    return (value, grad_v, grad_v_nbr) if need_gradient else (value, None, None)


@dataclass(frozen=True)
class Problem:
    """What all groups of planes share.

    Attributes:
        spec: The options.
        need_gradient: Whether to differentiate.
        height: H.
        width: W.
        sides: The windows' sides, ascending; none longer than what covers the image from everywhere.
        areas: What their densities are divided by: the areas as asked for.
        scale: Factor of the densities, a power of two. For the Hellinger distance such that products of two densities
            are normal numbers: sums over a window stay below 2^60.
    """

    spec: EntropySpec
    need_gradient: bool
    height: int
    width: int
    sides: tuple[int, ...]
    areas: tuple[float, ...]
    scale: float

    @classmethod
    def of(cls, planes: Tensor, spec: EntropySpec, need_gradient: bool) -> Problem:
        """Prepare for planes (..., H, W)."""
        height, width = planes.shape[-2:]
        windows = sorted(spec.windows)
        covering = 2 * max(height, width) - 1
        sides = tuple(min(window, covering) for window in windows)
        largest = spec.prefactor * (1 if spec.normalise else 1 / 16) * sides[-1] ** 2
        scale = 2.0 ** (60 - math.ceil(math.log2(largest))) if spec.distance == 'hellinger' else 1.0
        areas = tuple(float(window**2) for window in windows)
        return cls(spec, need_gradient, height, width, sides, areas, scale)

    @property
    def pixels(self) -> int:
        """Pixels of a plane."""
        return self.height * self.width

    @property
    def table_bytes(self) -> int:
        """Memory of the tables of one plane."""
        return (6 if self.need_gradient else 4) * self.pixels * self.spec.levels * 4

    @property
    def constants(self) -> dict[str, Any]:
        """What `compare_windows` is compiled for."""
        levels, twice = self.spec.levels, self.need_gradient and self.spec.distance == 'hellinger'
        # The values of a block, for p, q and each window, must fit the registers of a warp.
        rows = min(triton.next_power_of_2(levels), 32 if len(self.sides) <= 3 else 16)
        columns = min(triton.next_power_of_2(levels), 32)
        one_block = levels <= rows
        slots = SLOTS_INTERPRETED if interpreted() else 1
        centres = 1
        if interpreted():
            centres = min(ELEMENTS_INTERPRETED // (slots * rows * columns), triton.next_power_of_2(self.pixels))
        return {
            'DISTANCE': self.spec.distance,
            'AREAS': self.areas,
            'RINGS': (0, *(side**2 for side in self.sides)),
            'GRADIENT': self.need_gradient,
            'ONE_BLOCK': one_block,
            'SWEEPS': 2 if twice and not one_block else 1,
            'ROWS': rows,
            'COLUMNS': columns,
            'CENTRES': centres,
            'SLOTS': slots,
        }

    def finish(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the distances and the gradient of planes (4, n, H, W): (n,) and (2, n, H, W) or (2, n, 0, 0)."""
        spec, count = self.spec, planes.shape[1] * self.pixels
        tables = self._tables(planes)
        offsets = _ring_offsets(self.sides, planes.device)
        slots = offsets.shape[1]
        distances = planes.new_empty(count)
        gradient = torch.zeros_like(planes[:2]) if self.need_gradient else planes.new_empty(2, planes.shape[1], 0, 0)
        step = max(1, PART_BYTES // (8 * slots)) if self.need_gradient else count
        constants = self.constants
        # In the densities' unit the Hellinger distance is sqrt(scale) times too large.
        factor = 1 / (len(self.sides) * math.sqrt(self.scale))
        for start in range(0, count, step):
            stop = min(start + step, count)
            parts = planes.new_zeros(2 * slots * (stop - start) if self.need_gradient else 0)
            _launch(
                compare_windows,
                triton.cdiv(stop - start, constants['CENTRES']),
                *planes,
                *tables,
                offsets,
                distances[start:stop],
                parts,
                start,
                stop,
                self.height,
                self.width,
                spec.levels,
                REACH[spec.distance] * spec.bandwidth,
                RELATIVE_ENTROPY_EPS if spec.distance == 'relative_entropy' else DENSITY_FLOOR * self.scale,
                spec.root_epsilon * self.scale,
                factor / self.pixels,
                **constants,
                num_warps=1,
            )
            if self.need_gradient:
                shape = (start, stop, count, self.height, self.width, slots)
                pixels = _pixels_of_a_program()
                _launch(collect_gradient, triton.cdiv(count, pixels), parts, offsets, gradient, *shape, PIXELS=pixels)
        return distances.view(-1, self.pixels).mean(1) * factor, gradient

    def _tables(self, planes: Tensor) -> list[Tensor]:
        """Return A, B and their derivatives of the prediction, A and B of the target: (n H W, L) each."""
        count, levels, pixels = planes.shape[1] * self.pixels, self.spec.levels, _pixels_of_a_program()
        a, b, c, d = (planes.new_empty(count, levels) for _ in range(4))
        a_slope, b_slope = (planes.new_empty(count, levels) if self.need_gradient else a for _ in range(2))
        along_i, along_j = self.spec.prefactor * self.scale, 1.0
        for plane, table, slopes, factor in (
            (planes[0], a, a_slope, along_i),
            (planes[1], b, b_slope, along_j),
            (planes[2], c, None, along_i),
            (planes[3], d, None, along_j),
        ):
            _launch(
                kernel_tables,
                triton.cdiv(count, pixels),
                plane,
                table,
                slopes,
                count,
                levels,
                1 / self.spec.bandwidth,
                factor,
                SLOPES=self.need_gradient and slopes is not None,
                NORMALISE=self.spec.normalise,
                PIXELS=pixels,
                BINS=TABLE_BINS,
            )
        return [a, b, a_slope, b_slope, c, d]


def _launch(kernel: Any, programs: int, *arguments: Any, **options: Any) -> None:
    kernel[(programs,)](*arguments, **options)


def _pixels_of_a_program() -> int:
    return PIXELS_INTERPRETED if interpreted() else PIXELS


@cache
def _ring_offsets(sides: tuple[int, ...], device: torch.device) -> Tensor:
    """Rows and columns of a window's pixels from its centre, the smallest window's first: (2, slots) int32."""
    offsets, inner = [], -1
    for side in sides:
        reach = side // 2
        span = range(-reach, reach + 1)
        offsets += [(y, x) for y in span for x in span if max(abs(y), abs(x)) > inner]
        inner = reach
    return torch.tensor(offsets, dtype=torch.int32).t().contiguous().to(device)
