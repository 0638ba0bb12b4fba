"""The native engine against the definition in double precision, on every instruction set of this processor."""

from __future__ import annotations

import dataclasses
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.losses.spatial_entropy import native
from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES, EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.native import engine as native_engine
from entropy_sde_plugin.losses.spatial_entropy.native.engine import distance_and_gradient
from entropy_sde_plugin.losses.spatial_entropy.pytorch import engine as pytorch_engine
from tests.support.commands import ROOT
from tests.support.spatial_entropy_cases import noisy_planes
from tests.support.spatial_entropy_oracle import brute_force, least_norms, level_planes, relative_error

pytestmark = pytest.mark.skipif(not native_engine.available(), reason=str(native_engine.why_unavailable()))
INSTRUCTION_SETS = native_engine.instruction_sets() if native_engine.available() else []


def assert_agrees(planes: list[Tensor], spec: EntropySpec, cancelling: bool = False) -> None:
    """Compare with double precision, to 1e-5; if ``cancelling``, of `least_norms` at least."""
    expected = brute_force(planes, spec)
    least = least_norms(planes, spec, expected[0]) if cancelling else (0.0, 0.0, 0.0)
    for instruction_set in INSTRUCTION_SETS:
        found = distance_and_gradient(*planes, spec, True, instruction_set=instruction_set)
        for name, ours, theirs, norm in zip(('value', 'v', 'v_nbr'), found, expected, least, strict=True):
            assert relative_error(ours, theirs, norm) <= 1e-5, (instruction_set, name)


def photograph_planes(name: str, side: int, levels: int, noise: float) -> list[Tensor]:
    """The middle of a photograph with noise and without, in level units, neighbours of the released code."""
    image = photograph(name)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    target = torch.tensor(image[top : top + side, left : left + side]).permute(2, 0, 1)[None] / 255
    pred = target + noise * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    planes = [*level_planes(pred, levels, all_channels=True), *level_planes(target, levels, all_channels=True)]
    return [plane.float().contiguous() for plane in planes]


