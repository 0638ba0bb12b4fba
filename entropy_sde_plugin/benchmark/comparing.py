"""Comparison of results from a device with those from the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from entropy_sde_plugin.benchmark.part import Row

__all__ = ['compared', 'relative_difference', 'without_tf32']


def relative_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference of corresponding tensors, relative to the expected one in the L2 norm, or NaN.

    Example:
        >>> relative_difference([torch.tensor([3.0, 4.5])], [torch.tensor([3.0, 4.0])])
        0.1
    """
    pairs = zip(found, expected, strict=True)
    differences = [(one.cpu().double() - other.double()).norm() / other.double().norm() for one, other in pairs]
    return float(torch.stack(differences).max())


def compared(
    case: str, found: Sequence[Tensor], expected: Sequence[Tensor], allowed: float, **values: float | str
) -> Row:
    """Make the row of a comparison; more than ``allowed``, or NaN, is a problem."""
    difference = relative_difference(found, expected)
    problem = '' if difference <= allowed else f'differs by {difference:.2g}, more than {allowed:g}'
    return Row(case, {'difference': difference, **values}, problem)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Compute products and convolutions in full float32 in the block."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, False
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before
