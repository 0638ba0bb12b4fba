"""LPIPS as a loss: the metric's value, with a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.losses.perceptual import LPIPSLoss
from entropy_sde_plugin.metrics.perceptual import calculate_lpips
from entropy_sde_plugin.options.check import check
from tests.support.irsde import options


def test_it_is_the_metric(real_weights, cache):
    bright = np.stack([photograph('coffee')[i : i + 64, 100:180] for i in (0, 100)])
    truth = torch.from_numpy(bright).permute(0, 3, 1, 2).float() / 255
    dark = (truth * 255 / 2).round() / 255
    metric = [
        calculate_lpips(*((255 * image).round().byte().permute(1, 2, 0).numpy()[..., ::-1] for image in pair))
        for pair in zip(dark, truth, strict=True)
    ]
    loss = LPIPSLoss(loss_weight=0.5)
    assert loss(dark, truth).item() == pytest.approx(0.5 * np.mean(metric), rel=1e-4)
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_its_gradient_is_the_slope(real_weights, cache):
    truth = torch.from_numpy(photograph('coffee')[:48, :48].copy()).permute(2, 0, 1)[None].float() / 255
    loss, towards = LPIPSLoss().double(), torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)).double()
    image = (truth.double() / 2).requires_grad_()
    loss(image, truth.double()).backward()
    assert image.grad is not None
    step = 1e-5
    with torch.no_grad():
        there, back = (loss(image + side * step * towards, truth.double()) for side in (1, -1))
    assert (image.grad * towards).sum().item() == pytest.approx(((there - back) / (2 * step)).item(), rel=1e-3)


def test_small_images_are_refused(real_weights, cache):
    with pytest.raises(InputError, match=r'LPIPS \(alex\) needs images of at least 31x31 pixels, not 40x30'):
        LPIPSLoss()(*torch.rand(2, 1, 3, 30, 40))


def test_missing_weights_end_a_run_before_it_begins(cache):
    with pytest.raises(InputError, match=r"Section 'train\.perceptual_opt': alexnet.* cannot be downloaded") as caught:
        check(options(train__perceptual_opt={'type': 'LPIPSLoss'}))
    assert '\n' not in str(caught.value)