@pytest.fixture
def threads() -> Iterator[None]:
    """Restores the number of PyTorch's threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# --- the definition ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize(
    ('levels', 'windows', 'shape'),
    [
        (8, (1,), (8, 9, 5)),
        (32, (1, 3, 5), (2, 16, 24)),
        (32, (1, 3, 5), (1, 17, 7)),
        (32, (11,), (1, 21, 27)),
        (64, (1, 3, 5), (1, 9, 10)),
        (64, (11,), (1, 6, 9)),
        (16, (9, 3, 1, 7), (2, 19, 23)),
        (10, (31,), (1, 20, 36)),
        (256, (3,), (1, 7, 5)),
        (2, (1, 3, 5), (1, 8, 8)),
        (24, (1, 3, 5), (3, 1, 1)),
        (12, (13, 101), (1, 3, 4)),
    ],
    ids=str,
)
def test_equals_brute_force(distance: str, levels: int, windows: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    planes = noisy_planes(0, *shape, levels=levels, noise=0.6)
    assert_agrees(planes, EntropySpec(distance, levels, windows, bandwidth=0.5, prefactor=4.0))


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize(('windows', 'levels'), [((1, 3, 5), 32), ((11,), 16), ((3,), 64)], ids=str)
def test_photograph_equals_brute_force(distance: str, windows: tuple[int, ...], levels: int) -> None:
    planes = photograph_planes('coffee', 20, levels, noise=0.02)
    assert_agrees(planes, EntropySpec(distance, levels, windows, bandwidth=0.5, prefactor=4.0))


@settings(max_examples=40, deadline=None)
@given(
    distance=st.sampled_from(DISTANCES),
    levels=st.integers(2, 20),
    windows=st.sets(st.sampled_from([1, 3, 5, 7, 9, 15]), min_size=1, max_size=3),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    bandwidth=st.floats(0.3, 2),
    normalise=st.booleans(),
    noise=st.floats(0.5, 10),
    seed=st.integers(0, 1000),
)
# Gradients whose terms cancel: a neighbour mean that is the target's already; two bins that pull to opposite sides.
@example(
    distance='cross_entropy', levels=2, windows={1}, shape=(1, 1, 1), bandwidth=2.0, normalise=True, noise=0.5, seed=1
)
@example(
    distance='hellinger', levels=2, windows={1}, shape=(1, 1, 1), bandwidth=2.0, normalise=False, noise=0.5, seed=959
)
# A cross entropy that the bins 8 levels from the target raise by 1e-5.
@example(
    distance='cross_entropy', levels=16, windows={1}, shape=(1, 1, 1), bandwidth=0.5, normalise=False, noise=1.0, seed=1
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
    planes = noisy_planes(seed, *shape, levels=levels, noise=noise)
    spec = EntropySpec(distance, levels, tuple(windows), bandwidth, 1 / (0.5 * bandwidth), normalise=normalise)
    assert_agrees(planes, spec, cancelling=True)


@pytest.mark.parametrize('normalise', [False, True])
@pytest.mark.parametrize('distance', DISTANCES)
def test_intensities_outside_the_bins(distance: str, normalise: bool) -> None:
    planes = [plane * 1.6 - 4 for plane in noisy_planes(2, 1, 12, 14, levels=16, noise=1)]
    assert_agrees(planes, EntropySpec(distance, 16, (1, 3), 0.5, prefactor=4.0, normalise=normalise))


@pytest.mark.parametrize(('distance', 'windows'), [('hellinger', (1, 3, 5)), ('relative_entropy', (11,))])
def test_equals_the_pytorch_engine_on_whole_photographs(distance: str, windows: tuple[int, ...]) -> None:
    planes = photograph_planes('astronaut', 72, 64, noise=0.05)
    spec = EntropySpec(distance, 64, windows, bandwidth=0.5, prefactor=4.0)
    expected = pytorch_engine.distance_and_gradient(*[plane.double() for plane in planes], spec, True)
    for ours, theirs in zip(distance_and_gradient(*planes, spec, True), expected, strict=True):
        assert relative_error(ours, theirs) <= 1e-5


def test_what_the_cache_cannot_keep_is_computed_again() -> None:
    # Noise over 256 levels touches far more blocks of bins than the cache of the first sweep holds.
    rng = np.random.default_rng(0)
    planes = [torch.tensor(rng.uniform(0, 255, (1, 8, 8)), dtype=torch.float32) for _ in range(4)]
    spec = EntropySpec('hellinger', 256, (3,), bandwidth=0.5, prefactor=4.0)
    expected = pytorch_engine.distance_and_gradient(*[plane.double() for plane in planes], spec, True)
    for instruction_set in INSTRUCTION_SETS:
        found = distance_and_gradient(*planes, spec, True, instruction_set=instruction_set)
        assert [relative_error(a, b) <= 1e-5 for a, b in zip(found, expected, strict=True)] == [True] * 3


# --- exactness and robustness -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('instruction_set', INSTRUCTION_SETS)
def test_identical_windows_count_exactly_nothing(instruction_set: str) -> None:
    v, v_nbr, _, _ = noisy_planes(3, 2, 24, 24, levels=32, noise=1)
    for windows in ((1, 3, 5), (11,), (7,)):
        spec = EntropySpec('hellinger', 32, windows, 0.5, 4.0)
        found = distance_and_gradient(v, v_nbr, v, v_nbr, spec, True, instruction_set=instruction_set)
        assert [int(tensor.count_nonzero()) for tensor in found] == [0, 0, 0]
        spec = dataclasses.replace(spec, distance='relative_entropy')
        value, _, _ = distance_and_gradient(v, v_nbr, v, v_nbr, spec, True, instruction_set=instruction_set)
        assert not value.any()


@pytest.mark.parametrize('instruction_set', INSTRUCTION_SETS)
def test_where_half_the_picture_is_equal_that_half_has_no_gradient(instruction_set: str) -> None:
    v, v_nbr, _, _ = noisy_planes(4, 1, 40, 40, levels=32, noise=1)
    w, w_nbr = v.clone(), v_nbr.clone()
    w[:, :, 20:] += 1.5
    spec = EntropySpec('hellinger', 32, (1, 3, 5), 0.5, 4.0)
    _, grad_v, grad_v_nbr = distance_and_gradient(v, v_nbr, w, w_nbr, spec, True, instruction_set=instruction_set)
    assert not grad_v[:, :, :16].any()
    assert not grad_v_nbr[:, :, :16].any()
    assert grad_v[:, :, 20:].all()


def test_result_does_not_depend_on_the_threads(threads: None) -> None:
    planes = photograph_planes('china', 50, 32, noise=0.1)
    for spec in (
        EntropySpec('hellinger', 32, (1, 3, 5), 0.5, 4.0),
        EntropySpec('relative_entropy', 32, (11,), 0.5, 4.0),
    ):
        torch.set_num_threads(1)
        alone = distance_and_gradient(*planes, spec, True)
        for count in (2, 5, 64):
            torch.set_num_threads(count)
            together = distance_and_gradient(*planes, spec, True)
            assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize('distance', DISTANCES)
def test_value_alone_is_the_same(distance: str) -> None:
    planes = noisy_planes(5, 2, 18, 20, levels=16, noise=1)
    spec = EntropySpec(distance, 16, (1, 3, 5), 0.5, 4.0)
    value, *gradients = distance_and_gradient(*planes, spec, False)
    assert gradients == [None, None]
    assert torch.equal(value, distance_and_gradient(*planes, spec, True)[0])


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    distance=st.sampled_from(DISTANCES),
    normalise=st.booleans(),
    instruction_set=st.sampled_from(INSTRUCTION_SETS or ['none']),
)
def test_finite_for_any_finite_input(values: list[float], distance: str, normalise: bool, instruction_set: str) -> None:
    planes = noisy_planes(6, 1, 9, 10, levels=16, noise=1)
    for plane, value in zip(planes, values, strict=True):
        plane[0, 2:5, 3:7] = value
    spec = EntropySpec(distance, 16, (1, 3, 11), 0.5, 4.0, normalise=normalise)
    for tensor in distance_and_gradient(*planes, spec, True, instruction_set=instruction_set):
        assert tensor.isfinite().all()


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), float('-inf')])
@pytest.mark.parametrize('which', range(4))
@pytest.mark.parametrize('instruction_set', INSTRUCTION_SETS)
def test_what_is_not_a_number_stays_in_its_plane(which: int, bad: float, instruction_set: str) -> None:
    planes = noisy_planes(7, 3, 12, 12, levels=16, noise=1)
    clean = [plane.clone() for plane in planes]
    planes[which][1, 6, 6] = bad
    for distance in DISTANCES:
        spec = EntropySpec(distance, 16, (1, 3, 5), 0.5, 4.0)
        value, grad_v, _ = distance_and_gradient(*planes, spec, True, instruction_set=instruction_set)
        assert value[1].isnan() or not math.isnan(bad)
        assert grad_v[1, :2, :2].isfinite().all()
        expected, expected_grad, _ = distance_and_gradient(*clean, spec, True, instruction_set=instruction_set)
        assert torch.equal(value[[0, 2]], expected[[0, 2]])
        assert torch.equal(grad_v[[0, 2]], expected_grad[[0, 2]])


def test_any_memory_layout() -> None:
    planes = noisy_planes(8, 2, 20, 12, levels=16, noise=1)
    spec = EntropySpec('hellinger', 16, (1, 3, 5), 0.5, 4.0)
    expected = distance_and_gradient(*planes, spec, True)
    strided = [torch.stack([plane, plane], -1)[..., 1].transpose(1, 2).contiguous().transpose(1, 2) for plane in planes]
    assert not strided[0].is_contiguous()
    found = distance_and_gradient(*strided, spec, True)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    with pytest.raises(TypeError, match='float32'):
        distance_and_gradient(*[plane.double() for plane in planes], spec, True)


# --- the library ------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder where the engine looks for its library."""
    library = native_engine.library_path()
    monkeypatch.setattr(native, 'FOLDER', tmp_path)
    native_engine._load.cache_clear()
    yield tmp_path / library.name
    monkeypatch.undo()
    native_engine._load.cache_clear()


