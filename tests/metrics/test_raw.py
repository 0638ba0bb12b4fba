"""PSNR and SSIM of raw planes against the released evaluation's."""

from __future__ import annotations

import numpy as np
import pytest

from entropy_sde_plugin.errors import InputError, MetricUnavailableError
from entropy_sde_plugin.metrics.raw import calculate_psnr_raw, calculate_ssim_raw
from tests.support import GOLDEN

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')


@pytest.mark.parametrize(
    ('result', 'truth', 'name'),
    [('metric_pred', 'metric_target', 'metric')]
    + [(f'eval_{size}_out', f'eval_{size}_target', f'eval_{size}') for size in ('40x44', '32x32')],
)
def test_values_are_the_released_ones(result, truth, name):
    pair = GIVEN[result][0], GIVEN[truth][0]
    values = [metric(*pair, input_order='CHW') for metric in (calculate_psnr_raw, calculate_ssim_raw)]
    np.testing.assert_allclose(values, GIVEN[f'{name}_psnr_ssim'], rtol=1e-5)


def test_orders_and_borders_agree():
    result, truth = (GIVEN[name][0] for name in ('metric_pred', 'metric_target'))
    inner = result[:, 2:-2, 2:-2], truth[:, 2:-2, 2:-2]
    for metric in (calculate_psnr_raw, calculate_ssim_raw):
        turned = metric(result.transpose(1, 2, 0), truth.transpose(1, 2, 0), crop_border=2, better='higher')
        assert turned == pytest.approx(metric(*inner, input_order='CHW'))


def test_what_cannot_be_compared():
    planes = np.zeros((8, 8, 4))
    with pytest.raises(InputError, match='one shape'):
        calculate_psnr_raw(planes, planes[:4])
    with pytest.raises(InputError, match='floating'):
        calculate_psnr_raw(planes.astype(np.uint8), planes.astype(np.uint8))
    with pytest.raises(InputError, match=r"^input_order 'hcw' of a metric must be HWC or CHW\.$"):
        calculate_psnr_raw(planes, planes, input_order='hcw')
    with pytest.raises(InputError, match='leaves nothing'):
        calculate_psnr_raw(planes, planes, crop_border=4)
    with pytest.raises(MetricUnavailableError, match='at least 7x7 pixels, not 8x6'):
        calculate_ssim_raw(planes[:6], planes[:6])
