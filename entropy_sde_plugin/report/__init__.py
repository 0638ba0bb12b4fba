"""The report: trainings and tests side by side on one HTML page."""

from __future__ import annotations

from entropy_sde_plugin import register

# A module of this package may be the first to import BasicSR, which registers the whole plugin and so imports this
# package. Registering first keeps that import from meeting a module that is only half loaded.
register()
