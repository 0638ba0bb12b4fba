"""The parts of the benchmark: each module has ``rows(settings)``, which yields what it finds case by case."""

from __future__ import annotations
