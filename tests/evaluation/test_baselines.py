"""The classical baselines against their definitions."""

import cv2
import numpy as np
import pytest
from skimage.exposure import equalize_hist
from skimage.filters import gaussian

from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.evaluation import baselines


@pytest.fixture(scope='module')
def dark():
    return darken(photograph('coffee'), exposure=0.1, rng=np.random.default_rng(0))


def test_every_baseline_keeps_shape_and_type(dark):
    for method in (baselines.BASELINES | baselines.RETINEX).values():
        result = method(dark)
        assert (result.shape, result.dtype) == (dark.shape, np.uint8)


def test_gamma_is_a_power(dark):
    expected = 255 * (dark / 255) ** (1 / 2.2)
    assert np.abs(baselines.gamma_correction(dark) - expected).max() <= 0.5


def test_gain_lifts_the_mean_by_one_factor(dark):
    lifted = baselines.gain(dark, mean=0.2)
    assert lifted.mean() / 255 == pytest.approx(0.2, abs=2e-3)  # a few values saturate
    unsaturated = lifted < 255
    factor = 0.2 * 255 / dark.mean()
    assert np.abs(lifted[unsaturated] - factor * dark[unsaturated]).max() <= 0.5


def test_equalisation_is_that_of_scikit_image(dark):
    luma = cv2.cvtColor(dark, cv2.COLOR_RGB2YCrCb)[..., 0]
    result = cv2.cvtColor(baselines.histogram_equalisation(dark), cv2.COLOR_RGB2YCrCb)[..., 0]
    expected = 255 * equalize_hist(luma)
    assert np.corrcoef(result.ravel(), expected.ravel())[0, 1] > 0.97  # colours that leave the gamut differ


def test_denoising_removes_noise_and_keeps_the_mean(dark):
    noisy, clean = baselines.gain(dark).astype(float), baselines.gain_and_denoise(dark).astype(float)
    assert clean.mean() == pytest.approx(noisy.mean(), rel=0.02)
    assert np.abs(np.diff(clean, axis=1)).mean() < 0.5 * np.abs(np.diff(noisy, axis=1)).mean()


def test_msrcr_is_its_definition(dark):
    """Written out in float64 over scikit-image's Gaussian: ratios to three surrounds, colour weight, stretch."""
    dark = dark[:90, :120]
    bright = dark.astype(float) + 1
    ratios = [np.log(bright / gaussian(bright, sigma, mode='mirror', channel_axis=2)) for sigma in (15, 80, 250)]
    restored = sum(ratios) / 3 * np.log(125 * bright / bright.sum(2)[..., None])
    for channel in range(3):
        low, high = np.percentile(restored[..., channel], [1, 99])
        restored[..., channel] = np.clip((restored[..., channel] - low) / (high - low), 0, 1)
    assert np.abs(baselines.msrcr(dark) - 255 * restored).mean() < 1.5  # windows are cut off at other radii


def test_msrcr_of_one_colour_is_finite():
    flat = np.full((20, 30, 3), (40, 20, 10), np.uint8)
    assert len(np.unique(baselines.msrcr(flat).reshape(-1, 3), axis=0)) <= 2  # nothing but rounding to stretch


def test_lime_divides_by_a_smooth_illumination():
    """Under even light there is nothing to smooth: x / T^0.8; and an edge of the light stays an edge."""
    flat = np.full((40, 40, 3), (64, 32, 16), np.uint8)
    expected = flat / 255 / (64 / 255) ** 0.8 * 255
    assert np.abs(baselines.lime(flat) - expected).max() <= 0.51
    halves = np.concatenate([flat // 4, flat], axis=1)
    lit = baselines.lime(halves).astype(float)
    assert lit[:, 41:].mean() / lit[:, :39].mean() < 2.5  # from a factor of 4
    assert not baselines.lime(np.zeros((8, 8, 3), np.uint8)).any()
