"""LLDiffusion's PSNR and SSIM against values of its released code."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError, MetricUnavailableError
from entropy_sde_plugin.evaluation.scoring import Scorer
from entropy_sde_plugin.metrics.lldiffusion import calculate_psnr_lldiffusion, calculate_ssim_lldiffusion
from tests.support.lldiffusion import image

PSNR, SSIM, GREY_SSIM = (20.13993727, 33.97434748), (0.96837513, 0.99836969), (0.97018606, 0.99816606)
"""Of the released code, without and with matching of the channels' means."""


def picture(seed):
    """An image by formula, (3, H, W), BGR."""
    return image((3, 40, 48), seed).numpy()[::-1]


TRUTH = picture(1)
RESULT = np.clip(0.8 * TRUTH + 0.05 * picture(2), 0, 1)


@pytest.mark.parametrize('gt_mean', [False, True])
def test_values_of_the_release(gt_mean):
    options = {'input_order': 'CHW', 'gt_mean': gt_mean}
    assert calculate_psnr_lldiffusion(RESULT, TRUTH, **options) == pytest.approx(PSNR[gt_mean], rel=1e-7)
    assert calculate_ssim_lldiffusion(RESULT, TRUTH, **options) == pytest.approx(SSIM[gt_mean], rel=1e-7)
    grey = calculate_ssim_lldiffusion(RESULT, TRUTH, grey=True, **options)
    assert grey == pytest.approx(GREY_SSIM[gt_mean], rel=1e-7)


def test_8_bit_values_of_the_release():
    """Measured as the distance of a flat image from black."""
    values = (0, 0.0019, 0.00195, 0.0039, 0.0040, 0.4999, 0.5, 0.99, 0.9960, 0.9961, 0.9999, 1)
    released = (0, 0, 0, 0, 1, 127, 127, 253, 254, 255, 255, 255)
    black = np.zeros((8, 8, 3), np.float32)
    levels = [255 * 10 ** (-calculate_psnr_lldiffusion(black + np.float32(v), black) / 20) for v in values]
    np.testing.assert_allclose(levels, released, atol=1e-9)


def test_pictures_of_8_bits_keep_their_levels():
    truth = photograph('coffee')[100:150, 200:260]
    result = truth // 4 * 3
    expected = structural_similarity(truth[3:-3, 3:-3], result[3:-3, 3:-3], data_range=255, channel_axis=2)
    assert calculate_ssim_lldiffusion(result, truth, crop_border=3) == pytest.approx(expected, rel=1e-9)

    grey = [(picture[..., ::-1] @ [0.2989, 0.587, 0.114]).astype(np.uint8) for picture in (truth, result)]
    expected = structural_similarity(*grey, data_range=255)
    assert calculate_ssim_lldiffusion(result, truth, grey=True) == pytest.approx(expected, rel=1e-9)


def test_they_are_given_the_picture_before_it_is_rounded():
    """Half a level above a whole one: rounded up by BasicSR, cut off here."""
    truth = np.full((16, 16, 3), 100, np.uint8)
    unrounded = np.full((16, 16, 3), 100.52 / 255.999, np.float32)
    rounded = np.full((16, 16, 3), 101, np.uint8)
    metrics = {name: {'type': f'calculate_{name}', 'crop_border': 0} for name in ('psnr', 'psnr_lldiffusion')}
    scores = Scorer({'metrics': metrics}).of_picture(rounded, truth, unrounded)
    assert scores == {'psnr': pytest.approx(48.13, abs=0.01), 'psnr_lldiffusion': float('inf')}


def test_what_cannot_be_compared():
    with pytest.raises(MetricUnavailableError, match=r'^SSIM needs images of at least 7x7 pixels, not 48x6\.$'):
        calculate_ssim_lldiffusion(RESULT[:, :6], TRUTH[:, :6], input_order='CHW')
    with pytest.raises(InputError, match='the same shape'):
        calculate_psnr_lldiffusion(RESULT[:, :6], TRUTH, input_order='CHW')
    with pytest.raises(InputError, match=r"^input_order 'hcw' of a metric must be HWC or CHW\.$"):
        calculate_psnr_lldiffusion(RESULT, TRUTH, input_order='hcw')
    with pytest.raises(InputError, match='colour'):
        calculate_psnr_lldiffusion(RESULT[0], TRUTH[0])
