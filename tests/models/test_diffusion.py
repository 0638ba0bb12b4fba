"""A training step on a GPU that is not there: how often it would wait for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support.irsde import batch, model
from tests.support.waits import Waits


def moved(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module as `nn.Module.to`, which cannot exchange fake parameters in place."""
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            owner._parameters[name] = None if parameter is None else nn.Parameter(parameter.detach().to(device))
        for name, buffer in owner._buffers.items():
            owner._buffers[name] = None if buffer is None else buffer.to(device)
    return module


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waits]:
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda self: self)  # needs a driver
    # A scaler and autocast work as if there were a GPU.
    monkeypatch.setattr(torch.cuda.amp.common, 'amp_definitely_not_available', lambda: False)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda: True)
    monkeypatch.setattr(nn.Module, 'to', lambda self, *args, **kwargs: moved(self, args[0]) if args else self)
    with FakeTensorMode(allow_non_fake_inputs=True), Waits() as counter:
        yield counter


@pytest.mark.parametrize('precision', ['fp32', 'bf16', 'fp16'])
@pytest.mark.parametrize('entropy', [None, {'type': 'SpatialEntropyLoss', 'levels': 8, 'windows': [1, 3]}], ids=str)
def test_a_step_waits_once(
    waits: Waits, precision: str, entropy: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {'num_gpu': 1, 'train__precision': precision, 'train__entropy_opt': entropy}
    m = model(**changes, train__grad_clip_norm=1.0, train__accumulate_steps=2)

    def backward(loss: Tensor) -> None:
        """In place of autograd's engine, which needs a driver; it reads nothing."""
        for parameter in m.net_g.parameters():
            parameter.grad = torch.zeros_like(parameter)

    monkeypatch.setattr(torch.Tensor, 'backward', backward)
    data = batch()
    assert next(m.net_g.parameters()).device.type == 'cuda'
    for iteration in (1, 2):
        waits.counts.clear()
        m.feed_data(data)
        m.optimize_parameters(iteration)
        assert waits.counts == Counter({'reads': 1, 'blocking copies': 0})
    m.get_current_log()
    assert waits.counts['reads'] > 1  # what is logged is read when it is logged
