"""Every sampler on every process, against the CPU in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from entropy_sde_plugin.benchmark.comparing import compared
from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.diffusion import DDPM, IRSDE, ExposureProcess, GaussianProcess
from entropy_sde_plugin.diffusion.exposure_sampler import ExposureDenoiser, network_calls
from entropy_sde_plugin.diffusion.samplers import SAMPLERS, Sampler, standard_normal

ALLOWED = 1e-4
"""Relative, in the L2 norm."""

STEPS = 8
SHAPE = (2, 3, 24, 32)
RAW_SHAPE = (2, 4, 32, 32)


def rows(settings: Settings) -> Iterator[Row]:
    """Compare the samplers with a denoiser that is a formula."""
    processes: dict[str, GaussianProcess] = {'IRSDE': IRSDE(), 'DDPM': DDPM()}
    cases: dict[str, Callable[[Tensor], Tensor]] = {
        f'{name}, {process}': partial(_sampled, sampler, processes[process])
        for name, sampler in SAMPLERS.items()
        for process in processes
    }
    cases['exposures'] = _exposed

    def compare(name: str) -> Row:
        dark = 0.3 * torch.rand(RAW_SHAPE if name == 'exposures' else SHAPE, generator=torch.Generator().manual_seed(0))
        return compared(name, [cases[name](dark.to(settings.device))], [cases[name](dark.double())], ALLOWED)

    yield from attempts(cases, compare)


def _sampled(sampler: Sampler, process: GaussianProcess, dark: Tensor) -> Tensor:
    noise = standard_normal(torch.Generator().manual_seed(1))
    cond = process.from_unit(dark)
    return sampler(_denoise, process, cond, process.time_grid(STEPS), noise=noise)


def _denoise(x: Tensor, cond: Tensor, t: int) -> Tensor:
    return torch.tanh(0.5 * x + cond + 0.001 * t)


def _exposed(dark: Tensor) -> Tensor:
    """With mean counts: drawn ones would jump where a rounding moves their mean."""
    process = ExposureProcess(ratio=100, gain=2.0)
    denoiser = ExposureDenoiser(lambda planes: (torch.tanh(3 * planes[:, :4]), None), process)
    *_, last = network_calls(denoiser, dark, process.time_grid(3), counts=lambda mean: mean)
    return last.picture
