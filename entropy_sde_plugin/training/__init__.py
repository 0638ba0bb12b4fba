"""Training: the step, the run around it, the checks before it, and saving on errors."""

from __future__ import annotations

from entropy_sde_plugin import register

# A module of this package may be the first to import BasicSR, which registers the whole plugin and so imports this
# package. Registering first keeps that import from meeting a module that is only half loaded.
register()
