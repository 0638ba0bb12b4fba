"""The model of a short exposure, against the closed-form moments of its noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from skimage.color import rgb2xyz, xyz2rgb

from entropy_sde_plugin.data.synthesis import CameraRanges, darken, uneven_exposure

FULL_WELL, READ_NOISE, GAMMA = 1500.0, 3.0, 2.2


def electrons(dark: np.ndarray) -> np.ndarray:
    return (dark / 255.0) ** GAMMA * FULL_WELL


@pytest.mark.parametrize(
    ('level', 'exposure'), [(128, 1.0), (128, 0.2), (200, 0.1), (230, 0.05)]
)  # means of 330, 66, 88 and 60 electrons: clear of both ends
def test_mean_and_variance_in_electrons(level, exposure):
    flat = np.full((1000, 1000), level, np.uint8)
    seen = electrons(darken(flat, exposure=exposure, rng=np.random.default_rng(1)))
    mean = (level / 255) ** GAMMA * exposure * FULL_WELL
    # Rounding to 8 bits adds step²/12, where a step of one level is worth 2.2·e/level electrons.
    step = GAMMA * mean / (255 * (mean / FULL_WELL) ** (1 / GAMMA))
    variance = mean + READ_NOISE**2 + step**2 / 12
    assert seen.mean() == pytest.approx(mean, rel=2e-3)
    assert seen.var() == pytest.approx(variance, rel=1e-2)


def test_black_shows_half_of_the_read_noise():
    dark = electrons(darken(np.zeros((1000, 1000), np.uint8), exposure=0.1, rng=np.random.default_rng(2)))
    # max(0, 3·N(0, 1)): zero half of the time, mean 3/sqrt(2 pi), second moment 9/2
    assert (dark == 0).mean() == pytest.approx(0.5, abs=3e-3)
    assert dark.mean() == pytest.approx(READ_NOISE / math.sqrt(2 * math.pi), rel=1e-2)
    assert (dark**2).mean() == pytest.approx(READ_NOISE**2 / 2, rel=1.5e-2)


def test_white_saturates():
    dark = darken(np.full((500, 500), 255, np.uint8), exposure=1.0, rng=np.random.default_rng(3))
    assert dark.max() == 255
    assert (dark == 255).mean() == pytest.approx(0.5, abs=0.1)  # the mean is the full well itself


def test_without_noise_only_light_is_lost():
    image = np.arange(256, dtype=np.uint8)
    dark = darken(image, exposure=0.25, rng=np.random.default_rng(0), full_well=1e12, read_noise=0.0)
    np.testing.assert_array_equal(dark, np.rint(image * 0.25 ** (1 / GAMMA)).astype(np.uint8))


def test_noise_is_independent_between_pixels_and_channels():
    flat = np.full((300, 300, 3), 128, np.uint8)
    dark = darken(flat, exposure=0.2, rng=np.random.default_rng(4)).astype(float)
    noise = dark - dark.mean()
    for other in (np.roll(noise, 1, 0), np.roll(noise, 1, 1), np.roll(noise, 1, 2)):
        assert abs((noise * other).mean() / noise.var()) < 0.01  # standard error 0.002


def test_follows_from_the_generator():
    flat = np.full((20, 20, 3), 128, np.uint8)
    first, again, other = (darken(flat, exposure=0.1, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (flat == 128).all()


@pytest.mark.parametrize('exposure', [0.0, -0.1, 1.5, math.nan])
def test_exposure_out_of_range(exposure):
    with pytest.raises(ValueError, match='exposure'):
        darken(np.zeros((2, 2), np.uint8), exposure=exposure, rng=np.random.default_rng(0))


@pytest.mark.parametrize('name', ['exposure', 'full_well'])
def test_light_and_full_well_are_log_uniform(name):
    """Of a flat image without read noise the mean tells the exposure, and the variance the full well."""
    flat = np.full((64, 64, 3), 200, np.uint8)
    mean = (200 / 255) ** GAMMA
    ranges = {'exposure': (0.1, 0.1), 'full_well': (1e6, 1e6), 'read_noise': (0, 0)}
    limits = {'exposure': (0.03, 0.2), 'full_well': (200.0, 2000.0)}[name]
    cameras, rng = CameraRanges(**ranges | {name: limits}), np.random.default_rng(0)
    draws = []
    for _ in range(300):
        linear = (cameras.darkened(flat, rng) / 255.0) ** GAMMA
        draws.append(linear.mean() / mean if name == 'exposure' else linear.mean() / linear.var())
    assert stats.kstest(draws, stats.loguniform(*limits).cdf).pvalue > 1e-3


def test_read_noise_is_uniform_in_its_range():
    flat = np.full((64, 64, 3), 150, np.uint8)
    cameras = CameraRanges(exposure=(0.5, 0.5), full_well=(1e4, 1e4), read_noise=(20, 80))
    rng = np.random.default_rng(0)
    shot = (150 / 255) ** GAMMA * 0.5 * 1e4
    draws = [math.sqrt(((cameras.darkened(flat, rng) / 255.0) ** GAMMA * 1e4).var() - shot) for _ in range(300)]
    assert stats.kstest(draws, stats.uniform(20, 60).cdf).pvalue > 1e-3


def test_colour_cast_is_a_log_normal_gain_of_each_channel():
    flat = np.full((32, 32, 3), 150, np.uint8)
    cameras = CameraRanges(exposure=(0.3, 0.3), full_well=(1e9, 1e9), read_noise=(0, 0), colour_cast=0.2)
    rng = np.random.default_rng(0)
    gains = np.array([(cameras.darkened(flat, rng).mean((0, 1)) / 255) ** GAMMA for _ in range(300)])
    logs = np.log(gains / ((150 / 255) ** GAMMA * 0.3)) / 0.2
    assert stats.kstest(logs.ravel(), stats.norm.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(logs.T)[np.triu_indices(3, 1)]).max() < 0.2  # the channels know nothing of each other


def test_tone_curve_is_the_cameras_own():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    cameras = CameraRanges(exposure=(0.25, 0.25), full_well=(1e12, 1e12), read_noise=(0, 0), tone_gamma=(1.8, 1.8))
    dark = cameras.darkened(image, np.random.default_rng(0))
    expected = 255 * ((image / 255.0) ** GAMMA * 0.25) ** (1 / 1.8)
    np.testing.assert_array_equal(dark, np.rint(expected).astype(np.uint8))


def test_jpeg_is_applied_as_often_as_given():
    """Noise that JPEG at quality 10 flattens, in a fifth of the images."""
    flat = np.full((64, 64, 3), 128, np.uint8)
    cameras = CameraRanges(exposure=(0.2, 0.2), jpeg_prob=0.2, jpeg_quality=(10, 10))
    rng = np.random.default_rng(0)
    rough = [float(np.abs(np.diff(cameras.darkened(flat, rng).astype(int), axis=1)).mean()) for _ in range(300)]
    flattened = np.array(rough) < 0.5 * np.median(rough)
    assert flattened.mean() == pytest.approx(0.2, abs=0.08)  # standard error 0.023


def test_a_camera_of_one_kind_darkens_as_darken_does():
    bright = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    one = CameraRanges(exposure=(0.1, 0.1)).darkened(bright, np.random.default_rng(0))
    np.testing.assert_array_equal(one, darken(bright, exposure=0.1, rng=np.random.default_rng(0)))


NOISELESS = {'full_well': 1e12, 'read_noise': 0.0}
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)


@pytest.mark.parametrize('exposure', [0.9, 0.2, 0.01])
def test_the_exact_srgb_curve_is_that_of_scikit_image(exposure):
    dark = darken(RAMP, exposure=exposure, rng=np.random.default_rng(0), tone_gamma=None, **NOISELESS)
    expected = 255 * xyz2rgb(rgb2xyz(RAMP / 255.0) * exposure)
    assert np.abs(dark - expected).max() < 0.51  # rounding, and the digits of the oracle's matrices


def test_black_level_is_subtracted_from_the_light():
    kwargs = {'exposure': 0.1, 'tone_gamma': GAMMA} | NOISELESS
    light = (RAMP / 255.0) ** GAMMA * 0.1
    dark = darken(RAMP, rng=np.random.default_rng(0), black_level=0.5, **kwargs)
    expected = 255 * np.maximum(light - 0.5 * light.mean(), 0) ** (1 / GAMMA)
    assert np.abs(dark - expected).max() < 0.51
    assert (dark == 0).mean() > 0.3


def test_smoothing_correlates_the_noise_as_a_gaussian_does():
    flat = np.full((300, 300, 3), 128, np.uint8)
    dark = darken(flat, exposure=0.9, rng=np.random.default_rng(4), full_well=100, smoothing=1.0).astype(float)
    noise = dark - dark.mean((0, 1))
    correlation = (noise * np.roll(noise, 1, 1)).mean() / noise.var()
    # White noise through a Gaussian: exp(-distance² / (4 sigma²)).
    assert correlation == pytest.approx(math.exp(-1 / 4), abs=0.02)
    assert abs((noise * np.roll(noise, 1, 2)).mean() / noise.var()) < 0.02  # not across the channels


def test_uneven_light_lies_between_the_dark_and_full_light():
    rng = np.random.default_rng(0)
    maps = [uneven_exposure(RAMP, 0.02, rng) for _ in range(200)]
    assert all(exposure.shape == (16, 16, 1) for exposure in maps)
    assert min(exposure.min() for exposure in maps) >= 0.02
    assert max(exposure.max() for exposure in maps) <= 1
    assert np.mean([exposure.max() > 3 * exposure.min() for exposure in maps]) > 0.9


def test_an_exposure_map_darkens_each_pixel_by_its_own():
    exposure = np.linspace(0.05, 1, 256).reshape(16, 16, 1)
    dark = darken(RAMP, exposure=exposure, rng=np.random.default_rng(0), **NOISELESS)
    np.testing.assert_array_equal(dark, np.rint(RAMP * exposure ** (1 / GAMMA)).astype(np.uint8))


def test_well_lit_pictures_stay_unchanged_as_often_as_set():
    cameras = CameraRanges(
        (0.05, 0.1), full_well=(1e9, 1e9), read_noise=(0, 0), colour_cast=0.3, black_level=(0.2, 0.4), well_lit_prob=0.3
    )
    rng = np.random.default_rng(0)
    unchanged = [np.array_equal(cameras.darkened(RAMP, rng), RAMP) for _ in range(300)]
    assert np.mean(unchanged) == pytest.approx(0.3, abs=0.08)  # standard error 0.026
