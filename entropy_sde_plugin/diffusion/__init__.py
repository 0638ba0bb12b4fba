"""The diffusion: schedule, process and samplers. Knows no network and no file."""

from entropy_sde_plugin.diffusion.irsde import IRSDE

__all__ = ['IRSDE']