def test_missing_library_is_named(elsewhere: Path) -> None:
    assert not native_engine.available()
    assert native_engine.why_unavailable() == (
        'it was not built; install a C++ compiler (GCC or Clang), then this package again'
    )
    with pytest.raises(RuntimeError, match='not available: it was not built'):
        native_engine.instruction_sets()


def test_library_that_does_not_load_is_named(elsewhere: Path) -> None:
    elsewhere.write_bytes(b'no library')
    assert 'cannot be loaded' in str(native_engine.why_unavailable())
    shutil.copy(torch._C.__file__, elsewhere)  # a library, but another
    assert 'cannot be loaded' in str(native_engine.why_unavailable())


def test_library_of_other_sources_is_refused(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for source in native.sources():
        shutil.copy(source, elsewhere.parent)
    shutil.copy(native_engine.library_path(), elsewhere)
    monkeypatch.setattr(native, 'FOLDER', elsewhere.parent)
    assert native_engine.why_unavailable() is None
    native_engine._load.cache_clear()
    with (elsewhere.parent / 'tile.h').open('a') as header:
        header.write('// changed\n')
    assert 'was built from other sources; install this package again' in str(native_engine.why_unavailable())


def test_without_a_compiler_the_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ('CC', 'CXX'):
        monkeypatch.setenv(variable, 'no-such-compiler')
    folders = ['--build-lib', str(tmp_path / 'lib'), '--build-temp', str(tmp_path / 'temp')]
    run = subprocess.run(
        [sys.executable, 'setup.py', 'build_ext', *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert (
        'building extension "entropy_sde_plugin.losses.spatial_entropy.native._spatial_entropy" failed'
        in run.stdout + run.stderr
    )
    assert not list((tmp_path / 'lib').rglob('*_spatial_entropy*'))
