"""The measures of a pair, against pairs whose darkness is known."""

from __future__ import annotations

import numpy as np
import pytest

from entropy_sde_plugin.demo.photographs import photograph
from tests.support.scripts import script

measures = script('darkness_statistics').measures


@pytest.mark.parametrize(('factor', 'power'), [(0.5, 1.0), (0.5, 1.5), (1.0, 2.0)])
def test_slope_is_the_power_of_a_pair_related_by_one(factor, power):
    bright = np.repeat(np.repeat(np.arange(60, 240, dtype=np.uint8)[:144].reshape(12, 12), 16, 0), 16, 1)
    bright = bright[..., None].repeat(3, 2)
    dark = np.rint(255 * factor * (bright / 255.0) ** power).astype(np.uint8)
    assert measures(dark, bright)[1] == pytest.approx(power, rel=0.02)


def test_light_ratio_zeros_and_means():
    bright = photograph('coffee')
    dark = bright.copy()
    dark[: bright.shape[0] // 4] = 0
    ratio, _, zeros, dark_mean, bright_mean = measures(dark, bright)
    linear = (bright / 255.0 + 0.055) / 1.055
    linear = np.where(bright / 255.0 <= 0.04045, bright / 255.0 / 12.92, linear**2.4)
    assert ratio == pytest.approx(linear.sum() / linear[bright.shape[0] // 4 :].sum())
    assert zeros == pytest.approx(100 * (dark == 0).any(-1).mean())
    assert (dark_mean, bright_mean) == pytest.approx((dark.mean(), bright.mean()))
