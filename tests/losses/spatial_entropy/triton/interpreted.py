"""The Triton engine against the definition in double precision, its kernels interpreted by Python.

`test_engine.py` runs this file in a process of its own: Triton decides when it is imported whether it interprets.
Interpreted programs take tenths of a second each, hence few and tiny images. `scripts/tools/interpret_triton.py` goes
through many more.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from entropy_sde_plugin.losses.spatial_entropy import functional
from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES, EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.triton import engine, first_use
from entropy_sde_plugin.losses.spatial_entropy.triton.engine import distance_and_gradient
from tests.support.spatial_entropy_cases import golden_error, noisy_planes, random_case
from tests.support.spatial_entropy_oracle import relative_error, worst_error


@pytest.mark.parametrize(('case', 'distance'), [(2, 'hellinger'), (4, 'relative_entropy')], ids=str)
def test_golden_value_and_gradient(case: int, distance: str) -> None:
    assert golden_error(case, distance, 'triton') <= 1e-5


@pytest.mark.parametrize(
    ('distance', 'levels', 'windows', 'shape'),
    [
        *((distance, 40, (1, 3), (1, 4, 3)) for distance in DISTANCES),  # several blocks of bins
        ('hellinger', 16, (9, 3, 1, 7), (2, 3, 4)),  # more windows than blocks of 32 rows have registers for
        ('cross_entropy', 2, (1, 3, 5), (1, 4, 4)),
        ('relative_entropy', 24, (1, 3, 5), (3, 1, 1)),
        ('hellinger', 12, (13, 31), (1, 3, 4)),  # windows that cover the image
    ],
    ids=str,
)
def test_equals_brute_force(distance: str, levels: int, windows: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    planes = noisy_planes(0, *shape, levels=levels, noise=0.6)
    spec = EntropySpec(distance, levels, windows, bandwidth=0.5, prefactor=4.0)
    assert worst_error(distance_and_gradient, planes, spec) <= 1e-5


@pytest.mark.parametrize('seed', range(3))
def test_any_options_equal_brute_force(seed: int) -> None:
    planes, spec = random_case(seed)
    assert worst_error(distance_and_gradient, planes, spec, cancelling=True) <= 1e-5


@pytest.mark.parametrize(('distance', 'normalise'), zip(DISTANCES, (False, True, True), strict=True))
def test_intensities_outside_the_bins(distance: str, normalise: bool) -> None:
    planes = [plane * 1.6 - 4 for plane in noisy_planes(2, 1, 4, 5, levels=16, noise=1)]
    spec = EntropySpec(distance, 16, (1, 3), 0.5, prefactor=4.0, normalise=normalise)
    assert worst_error(distance_and_gradient, planes, spec) <= 1e-5


@pytest.mark.parametrize('distance', DISTANCES)
def test_identical_and_constant_images(distance: str) -> None:
    planes = [torch.cat([plane, torch.full_like(plane, 4.3)]) for plane in noisy_planes(3, 1, 4, 5, levels=16, noise=1)]
    planes[2:] = planes[:2]
    spec = EntropySpec(distance, 16, (1, 3), 0.5, 4.0)
    if distance == 'cross_entropy':
        assert worst_error(distance_and_gradient, planes, spec, cancelling=True) <= 1e-5
        return
    value, *gradients = distance_and_gradient(*planes, spec, True)
    assert not value.any()
    assert distance == 'relative_entropy' or not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(('distance', 'levels'), [('hellinger', 16), ('relative_entropy', 40)])
def test_what_is_not_a_number_stays_in_its_plane(distance: str, levels: int) -> None:
    # As many pixels as a program takes: the bins that it looks at are those of all its pixels.
    planes = noisy_planes(7, 5, 4, 8, levels=levels, noise=1)
    spec = EntropySpec(distance, levels, (3,), 0.5, 4.0)
    expected, expected_grad, _ = distance_and_gradient(*planes, spec, True)
    for which, bad in enumerate((math.nan, math.inf, -math.inf, math.nan)):
        planes[which][1 + which, 3, 7] = bad
    value, grad_v, _ = distance_and_gradient(*planes, spec, True)
    assert grad_v is not None and expected_grad is not None  # noqa: PT018
    assert value[[1, 4]].isnan().all()
    assert grad_v[1:5, :2, :2].isfinite().all()
    assert torch.equal(value[0], expected[0])
    assert torch.equal(grad_v[0], expected_grad[0])


def test_groups_and_ranges_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    planes = noisy_planes(5, 3, 4, 5, levels=8, noise=1)
    spec = EntropySpec('hellinger', 8, (3,), 0.5, 4.0)
    expected = distance_and_gradient(*planes, spec, True)
    monkeypatch.setattr(engine, 'TABLE_BYTES', 2 * 6 * 4 * 20 * 8)  # two planes of three
    monkeypatch.setattr(engine, 'PART_BYTES', 17 * 8 * 9)  # 17 pixels
    for ours, theirs in zip(distance_and_gradient(*planes, spec, True), expected, strict=True):
        assert ours is not None and theirs is not None  # noqa: PT018
        assert relative_error(ours, theirs.double()) <= 1e-6
    value, *gradients = distance_and_gradient(*planes, spec, False)
    assert gradients == [None, None]
    assert torch.equal(value, expected[0])


def test_fits_a_device_where_it_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (first_use.case_like(EntropySpec('hellinger', levels, (1, 3), 0.7, 2.9)) for levels in (4, 9))
    assert first_use.why_unfit(torch.device('cpu'), few) is None
    right: Any = engine.distance_and_gradient

    def wrong(*planes_and_options: Any) -> tuple[Any, ...]:
        return tuple(1.001 * part for part in right(*planes_and_options))

    monkeypatch.setattr(engine, 'distance_and_gradient', wrong)
    assert first_use.why_unfit(torch.device('cpu'), few) is None  # known already
    assert first_use.why_unfit(torch.device('cpu'), many) == "its results on cpu differ from the PyTorch engine's"
    first_use.why_unfit.cache_clear()


@pytest.mark.filterwarnings('error:entropy_sde')  # of results that share memory, for one
def test_autocast_and_compiled_code_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.rand(2, 1, 2, 5, 4, generator=generator)
    pred.requires_grad_()
    options: dict[str, Any] = {'distance': 'hellinger', 'levels': 8, 'windows': (1, 3), 'engine': 'triton'}
    loss = functional.spatial_entropy(pred, target, **options)
    expected = loss, *torch.autograd.grad(loss, pred)
    compiled = torch.compile(functional.spatial_entropy, backend='aot_eager', fullgraph=True)
    for function in (functional.spatial_entropy, compiled):
        with torch.autocast('cpu', torch.bfloat16):
            loss = function(pred, target, **options)
        for ours, theirs in zip((loss, *torch.autograd.grad(loss, pred)), expected, strict=True):
            assert relative_error(ours.detach(), theirs.detach().double()) <= 1e-6
