"""Metrics and degradations under current OpenCV and SciPy."""

import sys

import cv2
import numpy as np
import pytest
import scipy.linalg
from basicsr.data.degradations import add_jpg_compression, random_add_jpg_compression
from basicsr.metrics import calculate_metric, fid
from basicsr.train import train_pipeline

from entropy_sde_plugin.compat import metrics
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from tests.support.commands import stock_options, write_options, write_pairs


def test_jpeg_of_any_quality():
    image = photograph('coffee')[:64, :64].astype(np.float32) / 255
    for quality in (30, 30.7):
        _, encoded = cv2.imencode('.jpg', image * 255, [cv2.IMWRITE_JPEG_QUALITY, 30])
        assert np.array_equal(add_jpg_compression(image, quality), np.float32(cv2.imdecode(encoded, 1)) / 255)
    np.random.seed(0)
    assert random_add_jpg_compression(image, (10, 20)).shape == image.shape


def test_fid_without_disp(monkeypatch):
    """Between Gaussians with commuting covariances it is |mu|² + sum of (root of one variance - root of the other)²."""
    sqrtm = scipy.linalg.sqrtm
    monkeypatch.setattr(fid, 'linalg', scipy.linalg)
    monkeypatch.setattr(scipy.linalg, 'sqrtm', lambda A: sqrtm(A))  # as of SciPy 1.18
    metrics.patch_fid()
    first, second = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    distance = fid.calculate_fid(np.zeros(3), first, np.ones(3), second)
    assert distance == pytest.approx(3 + 1 + 0 + 4)


def test_fid_with_disp_is_left_alone(monkeypatch):
    monkeypatch.setattr(fid, 'linalg', scipy.linalg)
    monkeypatch.setattr(scipy.linalg, 'sqrtm', lambda A, disp=True: None)
    metrics.patch_fid()
    assert fid.linalg is scipy.linalg


def test_niqe_says_what_it_needs():
    """It fits a covariance over blocks of 96 x 96 pixels: two at least."""
    image = photograph('coffee')
    opt = {'type': 'calculate_niqe', 'crop_border': 4}
    assert 0 < calculate_metric({'img': image[:104, :200]}, opt) < 100
    chw = np.ascontiguousarray(image[:104, :200].transpose(2, 0, 1))
    assert 0 < calculate_metric({'img': chw}, opt | {'input_order': 'CHW'}) < 100
    for height, width in ((103, 300), (199, 199)):
        with pytest.raises(InputError, match=f'NIQE needs two blocks .* {width}x{height} '):
            calculate_metric({'img': image[:height, :width]}, opt)
    with pytest.raises(InputError, match='the image is flat'):
        calculate_metric({'img': np.zeros((200, 200, 3), np.uint8)}, opt)


@pytest.mark.parametrize('dataset', ['PairedImageDataset', 'PairedLowLightDataset'])
def test_basicsrs_own_model_goes_on_with_nan(one_run, monkeypatch, tmp_path, log, dataset):
    """SSIM on what its window does not fit into, and PSNR of an image that the border cuts away."""
    opt = stock_options('small', write_pairs(tmp_path, ['coffee', 'chelsea'], size=16))
    for section in opt['datasets'].values():
        section['type'] = dataset
    opt['datasets']['train']['gt_size'] = 8
    metrics = {'ssim': ('calculate_ssim', 3), 'psnr': ('calculate_psnr', 8)}
    opt['val'] |= {
        'save_img': False,
        'metrics': {key: {'type': name, 'crop_border': border} for key, (name, border) in metrics.items()},
    }
    opt['logger']['use_tb_logger'] = False
    monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', str(write_options(tmp_path, opt))])
    train_pipeline('.')
    assert log.text.count('# ssim: nan') == log.text.count('# psnr: nan') == 3
    assert (tmp_path / 'experiments/small/models/net_g_latest.pth').is_file()
