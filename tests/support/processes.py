"""The Gaussian processes, on which the tests of samplers and denoisers run."""

from __future__ import annotations

from entropy_sde_plugin.diffusion import DDPM, IRSDE

PROCESSES = {'irsde': IRSDE(), 'ddpm': DDPM()}
