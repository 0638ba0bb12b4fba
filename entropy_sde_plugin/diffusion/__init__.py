"""Diffusion in plain PyTorch: schedules, processes, denoisers and samplers. Independent of networks and files."""

from __future__ import annotations

from entropy_sde_plugin.diffusion.ddpm import DDPM
from entropy_sde_plugin.diffusion.exposure import ExposureProcess
from entropy_sde_plugin.diffusion.irsde import IRSDE
from entropy_sde_plugin.diffusion.process import CLEAN, GaussianProcess, Process

__all__ = ['CLEAN', 'DDPM', 'IRSDE', 'ExposureProcess', 'GaussianProcess', 'Process']
