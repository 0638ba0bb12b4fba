from __future__ import annotations

import numpy as np
import pytest

from entropy_sde_plugin.data.raw_noise import CAMERAS, camera
from entropy_sde_plugin.data.raw_view import developed
from entropy_sde_plugin.data.unprocessing import unprocessed


def smoothstep(values):
    return 3 * values**2 - 2 * values**3


@pytest.mark.parametrize('name', CAMERAS)
def test_developing_gives_the_photograph_back(name):
    """By the viewing pipeline and the tone curve that was undone, on colours that the sensor does not clip."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(60, 160, (12, 15, 3))
    photograph = blocks.repeat(2, 0).repeat(2, 1).astype(np.uint8)  # one colour for each cell of the mosaic
    matrix = np.array(camera(name).camera_from_srgb)
    planes = unprocessed(photograph, matrix, 2.1, 1.7)
    assert planes.shape == (4, 12, 15)
    inside = (planes > 0).all(0)
    assert inside.mean() > 0.5
    view = developed(planes, np.array([2.1, 1, 1.7, 1]), np.linalg.inv(matrix)) / 255
    again = 255 * smoothstep(view)
    assert np.abs(again - blocks)[inside].max() <= 2.5  # the view is rounded down, and the curve is steep


@pytest.mark.parametrize('name', CAMERAS)
def test_white_stays_white(name):
    planes = unprocessed(np.full((4, 4, 3), 255, np.uint8), np.array(camera(name).camera_from_srgb), 2.0, 1.5)
    np.testing.assert_allclose(planes, 1, atol=1e-5)
