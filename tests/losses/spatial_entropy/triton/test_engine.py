"""The Triton engine without a GPU: interpreted in a process of its own, and compiled for GPUs that are not there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.losses.spatial_entropy import operator
from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.operator import choose_engine
from entropy_sde_plugin.losses.spatial_entropy.triton import first_use
from tests.support.commands import ROOT, python
from tests.support.scripts import script

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


@pytest.fixture
def engine_log(log: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the choice of an engine logs, as if none had been chosen before."""
    operator._log_once.cache_clear()
    yield log
    operator._log_once.cache_clear()


CUDA = torch.device('cuda', 0)


def test_auto_takes_it_on_cuda_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands in for a device on which the comparison of the first use succeeds.
    monkeypatch.setattr(first_use, 'why_unfit', lambda device: None)
    assert choose_engine('auto', CUDA, torch.float32) == 'triton'
    assert choose_engine('triton', CUDA, torch.float32) == 'triton'
    assert choose_engine('auto', CUDA, torch.float64) == 'torch'
    assert choose_engine('auto', torch.device('cpu'), torch.float32) != 'triton'


def test_auto_goes_on_with_pytorch_after_one_warning(
    monkeypatch: pytest.MonkeyPatch, engine_log: pytest.LogCaptureFixture
) -> None:
    # Stands in for a device on which it computes something else.
    monkeypatch.setattr(first_use, 'why_unfit', lambda device: "its results on cuda:0 differ from the PyTorch engine's")
    assert [choose_engine('auto', CUDA, torch.float32) for _ in range(3)] == ['torch'] * 3
    (record, *again) = engine_log.records
    assert all(other is record for other in again)
    assert record.levelno == logging.WARNING
    assert record.message.startswith("Spatial entropy: engine 'auto' uses 'torch'; 'triton' cannot be used: its res")
    with pytest.raises(InputError, match=r"engine 'triton' cannot be used: its results .* Use 'auto' or 'torch'\."):
        choose_engine('triton', CUDA, torch.float32)


def test_a_device_that_fails_is_named() -> None:
    first_use.why_unfit.cache_clear()
    reason = first_use.why_unfit(torch.device('cpu'))  # without the interpreter: Triton finds no GPU
    first_use.why_unfit.cache_clear()
    assert reason is not None
    assert reason.startswith('it fails on cpu (')
    assert '\n' not in reason
    with pytest.raises(InputError, match='it computes on CUDA devices and the images are on cpu'):
        choose_engine('triton', torch.device('cpu'), torch.float32)
