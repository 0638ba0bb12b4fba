"""The Triton engine without a GPU: interpreted in a process of its own, and compiled for GPUs that are not there."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.losses.spatial_entropy import operator
from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.operator import PUBLISHED, choose_engine
from entropy_sde_plugin.losses.spatial_entropy.triton import first_use
from tests.support.commands import ROOT, python
from tests.support.scripts import script
from tests.support.waits import Waits

pytest.importorskip('triton', reason='Triton comes with PyTorch on Linux only')


def test_interpreted_kernels_equal_the_definition() -> None:
    cases = Path(__file__).with_name('interpreted.py')
    code, out, err = python('-m', 'pytest', '-n0', '-q', '--noconftest', cases, cwd=ROOT, TRITON_INTERPRET='1')
    assert code == 0, out + err


@pytest.mark.parametrize('capability', [80, 90, 100])
@pytest.mark.parametrize(('distance', 'windows'), [('hellinger', (1, 3, 5)), ('relative_entropy', (11,))], ids=str)
def test_compiles_without_spills(distance: str, windows: tuple[int, ...], capability: int) -> None:
    compiled = script('_compiled_kernels').compile_kernels(EntropySpec(distance, 32, windows, 0.5, 4.0), capability)
    assert {name: kernel.stack for name, kernel in compiled.items()} == dict.fromkeys(compiled, 0)
    # Twelve warps of a multiprocessor (nine of the newest), or the loads' latency is not hidden.
    assert compiled['compare_windows'].registers <= (208 if capability == 100 else 168)
    assert compiled['compare_windows'].shared <= 1024


@pytest.mark.parametrize(
    ('distance', 'windows', 'spilled'), [('hellinger', (1, 3, 5), 64), ('cross_entropy', (11,), 0)], ids=str
)
def test_compiles_for_several_blocks_of_bins(distance: str, windows: tuple[int, ...], spilled: int) -> None:
    compiled = script('_compiled_kernels').compile_kernels(EntropySpec(distance, 64, windows, 0.5, 4.0), 90)
    assert compiled['compare_windows'].stack <= spilled


def test_machine_code_does_the_work_that_the_docstring_states() -> None:
    spec, estimate = EntropySpec('hellinger', 32, (1, 3, 5), 0.5, 4.0), script('estimate_loss_kernel')
    compiled = script('_compiled_kernels').compile_kernels(spec, 90)
    for kernel in compiled.values():
        assert not re.search(r'\b(RED|ATOM\w*|HMMA|HGMMA)\b', kernel.sass)  # no atomics, no tensor cores
    assert estimate.trips(spec) == [8, 16, 16, 8]
    counts = estimate.opcodes(compiled['compare_windows'].sass, estimate.trips(spec))
    # For each of 25 pixels and 32 rows of bins: a product for p and for q, and one for each derivative.
    least = 4 * 25 * 32
    assert least <= counts['FFMA'] + counts['FMUL'] <= 1.5 * least
    assert estimate.resident_warps(compiled['compare_windows'], estimate.GPUS[1]) == 12


def test_nothing_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = importlib.import_module('entropy_sde_plugin.losses.spatial_entropy.triton.engine')
    launched: list[str] = []
    monkeypatch.setattr(engine, '_launch', lambda kernel, *_, **__: launched.append(kernel.fn.__name__))
    monkeypatch.setattr(torch.cuda, 'device_of', lambda tensor: nullcontext())  # needs a driver
    spec = EntropySpec('hellinger', 32, (1, 3, 5), 0.5, 4.0)
    with FakeTensorMode(), Waits() as waits:
        planes = [torch.empty(6, 128, 128, device='cuda') for _ in range(4)]
        engine.distance_and_gradient(*planes, spec, True)  # copies the windows' offsets, once
        launched.clear()
        waits.counts.clear()
        engine.distance_and_gradient(*planes, spec, True)
    engine._ring_offsets.cache_clear()
    group = [*['kernel_tables'] * 4, 'compare_windows', 'collect_gradient']
    assert launched == 2 * group  # of five planes and of one
    assert not waits.counts.total()


@pytest.fixture
def engine_log(log: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the choice of an engine logs, as if none had been chosen before."""
    operator._log_once.cache_clear()
    yield log
    operator._log_once.cache_clear()


CUDA = torch.device('cuda', 0)


def test_auto_takes_it_on_cuda_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands in for a device on which the comparison of the first use succeeds.
    monkeypatch.setattr(first_use, 'why_unfit', lambda device, case: None)
    assert choose_engine('auto', CUDA, torch.float32) == 'triton'
    assert choose_engine('triton', CUDA, torch.float32) == 'triton'
    assert choose_engine('auto', CUDA, torch.float64) == 'torch'
    assert choose_engine('auto', torch.device('cpu'), torch.float32) != 'triton'


def test_auto_goes_on_with_pytorch_after_one_warning(
    monkeypatch: pytest.MonkeyPatch, engine_log: pytest.LogCaptureFixture
) -> None:
    # Stands in for a device on which it computes something else.
    reason = "its results on cuda:0 differ from the PyTorch engine's"
    monkeypatch.setattr(first_use, 'why_unfit', lambda device, case: reason)
    assert [choose_engine('auto', CUDA, torch.float32) for _ in range(3)] == ['torch'] * 3
    (record, *again) = engine_log.records
    assert all(other is record for other in again)
    assert record.levelno == logging.WARNING
    assert record.message.startswith("Spatial entropy: engine 'auto' uses 'torch'; 'triton' cannot be used: its res")
    with pytest.raises(InputError, match=r"engine 'triton' cannot be used: its results .* Use 'auto' or 'torch'\."):
        choose_engine('triton', CUDA, torch.float32)


def test_every_kind_of_kernel_is_compared_before_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands in for a device on which only the kernel of one block of bins is right.
    monkeypatch.setattr(first_use, 'why_unfit', lambda device, case: None if case.levels <= 32 else 'it differs')
    few, many = (EntropySpec('hellinger', levels, (1, 3), 0.7, 2.9) for levels in (8, 128))
    assert choose_engine('auto', CUDA, torch.float32, few) == 'triton'
    assert choose_engine('auto', CUDA, torch.float32, many) == 'torch'


def test_a_device_that_fails_is_named() -> None:
    first_use.why_unfit.cache_clear()
    reason = first_use.why_unfit(torch.device('cpu'), PUBLISHED)  # without the interpreter: Triton finds no GPU
    first_use.why_unfit.cache_clear()
    assert reason is not None
    assert reason.startswith('it fails on cpu (')
    assert '\n' not in reason
    with pytest.raises(InputError, match='it computes on CUDA devices and the images are on cpu'):
        choose_engine('triton', torch.device('cpu'), torch.float32)
