"""The PyTorch engine against the definition in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES, EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.pytorch import engine as pytorch_engine
from entropy_sde_plugin.losses.spatial_entropy.pytorch.engine import distance_and_gradient
from entropy_sde_plugin.losses.spatial_entropy.pytorch.occupied_bins import occupied_bins
from tests.support.spatial_entropy_oracle import worst_error


def wavy_planes(seed: int, planes: int, height: int, width: int, levels: int, noise: float) -> list[Tensor]:
    """Like waves with noise, in level units, and means that follow them: (v, v_nbr, w, w_nbr)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    result = []
    phase = rng.uniform(0, 6, (planes, 1, 1))
    for shift in (0, 0.2):
        wave = 0.5 + 0.45 * np.sin(0.2 * x + 0.3 * y + phase + shift) + noise * rng.normal(size=(planes, height, width))
        v = np.clip(wave, 0, 1) * (levels - 1)
        result += [v, np.clip(v + rng.normal(size=v.shape), 0, levels - 1)]
    return [torch.tensor(v, dtype=torch.float32) for v in result]


def assert_agrees(planes: list[Tensor], spec: EntropySpec, tolerance: float, cancelling: bool = False) -> None:
    """Compare with brute force, to ``tolerance``; if ``cancelling``, of `least_norms` at least."""
    assert worst_error(distance_and_gradient, planes, spec, cancelling) <= tolerance


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize(
    ('levels', 'windows', 'shape'),
    [
        (8, (1,), (8, 9, 5)),
        (16, (3, 1, 7), (2, 19, 23)),
        (32, (1, 3, 5), (1, 33, 17)),
        (32, (11,), (1, 21, 27)),
        (64, (5, 11), (1, 9, 8)),
        (256, (1, 3), (1, 7, 5)),
        (12, (13,), (1, 3, 4)),
    ],
    ids=str,
)
def test_equals_brute_force(distance: str, levels: int, windows: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    planes = wavy_planes(0, *shape, levels=levels, noise=0.05)
    spec = EntropySpec(distance, levels, windows, bandwidth=0.5, prefactor=4.0)
    assert_agrees(planes, spec, tolerance=1e-5)
    if levels <= 32:
        assert_agrees([plane.double() for plane in planes], spec, tolerance=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    distance=st.sampled_from(DISTANCES),
    levels=st.integers(2, 20),
    windows=st.sets(st.sampled_from([1, 3, 5, 7, 9]), min_size=1, max_size=3),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    bandwidth=st.floats(0.3, 2),
    normalise=st.booleans(),
    noise=st.floats(0.02, 1),
    seed=st.integers(0, 1000),
)
# A gradient whose two bins cancel.
@example(
    distance='relative_entropy',
    levels=10,
    windows={1},
    shape=(1, 1, 1),
    bandwidth=0.5,
    normalise=True,
    noise=1.0,
    seed=1,
)
def test_any_options_equal_brute_force(
    distance: str,
    levels: int,
    windows: set[int],
    shape: tuple[int, int, int],
    bandwidth: float,
    normalise: bool,
    noise: float,
    seed: int,
) -> None:
    planes = wavy_planes(seed, *shape, levels=levels, noise=noise)
    spec = EntropySpec(
        distance, levels, tuple(windows), bandwidth, prefactor=1 / (0.5 * bandwidth), normalise=normalise
    )
    assert_agrees(planes, spec, tolerance=1e-5, cancelling=True)
    assert_agrees([plane.double() for plane in planes], spec, tolerance=1e-11, cancelling=True)


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize('windows', [(1,), (1, 3, 5), (11,)], ids=str)
def test_window_sums_by_pooling(distance: str, windows: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch_engine, 'WINDOW_SUMS', {})  # what a GPU takes; here in place of one
    planes = wavy_planes(6, 2, 19, 22, levels=16, noise=0.05)
    assert_agrees(planes, EntropySpec(distance, 16, windows, bandwidth=0.5, prefactor=4.0), tolerance=1e-5)


@pytest.mark.parametrize('distance', DISTANCES)
def test_tile_that_fills_the_buffers_alone(distance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch_engine, 'CHUNK_ELEMENTS_CPU', 10_000)
    planes = wavy_planes(1, 2, 20, 34, levels=24, noise=0.1)
    assert_agrees(planes, EntropySpec(distance, 24, (1, 5), bandwidth=0.5, prefactor=4.0), tolerance=1e-5)


@pytest.mark.parametrize('normalise', [False, True])
@pytest.mark.parametrize('distance', DISTANCES)
def test_intensities_outside_the_bins(distance: str, normalise: bool) -> None:
    planes = [plane * 1.6 - 4 for plane in wavy_planes(2, 1, 12, 14, levels=16, noise=0.1)]
    spec = EntropySpec(distance, 16, (1, 3), bandwidth=0.5, prefactor=4.0, normalise=normalise)
    assert_agrees(planes, spec, tolerance=1e-5)


@pytest.mark.parametrize('distance', DISTANCES)
def test_value_alone_is_the_same(distance: str) -> None:
    planes = wavy_planes(3, 2, 18, 20, levels=16, noise=0.1)
    spec = EntropySpec(distance, 16, (1, 3), bandwidth=0.5, prefactor=4.0)
    value, *gradients = distance_and_gradient(*planes, spec, False)
    assert gradients == [None, None]
    assert torch.equal(value, distance_and_gradient(*planes, spec, True)[0])


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize('ahead', [1, 100, 400])
def test_bins_listed_a_few_at_a_time(distance: str, ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = wavy_planes(7, 2, 20, 34, levels=24, noise=0.1)
    spec = EntropySpec(distance, 24, (1, 5), bandwidth=0.5, prefactor=4.0)
    at_once = distance_and_gradient(*planes, spec, True)
    monkeypatch.setattr('entropy_sde_plugin.losses.spatial_entropy.pytorch.occupied_bins.LISTED_AHEAD', ahead)
    assert all(map(torch.equal, distance_and_gradient(*planes, spec, True), at_once))


def test_tiny_root_epsilon_leaves_identical_windows_without_gradient() -> None:
    planes = wavy_planes(8, 1, 12, 12, levels=16, noise=0.1)[:2]
    spec = EntropySpec('hellinger', 16, (1, 3), bandwidth=0.5, prefactor=4.0, root_epsilon=1e-30)
    assert all((found == 0).all() for found in distance_and_gradient(*planes, *planes, spec, True))


@pytest.mark.parametrize('bandwidth', [0.1, 0.5, 2.0, 20.0])
@pytest.mark.parametrize('point', [(9.3, 20.6), (0.2, 31.0), (31.0, 30.4)], ids=str)
def test_weights_of_few_bins_stand_for_all(bandwidth: float, point: tuple[float, float]) -> None:
    def kernel(x: Tensor | float) -> Tensor:
        u = (torch.arange(32, dtype=torch.float64) - x) / bandwidth
        return torch.sigmoid(u) * torch.sigmoid(-u)

    points = torch.tensor(point, dtype=torch.float64)[None, :, None]
    whole = occupied_bins(points, 32, bandwidth, 18, extrapolate=False)
    bins = occupied_bins(points, 32, bandwidth, 18, extrapolate=True)
    (i, j), weights = bins.enumerate(slice(0, 1), 0, bins.counts[0])
    assert weights is not None
    i, j = i + bins.origin[:, :1], j + bins.origin[:, 1:]
    a, b = (kernel(x) for x in point)
    assert (weights * a[i] * b[j]).sum().item() == pytest.approx((a.sum() * b.sum()).item(), rel=4e-6)
    if bandwidth == 0.5:
        assert bins.counts[0] < 0.6 * whole.counts[0]


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize('which', [[0], [1], [2], [3], [2, 3], [0, 1, 2, 3]], ids=str)
@pytest.mark.parametrize('where', [(5, 5), (slice(None), slice(None))], ids=['one pixel', 'all of them'])
def test_nan_stays_visible(where: tuple[Any, Any], which: list[int], distance: str) -> None:
    """Also where no bin is reached, since nothing else is there."""
    planes = wavy_planes(4, 2, 10, 10, levels=16, noise=0.1)
    for plane in which:
        planes[plane][1][where] = float('nan')
    for gradient in (True, False):
        found = distance_and_gradient(*planes, EntropySpec(distance, 16, (3,), 0.5, 4.0), gradient)
        for tensor in found if gradient else found[:1]:
            assert tensor[0].isfinite().all()
            assert tensor[1].isnan().all()


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // 4)
        return result


def test_memory_does_not_grow_with_the_levels_nor_with_the_pixels() -> None:
    largest = []
    for levels, side in ((32, 64), (128, 64), (32, 160)):
        planes = wavy_planes(5, 1, side, side, levels=levels, noise=0.05)
        with LargestTensor() as mode:
            distance_and_gradient(*planes, EntropySpec('hellinger', levels, (1, 3, 5), 0.5, 4.0), True)
        largest.append(mode.elements)
    # The largest holds a chunk for both images, or for large ones their tiles; far below L^2 x pixels.
    assert max(largest) <= 2.1 * pytorch_engine.CHUNK_ELEMENTS_CPU
