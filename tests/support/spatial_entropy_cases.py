"""Images and stored values that the engines of the spatial entropy are tested on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES, EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy
from tests.support import GOLDEN
from tests.support.spatial_entropy_oracle import relative_error


def noisy_planes(seed: int, planes: int, height: int, width: int, levels: int, noise: float) -> list[Tensor]:
    """A ramp and the same ramp with noise, with means that follow them, in level units: (v, v_nbr, w, w_nbr)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    ramp = (0.013 * x + 0.021 * y + rng.uniform(size=(planes, 1, 1))) % 1 * (levels - 1)
    result = []
    for strength in (noise, 0):
        v = np.clip(ramp + strength * rng.normal(size=ramp.shape), 0, levels - 1)
        result += [v, np.clip(v + rng.normal(size=v.shape), 0, levels - 1)]
    return [torch.tensor(v, dtype=torch.float32) for v in result]


def stored_case(case: int) -> dict[str, Any]:
    """One of five cases computed once from the released definition, evaluated without cancellation, in float64."""
    with np.load(GOLDEN / 'spatial_entropy.npz') as archive:
        return {key.removeprefix(f'c{case}_'): archive[key] for key in archive if key.startswith(f'c{case}_')}


def stored_options(stored: Mapping[str, Any], distance: str) -> dict[str, Any]:
    """What the loss of a stored case is called with, beside its planes and the engine."""
    return {
        'distance': distance,
        'levels': int(stored['levels']),
        'windows': stored['windows'].tolist(),
        'neighbour_weights': torch.tensor(stored['neighbour_weights']),
        'neighbour_normalisation': str(stored['neighbour_normalisation']),
    }


def golden_error(case: int, distance: str, engine: str) -> float:
    """The larger error of an engine's value and gradient in float32, relative to a stored case."""
    stored = stored_case(case)
    pred = torch.tensor(stored['pred'], dtype=torch.float32, requires_grad=True)
    loss = spatial_entropy(
        pred,
        torch.tensor(stored['target'], dtype=torch.float32),
        engine=engine,
        **stored_options(stored, distance),
    )
    loss.backward()
    assert pred.grad is not None
    found, expected = (loss.detach(), pred.grad), (stored[f'{distance}_loss'], stored[f'{distance}_grad'])
    return max(relative_error(ours, torch.tensor(theirs)) for ours, theirs in zip(found, expected, strict=True))


def random_case(seed: int) -> tuple[list[Tensor], EntropySpec]:
    """Small planes and options: any of what an engine serves, and every distance in three successive seeds."""
    rng = np.random.default_rng(seed)
    levels, bandwidth = int(rng.integers(2, 45)), float(rng.uniform(0.3, 2))
    windows = tuple(int(side) for side in rng.choice([1, 3, 5, 7, 9, 15], int(rng.integers(1, 4)), replace=False))
    planes = noisy_planes(seed, *(int(n) for n in rng.integers(1, [3, 9, 9])), levels=levels, noise=rng.uniform(0.5, 9))
    distance, normalise = DISTANCES[seed % 3], bool(rng.integers(2))
    return planes, EntropySpec(distance, levels, windows, bandwidth, 1 / (0.5 * bandwidth), normalise=normalise)
