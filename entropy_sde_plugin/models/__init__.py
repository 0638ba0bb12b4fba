"""Models that BasicSR's trainer, validator and tester run."""

from __future__ import annotations

from entropy_sde_plugin import register

# A module of this package may be the first to import BasicSR, which registers the whole plugin and so imports this
# package. Registering first keeps that import from meeting a module that is only half loaded.
register()

from entropy_sde_plugin.models.exposure import ExposureDiffusionModel  # noqa: E402
from entropy_sde_plugin.models.irsde import IRSDEModel  # noqa: E402
from entropy_sde_plugin.models.lldiffusion import LLDiffusionModel  # noqa: E402

__all__ = ['ExposureDiffusionModel', 'IRSDEModel', 'LLDiffusionModel']
