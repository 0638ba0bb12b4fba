from __future__ import annotations

import numpy as np

from entropy_sde_plugin.data.raw_view import developed
from tests.support import GOLDEN

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')


def test_it_looks_as_released():
    view = developed(GIVEN['isp_packed'][0], GIVEN['isp_wb'][0], GIVEN['isp_ccm'][0])
    released = np.floor(255 * GIVEN['isp_rgb'][0].transpose(1, 2, 0))
    assert np.abs(view - released).max() <= 1
