"""The exposure ratio and the gain of raw files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.pictures.dng import develop_planes
from entropy_sde_plugin.inference.raw_exposure import RawExposure, automatic_ratio

MATRIX = np.array([[1.6, -0.4, -0.2], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]], np.float32)


def frame(gains, scale=0.01):
    """A dark frame of smooth light, as planes of 40 x 60."""
    rows, columns = np.mgrid[:40, :60]
    scene = scale * (0.6 + 0.4 * np.sin(rows / 15) * np.cos(columns / 20))
    planes = np.stack([scene / gain for gain in gains]).astype(np.float32)
    return RawFrame(planes, (512.0,) * 4, 16383.0, RawMetadata(800, 0.1, np.array(gains, np.float32), MATRIX))


@pytest.mark.parametrize('gains', [(2, 1, 1.5, 1), (0.7, 1, 1.5, 1)])
def test_the_automatic_ratio_brings_the_developed_image_s_percentile_to_0_8(gains):
    """As LibRaw develops it, also where green has not the lowest gain."""
    dark = frame(gains)
    developed = develop_planes(dark.planes * automatic_ratio(dark), dark)
    assert np.percentile(developed, 95) / 65535 == pytest.approx(0.8, abs=0.01)


def test_noise_hardly_changes_the_ratio():
    """Noise as strong as the light itself."""
    dark = frame((2, 1, 1.5, 1))
    noise = np.random.default_rng(0).normal(0, dark.planes.mean(), dark.planes.shape)
    noisy = replace(dark, planes=(dark.planes + noise).astype(np.float32))
    assert automatic_ratio(noisy) == pytest.approx(automatic_ratio(dark), rel=0.3)


def test_the_automatic_ratio_is_300_at_most_and_above_1():
    assert automatic_ratio(frame((2, 1, 1.5, 1), scale=1e-5)) == 300
    assert automatic_ratio(frame((2, 1, 1.5, 1), scale=0)) == 300
    with pytest.raises(InputError, match='bright enough already'):
        automatic_ratio(frame((2, 1, 1.5, 1), scale=1))


def test_an_automatic_ratio_is_reported_and_a_given_one_is_not(capsys):
    dark = frame((2, 1, 1.5, 1))
    ratio = RawExposure().ratio_of(dark, 'night.dng')
    assert ratio == automatic_ratio(dark)
    assert capsys.readouterr().out == f'night.dng: ratio {ratio:.3g}.\n'
    assert RawExposure(ratio=120.0).ratio_of(dark, 'night.dng') == 120
    assert capsys.readouterr().out == ''


def test_the_gain_is_the_given_one_or_the_camera_s_at_the_file_s_iso(capsys):
    dark = frame((2, 1, 1.5, 1))
    assert RawExposure(camera='SonyA7S2', gain=3.0).gain_of(dark) == 3
    bright = replace(dark, metadata=replace(dark.metadata, iso=1600))
    assert RawExposure(camera='SonyA7S2').gain_of(bright) == pytest.approx(1.502657, abs=1e-6)
    assert capsys.readouterr().err == ''
    assert RawExposure().gain_of(dark) == 1  # with the warning that is tested with `gain_for`


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'ratio': 1.0}, 'above 1 and at most 65535, got 1'),
        ({'ratio': float('nan')}, 'above 1 and at most 65535, got nan'),
        ({'ratio': 1e30}, r'at most 65535, got 1e\+30'),
        ({'gain': 1e-30}, 'from 0.001 to 1000 ADU per photon, got 1e-30'),
        ({'gain': 0.0}, 'from 0.001 to 1000 ADU per photon, got 0'),
        ({'camera': 'SonyA7'}, "There is no camera 'SonyA7'. Did you mean 'SonyA7S2'"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        RawExposure(**options)
