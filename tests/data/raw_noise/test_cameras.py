from __future__ import annotations

import math

import numpy as np
import pytest

from entropy_sde_plugin.data.raw_noise.cameras import CAMERAS, RawCamera, camera, draw_parameters
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')


@pytest.mark.parametrize('index', range(5))
def test_gain_of_an_iso(index):
    gains = [camera(CAMERAS[index]).gain_at(iso) for iso in GIVEN['iso']]
    np.testing.assert_allclose(gains, GIVEN['iso_K'][index], rtol=1e-12)


def test_calibrated_figures_are_those_of_the_reference():
    """Two cameras by the digits printed in ELD's table; the file holds more."""
    sony, canon = camera('SonyA7S2'), camera('CanonEOS70D')
    assert (sony.row.slope, sony.row.bias, sony.row.std) == pytest.approx((0.52754, -0.59170, 0.29429), abs=1e-5)
    assert (canon.gauss.slope, canon.tukey.bias) == pytest.approx((0.56812, 1.46427), abs=1e-5)
    shapes = (8, 9, 4, 3, 0, 0, -3, -4, -6, -6, -6, -6, -8, -8, -10, -9, -10, -10)
    assert sony.tukey_shapes == pytest.approx([n / 70 for n in shapes], abs=1e-9)


def exposures(gain, count=5000):
    rng = np.random.default_rng(0)
    cameras = [camera('SonyA7S2'), camera('NikonD850')]
    return [draw_parameters(cameras, rng, gain=gain, ratio=(20, 300)) for _ in range(count)]


def test_released_gains_are_log_uniform_for_every_camera():
    logs = np.log([each.gain for each in exposures('released')])
    assert logs.min() == pytest.approx(math.log(0.1), abs=0.02)
    assert logs.max() == pytest.approx(math.log(30), abs=0.02)
    assert logs.var() == pytest.approx(math.log(300) ** 2 / 12, rel=0.03)


def test_gains_of_the_camera_itself():
    sony = camera('SonyA7S2')
    rng = np.random.default_rng(0)
    gains = [draw_parameters([sony], rng, gain='per_camera', ratio=(1, 2)).gain for _ in range(2000)]
    assert sony.gain_range[0] <= min(gains) < 0.1
    assert 5.8 < max(gains) <= sony.gain_range[1]


def test_ratios_and_shapes():
    drawn = exposures('released')
    ratios = np.array([each.ratio for each in drawn])
    assert (ratios.min(), ratios.max()) == pytest.approx((20, 300), abs=1)
    assert ratios.mean() == pytest.approx(160, rel=0.02)
    shapes = {each.tukey_shape for each in drawn}
    assert shapes == {*camera('SonyA7S2').tukey_shapes, *camera('NikonD850').tukey_shapes}


def test_scales_scatter_around_the_calibrated_line():
    rng = np.random.default_rng(1)
    sony = camera('SonyA7S2')
    drawn = [sony.draw(4.0, 100.0, rng) for _ in range(5000)]
    for name, line in [('gauss_std', sony.gauss), ('tukey_scale', sony.tukey), ('row_std', sony.row)]:
        logs = np.log([getattr(each, name) for each in drawn])
        assert logs.mean() == pytest.approx(line.slope * math.log(4.0) + line.bias, abs=0.02)
        assert logs.std() == pytest.approx(line.std, rel=0.05)
    pairs = np.log([[each.gauss_std, each.tukey_scale, each.row_std] for each in drawn])
    assert np.abs(np.corrcoef(pairs.T) - np.eye(3)).max() < 0.06  # independent


def test_a_calibration_of_ones_own_needs_nothing_else():
    sony = camera('SonyA7S2')
    own = RawCamera(((100, 1.0),), *(sony.gauss,) * 3, tukey_shapes=(0.0,), camera_from_srgb=sony.camera_from_srgb)
    assert own.draw(1.0, 10.0, np.random.default_rng(0)).tukey_shape == 0


def test_an_unknown_camera_and_a_wrong_iso():
    with pytest.raises(InputError, match="Did you mean 'SonyA7S2'"):
        camera('SonyA7S3')
    with pytest.raises(InputError, match='above 0'):
        camera('SonyA7S2').gain_at(0)


def test_gains_of_a_calibration_between_and_beyond_its_iso_values():
    sony = camera('SonyA7S2')
    own = RawCamera(((400, 1.0), (800, 3.0)), *(sony.gauss,) * 3, (0.0,), sony.camera_from_srgb)
    assert [own.gain_at(iso) for iso in (200, 400, 600, 800, 1600)] == pytest.approx([0.5, 1, 2, 3, 6])
    with pytest.raises(InputError, match='must increase'):
        RawCamera(((800, 1.0), (400, 3.0)), *(sony.gauss,) * 3, (0.0,), sony.camera_from_srgb)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('{', 'Input data was truncated'),
        ('{"gains": [[100, 1]]}', 'missing required field'),
        (None, 'cannot be read: there is no such file'),
    ],
)
def test_a_file_that_is_none_of_a_camera(tmp_path, text, words):
    path = tmp_path / 'camera.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        camera(str(path), 'cameras')
    assert caught.value.option == 'cameras'
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
