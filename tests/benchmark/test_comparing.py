"""The verdict on results from a device."""

from __future__ import annotations

import math

import pytest
import torch

from entropy_sde_plugin.benchmark.comparing import compared, without_tf32


@pytest.mark.parametrize(
    ('found', 'problem'),
    [
        ([3.0, 4.0005], ''),
        ([3.0, 4.05], 'differs by 0.01, more than 0.001'),
        ([3.0, math.nan], 'differs by nan, more than 0.001'),
    ],
)
def test_a_difference_or_nan_is_a_problem(found: list[float], problem: str) -> None:
    expected = [torch.ones(2), torch.tensor([3.0, 4.0])]
    row = compared('case', [torch.ones(2), torch.tensor(found)], expected, 1e-3, **{'step, ms': 2.0})
    assert row.problem == problem
    assert list(row.values) == ['difference', 'step, ms']


def test_tf32_is_off_in_the_block_and_as_it_was_after_it() -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with without_tf32():
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
