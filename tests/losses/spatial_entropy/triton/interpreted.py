"""The Triton engine against the definition in double precision, its kernels interpreted by Python.

`test_engine.py` runs this file in a process of its own: Triton decides when it is imported whether it interprets.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES, EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy
from entropy_sde_plugin.losses.spatial_entropy.triton import engine, first_use
from entropy_sde_plugin.losses.spatial_entropy.triton.engine import distance_and_gradient
from tests.support import GOLDEN
from tests.support.spatial_entropy_oracle import brute_force, least_norms, relative_error


def noisy_planes(seed: int, planes: int, height: int, width: int, levels: int, noise: float) -> list[Tensor]:
    """A ramp with noise and the same ramp, with means that follow them, in level units: (v, v_nbr, w, w_nbr)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    ramp = (0.013 * x + 0.021 * y + rng.uniform(size=(planes, 1, 1))) % 1 * (levels - 1)
    result = []
    for strength in (noise, 0):
        v = np.clip(ramp + strength * rng.normal(size=ramp.shape), 0, levels - 1)
        result += [v, np.clip(v + rng.normal(size=v.shape), 0, levels - 1)]
    return [torch.tensor(v, dtype=torch.float32) for v in result]


def assert_agrees(planes: list[Tensor], spec: EntropySpec, cancelling: bool = False) -> None:
    """Compare with brute force, to 1e-5; if ``cancelling``, of `least_norms` at least."""
    expected = brute_force(planes, spec)
    least = least_norms(planes, spec, expected[0]) if cancelling else (0.0, 0.0, 0.0)
    found = distance_and_gradient(*planes, spec, True)
    for name, ours, theirs, norm in zip(('value', 'v', 'v_nbr'), found, expected, least, strict=True):
        assert ours is not None
        assert relative_error(ours, theirs, norm) <= 1e-5, name


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize('case', range(5))
def test_golden_value_and_gradient(case: int, distance: str) -> None:
    with np.load(GOLDEN / 'spatial_entropy.npz') as archive:
        stored = {key.removeprefix(f'c{case}_'): archive[key] for key in archive if key.startswith(f'c{case}_')}
    pred = torch.tensor(stored['pred'], dtype=torch.float32, requires_grad=True)
    loss = spatial_entropy(
        pred,
        torch.tensor(stored['target'], dtype=torch.float32),
        distance=distance,
        levels=int(stored['levels']),
        windows=stored['windows'].tolist(),
        neighbour_weights=torch.tensor(stored['neighbour_weights']),
        neighbour_normalisation=str(stored['neighbour_normalisation']),
        engine='triton',
    )
    loss.backward()
    assert pred.grad is not None
    assert loss.item() == pytest.approx(float(stored[f'{distance}_loss']), rel=1e-5)
    assert relative_error(pred.grad, torch.tensor(stored[f'{distance}_grad'])) <= 1e-5


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize(
    ('levels', 'windows', 'shape'),
    [
        (16, (9, 3, 1, 7), (2, 5, 9)),  # more windows than blocks of 32 rows have registers for
        (40, (1, 3), (1, 7, 5)),  # several blocks of bins
        (2, (1, 3, 5), (1, 8, 8)),
        (24, (1, 3, 5), (3, 1, 1)),
        (12, (13, 101), (1, 3, 4)),  # windows that cover the image
    ],
    ids=str,
)
def test_equals_brute_force(distance: str, levels: int, windows: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    planes = noisy_planes(0, *shape, levels=levels, noise=0.6)
    assert_agrees(planes, EntropySpec(distance, levels, windows, bandwidth=0.5, prefactor=4.0))


@pytest.mark.parametrize('seed', range(3))
def test_any_options_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels, bandwidth = int(rng.integers(2, 45)), float(rng.uniform(0.3, 2))
    windows = tuple(int(side) for side in rng.choice([1, 3, 5, 7, 9, 15], int(rng.integers(1, 4)), replace=False))
    planes = noisy_planes(seed, *(int(n) for n in rng.integers(1, [3, 9, 9])), levels=levels, noise=rng.uniform(0.5, 9))
    distance, normalise = DISTANCES[seed % 3], bool(rng.integers(2))
    spec = EntropySpec(distance, levels, windows, bandwidth, 1 / (0.5 * bandwidth), normalise=normalise)
    assert_agrees(planes, spec, cancelling=True)


@pytest.mark.parametrize('normalise', [False, True])
@pytest.mark.parametrize('distance', DISTANCES)
def test_intensities_outside_the_bins(distance: str, normalise: bool) -> None:
    planes = [plane * 1.6 - 4 for plane in noisy_planes(2, 1, 7, 8, levels=16, noise=1)]
    assert_agrees(planes, EntropySpec(distance, 16, (1, 3), 0.5, prefactor=4.0, normalise=normalise))


@pytest.mark.parametrize('distance', DISTANCES)
def test_identical_and_constant_images(distance: str) -> None:
    v, v_nbr, _, _ = noisy_planes(3, 1, 6, 7, levels=16, noise=1)
    for planes in ([v, v_nbr, v, v_nbr], [torch.full_like(v, 4.3)] * 4):
        spec = EntropySpec(distance, 16, (1, 3, 5), 0.5, 4.0)
        value, grad_v, grad_v_nbr = distance_and_gradient(*planes, spec, True)
        assert grad_v is not None and grad_v_nbr is not None  # noqa: PT018
        if distance == 'cross_entropy':
            assert_agrees(planes, spec, cancelling=True)
        else:
            assert not value.any()
        if distance == 'hellinger':
            assert not grad_v.any()
            assert not grad_v_nbr.any()


@pytest.mark.parametrize(
    ('bad', 'which', 'distance', 'levels'),
    [
        (math.nan, 0, 'hellinger', 16),
        (math.inf, 1, 'hellinger', 40),
        (-math.inf, 2, 'cross_entropy', 16),
        (math.nan, 3, 'relative_entropy', 40),
    ],
)
def test_what_is_not_a_number_stays_in_its_plane(bad: float, which: int, distance: str, levels: int) -> None:
    planes = noisy_planes(7, 3, 7, 7, levels=levels, noise=1)
    spec = EntropySpec(distance, levels, (1, 3), 0.5, 4.0)
    expected, expected_grad, _ = distance_and_gradient(*planes, spec, True)
    planes[which][1, 5, 5] = bad
    value, grad_v, _ = distance_and_gradient(*planes, spec, True)
    assert grad_v is not None and expected_grad is not None  # noqa: PT018
    assert value[1].isnan() or not math.isnan(bad)
    assert grad_v[1, :2, :2].isfinite().all()
    assert torch.equal(value[[0, 2]], expected[[0, 2]])
    assert torch.equal(grad_v[[0, 2]], expected_grad[[0, 2]])


def test_groups_and_ranges_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    planes = noisy_planes(5, 3, 5, 6, levels=16, noise=1)
    spec = EntropySpec('hellinger', 16, (1, 3, 5), 0.5, 4.0)
    expected = distance_and_gradient(*planes, spec, True)
    monkeypatch.setattr(engine, 'TABLE_BYTES', 2 * 6 * 4 * 30 * 16)  # two planes of three
    monkeypatch.setattr(engine, 'PART_BYTES', 17 * 8 * 25)  # 17 pixels
    for ours, theirs in zip(distance_and_gradient(*planes, spec, True), expected, strict=True):
        assert ours is not None and theirs is not None  # noqa: PT018
        assert relative_error(ours, theirs.double()) <= 1e-6
    value, *gradients = distance_and_gradient(*planes, spec, False)
    assert gradients == [None, None]
    assert torch.equal(value, expected[0])


def test_fits_a_device_where_it_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    first_use.why_unfit.cache_clear()
    assert first_use.why_unfit(torch.device('cpu')) is None
    first_use.why_unfit.cache_clear()
    right = engine.distance_and_gradient
    wrong = lambda *arguments: tuple(None if part is None else 1.001 * part for part in right(*arguments))  # noqa: E731
    monkeypatch.setattr(engine, 'distance_and_gradient', wrong)
    assert first_use.why_unfit(torch.device('cpu')) is not None
    first_use.why_unfit.cache_clear()
