"""The metrics of a validation of ours, where BasicSR's own would be NaN."""

import math
import warnings

import numpy as np
import pytest
from basicsr.metrics import calculate_metric

from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import MetricUnavailableError
from entropy_sde_plugin.evaluation.scoring import Scorer

SMALL = np.ascontiguousarray(photograph('coffee')[:20, :30])


def test_ssim_that_is_nan_for_basicsr_is_unavailable_here():
    """10 x 20 pixels are left for the window of 11."""
    ssim = {'type': 'calculate_ssim', 'crop_border': 5}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # NumPy's, about the mean of nothing
        assert math.isnan(calculate_metric({'img': SMALL, 'img2': SMALL}, ssim))
    with pytest.raises(MetricUnavailableError, match=r'^SSIM needs images of at least 11x11 pixels, not 20x10\.$'):
        raise Scorer({'metrics': {'ssim': ssim}}).of_picture(SMALL, SMALL)['ssim']


def test_a_window_that_just_fits_has_a_value():
    ssim = {'type': 'calculate_ssim', 'crop_border': 4}
    assert Scorer({'metrics': {'ssim': ssim}}).of_picture(SMALL[:19], SMALL[:19])['ssim'] == pytest.approx(1)
