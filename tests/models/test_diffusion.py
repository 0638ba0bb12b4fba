"""A training step on a GPU that is not there: how often it would wait for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.irsde import batch, model


class Waits(TorchDispatchMode):
    """Counts what makes the host wait: values read from CUDA, and blocking copies to it or from it.

    A fake tensor has no values. Those that are read are 1, and false where a check on the CPU asks whether something
    is wrong.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if func is torch.ops.aten._local_scalar_dense.default and source is not None:
            self.counts['reads'] += source.device.type == 'cuda'
            return source.device.type == 'cuda' if source.dtype == torch.bool else 1
        result = func(*args, **kwargs)
        if func is torch.ops.aten._to_copy.default and source is not None and result.device != source.device:
            self.counts['blocking copies'] += not kwargs.get('non_blocking', False)
        if func is torch.ops.aten.copy_.default and source is not None and args[1].device != source.device:
            self.counts['blocking copies'] += not (args[2] if len(args) > 2 else kwargs.get('non_blocking', False))
        return result


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
