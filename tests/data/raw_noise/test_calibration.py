"""Parameters of synthetic frames, drawn by NumPy and SciPy, are found again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from entropy_sde_plugin.data.raw_noise.calibration import (
    DarkNoise,
    ISONoise,
    TransferPoint,
    dark_noise,
    fitted_camera,
    photon_transfer,
    system_gain,
)
from entropy_sde_plugin.errors import InputError

SHAPE = (4, 512, 400)


def rows(std, rng):
    return (std * rng.standard_normal((2, SHAPE[1])))[[0, 0, 1, 1], :, None]


@pytest.mark.parametrize('std', [1.0, 4.0])
def test_gaussian_read_noise_and_rows_of_whole_numbers(std):
    rng = np.random.default_rng(1)
    found = dark_noise(np.rint(rng.normal(0.3, std, SHAPE) + rows(0.4, rng)))
    assert found.gauss_std == pytest.approx(std, rel=0.02)
    assert found.tukey_shape == pytest.approx(0.14, abs=0.02)  # the Tukey lambda distribution closest to the normal one
    assert found.row_std == pytest.approx(0.4, rel=0.08)


@pytest.mark.parametrize('shape', [-0.2, 0.0, 0.1])
def test_tukey_lambda_read_noise_of_whole_numbers(shape):
    rng = np.random.default_rng(2)
    found = dark_noise(np.rint(1.5 * stats.tukeylambda.rvs(shape, size=SHAPE, random_state=rng) + rows(0.5, rng)))
    assert found.tukey_shape == pytest.approx(shape, abs=0.015)
    assert found.tukey_scale == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize('row_std', [0.0, 0.1])
@pytest.mark.parametrize('std', [0.5, 0.7, 0.9])
def test_read_noise_below_one_adu(std, row_std):
    rng = np.random.default_rng(6)
    found = dark_noise(np.rint(rng.normal(0, std, SHAPE) + rows(row_std, rng)))
    assert found.gauss_std == pytest.approx(std, rel=0.04)
    assert found.tukey_scale * stats.tukeylambda.std(found.tukey_shape) == pytest.approx(std, rel=0.04)


def test_hot_pixels_do_not_count_as_noise():
    rng = np.random.default_rng(3)
    planes = rng.normal(0, 3, SHAPE)
    planes[:, ::64, ::50] = 8000
    found = dark_noise(planes)
    assert found.gauss_std == pytest.approx(3, rel=0.02)
    assert found.row_std < 0.15  # 64 of them in a row of 800 would move its mean by 80


def test_rows_without_noise_of_their_own_get_what_could_be_missed():
    rng = np.random.default_rng(4)
    bound = 3 / np.sqrt(800) * (2 / 1024) ** 0.25
    assert bound * 0.98 < dark_noise(rng.normal(0, 3, SHAPE)).row_std < 2 * bound


@pytest.mark.parametrize('std', [0.1, 0.25])
def test_noise_that_rounding_hides(std):
    with pytest.raises(InputError, match='hidden by the rounding to whole numbers; take a higher ISO'):
        dark_noise(np.rint(np.random.default_rng(0).normal(0, std, SHAPE)))


def test_what_repeats_cancels_in_pairs():
    rng = np.random.default_rng(5)
    uneven = rng.uniform(0.5, 1, SHAPE)
    for point in photon_transfer(*(2.5 * rng.poisson(1000 * uneven) + 512 * uneven for _ in range(2))):
        assert point.variance == pytest.approx(2.5**2 * 750, rel=0.01)
        assert point.mean == pytest.approx(2.5 * 750 + 384, rel=0.01)


def test_the_gain_is_the_slope_above_the_read_noise():
    points = [TransferPoint(mean, 1.7 * mean + 30) for mean in (-1, 200, 3000)]
    assert system_gain(points) == pytest.approx(1.7)


@pytest.mark.parametrize(
    ('variances', 'words'), [((30, 31, 32), 'too dark'), ((90, 60, 30), 'does not grow with the light')]
)
def test_frames_that_have_no_gain(variances, words):
    with pytest.raises(InputError, match=words):
        system_gain([TransferPoint(mean, variance) for mean, variance in zip((0, 100, 200), variances, strict=True)])


def test_lines_through_the_noise_of_all_gains():
    gains = {100: 0.5, 400: 2.0, 1600: 8.0}
    measured = [
        ISONoise(
            iso,
            gain,
            [
                DarkNoise(
                    gauss_std=np.exp(0.6 * np.log(gain) + 1 + step),
                    tukey_scale=np.exp(0.5 * np.log(gain)),
                    tukey_shape=-0.1,
                    row_std=0.3,
                )
                for step in (-0.1, 0.1)
            ],
        )
        for iso, gain in reversed(gains.items())
    ]
    found = fitted_camera(measured, np.eye(3), 4000.0)
    assert found.gains == tuple(gains.items())
    assert (found.gauss.slope, found.gauss.bias) == pytest.approx((0.6, 1))
    assert found.gauss.std == pytest.approx(np.sqrt(6 * 0.01 / 4))  # six points, two parameters
    assert (found.tukey.slope, found.tukey.bias, found.tukey.std) == pytest.approx((0.5, 0, 0), abs=1e-12)
    assert (found.row.slope, found.row.bias) == pytest.approx((0, np.log(0.3)))
    single = fitted_camera(measured[:1], np.eye(3), 4000.0)
    assert (single.gauss.slope, single.gauss.bias) == pytest.approx((0, 0.6 * np.log(8) + 1))
