"""Every architecture is compared, and one that computes otherwise on a device is found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
from torch import Tensor, nn

from entropy_sde_plugin.benchmark.part import Settings
from entropy_sde_plugin.benchmark.parts import networks
from entropy_sde_plugin.networks.architectures import ARCHITECTURES


def test_every_architecture_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, calls = networks.output_and_gradient, count()

    def rounding_every_second_time(network: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return exact(network, [value.bfloat16().float() for value in inputs] if next(calls) % 2 else inputs)

    # Stands in for a device that rounds factors although it is asked not to.
    monkeypatch.setattr(networks, 'output_and_gradient', rounding_every_second_time)
    found = list(networks.rows(Settings('cpu')))
    assert [row.case for row in found] == [f'{architecture.name}, fp32' for architecture in ARCHITECTURES]
    assert all(row.problem.startswith('differs by ') for row in found), found
