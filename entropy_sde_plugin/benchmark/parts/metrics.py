"""Every metric of ``entropy-sde evaluate``, against the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from entropy_sde_plugin import register
from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import HELD_OUT, photograph
from entropy_sde_plugin.errors import MetricUnavailableError
from entropy_sde_plugin.evaluation.evaluate import METRICS
from entropy_sde_plugin.metrics.backbones import evaluating_on

ALLOWED = 1e-3
"""Relative."""


def rows(settings: Settings) -> Iterator[Row]:
    """Score two photographs by each metric. One whose weights are not there is no problem."""
    register()
    from entropy_sde_plugin.evaluation.scoring import Scorer

    pairs = [(np.ascontiguousarray(dark), bright) for dark, bright in map(_pair, HELD_OUT[:2])]

    def score(name: str, device: torch.device) -> float:
        scorer = Scorer({'metrics': {name: METRICS[name].section}})
        with evaluating_on(device):
            (value,) = scorer.of_set(pairs).values() if scorer.scores_sets else scorer.of_picture(*pairs[0]).values()
        if isinstance(value, MetricUnavailableError):
            raise value
        return value

    def compare(name: str) -> Row:
        try:
            expected, found = (score(name, torch.device(device)) for device in ('cpu', settings.device))
        except MetricUnavailableError as error:
            return Row(name, {'value': f'not available: {error}'})
        difference = abs(found - expected) / abs(expected)
        problem = '' if difference <= ALLOWED else f'is {expected:.6g} on the CPU'
        return Row(name, {'value': found, 'difference': difference}, problem)

    yield from attempts(METRICS, compare)


def _pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    bright = photograph(name)[:256, :256, ::-1]
    return darken(bright, exposure=0.3, rng=np.random.default_rng(0)), bright
