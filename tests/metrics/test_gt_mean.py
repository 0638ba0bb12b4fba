"""PSNR and SSIM, BasicSR's and after GT-mean rescaling, against scikit-image."""

import numpy as np
import pytest
from basicsr.metrics import calculate_metric
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError, MetricUnavailableError

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope='module')
def pair():
    """A dark photograph and the bright one, RGB, uint8."""
    bright = photograph('coffee')[100:220, 200:340]
    return darken(bright, exposure=0.3, rng=np.random.default_rng(0)), bright


def measured(name, result, truth, **options):
    pictures = {'img': result[..., ::-1].copy(), 'img2': truth[..., ::-1].copy()}
    return calculate_metric(pictures, {'type': name, **options})


def ssim(result, truth):
    return structural_similarity(
        truth, result, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


def rescaled(result, truth):
    return np.clip(result * ((truth @ LUMA).mean() / (result @ LUMA).mean()), 0, 255)


def test_basicsrs_own_are_the_papers_convention(pair):
    """uint8 RGB, Gaussian window of 11, mean over the channels: no other PSNR and SSIM are needed beside them."""
    dark, bright = pair
    psnr = peak_signal_noise_ratio(bright, dark, data_range=255)
    assert measured('calculate_psnr', dark, bright, crop_border=0) == pytest.approx(psnr, rel=1e-9)
    expected = ssim(dark.astype(float), bright.astype(float))
    assert measured('calculate_ssim', dark, bright, crop_border=0) == pytest.approx(expected, rel=1e-6)


def test_gt_mean_variants(pair):
    dark, bright = pair
    result = rescaled(dark, bright)
    psnr = peak_signal_noise_ratio(bright.astype(float), result, data_range=255)
    assert measured('calculate_psnr_gtmean', dark, bright, better='higher') == pytest.approx(psnr, rel=1e-4)
    assert measured('calculate_ssim_gtmean', dark, bright) == pytest.approx(
        ssim(result, bright.astype(float)), rel=1e-4
    )
    assert psnr > peak_signal_noise_ratio(bright, dark, data_range=255) + 3  # what the name warns of


def test_gt_mean_forgives_brightness_alone():
    """A result that is the truth at a third of its brightness is perfect."""
    truth = (photograph('coffee')[:60, :60] // 3 * 3).astype(np.uint8)
    assert measured('calculate_psnr_gtmean', truth // 3, truth) > 100
    assert measured('calculate_ssim_gtmean', truth // 3, truth) == pytest.approx(1)


def test_gt_mean_of_the_crop(pair):
    dark, bright = pair
    inner = measured('calculate_psnr_gtmean', dark[5:-5, 5:-5], bright[5:-5, 5:-5])
    assert measured('calculate_psnr_gtmean', dark, bright, crop_border=5) == inner


def test_a_black_result_is_measured_as_it_is(pair):
    black, bright = np.zeros_like(pair[1]), pair[1]
    expected = measured('calculate_psnr', black, bright, crop_border=0)
    assert measured('calculate_psnr_gtmean', black, bright) == pytest.approx(expected)


def test_shapes_must_agree(pair):
    with pytest.raises(InputError, match='the same shape'):
        measured('calculate_psnr_gtmean', pair[0][:-1], pair[1])


def test_ssim_is_unavailable_where_its_window_does_not_fit(pair):
    """BasicSR's own mean over no position is nan."""
    dark, bright = (picture[:15, :40] for picture in pair)
    inner = [np.float64(picture[2:-2, 2:-2]) for picture in (dark, bright)]
    # one row of positions, the middle one of 11
    expected = structural_similarity(
        inner[1],
        rescaled(*inner),
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )[1][5:-5, 5:-5].mean()
    name = 'calculate_ssim_gtmean'
    assert measured(name, dark, bright, crop_border=2) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(MetricUnavailableError, match=r'^SSIM needs images of at least 11x11 pixels, not 40x10\.$'):
        measured(name, dark[:10], bright[:10], crop_border=0)
    with pytest.raises(MetricUnavailableError, match=r'^SSIM needs images of at least 11x11 pixels, not 34x9\.$'):
        measured(name, dark, bright, crop_border=3)
    planes = [np.ascontiguousarray(picture[:, :10].transpose(2, 0, 1)) for picture in (dark, bright)]
    chw = {'type': name, 'crop_border': 0, 'input_order': 'CHW'}
    with pytest.raises(MetricUnavailableError, match=r'not 10x15\.$'):
        calculate_metric({'img': planes[0], 'img2': planes[1]}, chw)
