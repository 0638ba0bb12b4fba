"""FID against closed forms and BasicSR's formula; Inception's weights are random here, for no package carries them."""

import logging

import numpy as np
import pytest
import torch
from basicsr.archs import inception
from basicsr.metrics import calculate_metric
from basicsr.metrics.fid import calculate_fid as basicsr_distance
from basicsr.utils.registry import METRIC_REGISTRY
from torch import nn

from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError, MetricUnavailableError
from entropy_sde_plugin.metrics import backbones, fid


@pytest.fixture(scope='module')
def crops():
    """Twelve pieces of photographs, BGR, uint8, (80, 100, 3)."""
    images = [photograph(name)[..., ::-1] for name in ('coffee', 'astronaut', 'china')]
    return [image[top : top + 80, 100:200] for image in images for top in (0, 80, 160, 240)]


@pytest.fixture
def mean_colour(monkeypatch):
    """In place of Inception: the mean of each channel, RGB in 0…1."""
    network = nn.AdaptiveAvgPool2d(1)
    monkeypatch.setattr(fid, '_inception', lambda device: lambda x: [network(x)])


def test_distance_is_basicsrs():
    """In full rank, where a matrix root is well-conditioned."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(50, 8)) @ rng.normal(size=(8, 8)), rng.normal(size=(70, 8)) + 1
    moments = [moment for rows in (first, second) for moment in (rows.mean(0), np.cov(rows, rowvar=False))]
    assert fid.frechet_distance(first, second) == pytest.approx(basicsr_distance(*moments), rel=1e-9)


def test_distance_in_deficient_rank():
    """Sets that differ by a shift are at its squared length; scaled about their mean by s, at (s - 1)² Tr C."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 300))
    centred = rows - rows.mean(0)
    trace = np.sum(centred**2) / 4
    assert fid.frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)
    assert fid.frechet_distance(rows, rows + 0.5) == pytest.approx(300 * 0.25)
    assert fid.frechet_distance(rows, rows.mean(0) + 3 * centred) == pytest.approx(4 * trace)


def test_set_metric_gathers_and_computes(crops, mean_colour):
    metric = METRIC_REGISTRY.get('calculate_fid').set_metric(crop_border=2)
    for crop in crops:
        metric.update(crop, 255 - crop)
    colours = np.array([crop[2:-2, 2:-2, ::-1].mean((0, 1)) / 255 for crop in crops])
    moments = [moment for rows in (colours, 1 - colours) for moment in (rows.mean(0), np.cov(rows, rowvar=False))]
    assert metric.compute() == pytest.approx(basicsr_distance(*moments), rel=1e-4)


def test_few_pictures_are_called_indicative(crops, mean_colour, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('basicsr'), 'propagate', True)
    metric = fid.FrechetInceptionDistance()
    for crop in crops:
        metric.update(crop, crop)
    metric.compute()
    metric._features = (metric._features * 171)[:2048]
    metric.compute()
    (record, *again) = caplog.records
    assert all(other is record for other in again)  # one record, however many handlers it reached
    assert record.message == 'FID over 12 images is only indicative: it needs 2048.'


def test_one_picture_is_no_set(crops, mean_colour):
    metric = fid.FrechetInceptionDistance()
    metric.update(crops[0], crops[0])
    with pytest.raises(MetricUnavailableError, match='at least two images, not 1'):
        metric.compute()


def test_offline_names_the_file_and_its_place(crops, cache):
    with pytest.raises(MetricUnavailableError) as error:
        fid.FrechetInceptionDistance().update(crops[0], crops[0])
    assert f'place it as {cache / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"}' in str(error.value)
    assert '\n' not in str(error.value)


def test_features_are_those_of_inception(crops, cache, monkeypatch):
    """The library's file in torch's cache is what computes: bilinear to 299 pixels, [-1, 1], pool features."""
    torch.manual_seed(0)
    with monkeypatch.context() as without_weights:
        without_weights.setattr(inception, 'load_url', lambda *_, **__: None)
        without_weights.setattr(inception.models.Inception3, 'load_state_dict', lambda self, weights: None)
        network = inception.fid_inception_v3()
    file = backbones.cached_file(inception.FID_WEIGHTS_URL)
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)

    metric = fid.FrechetInceptionDistance()
    metric.update(crops[0], crops[1])
    pixels = torch.from_numpy(crops[1][..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    large = nn.functional.interpolate(pixels, size=(299, 299), mode='bilinear', align_corners=False)
    network.eval()
    network.fc = nn.Identity()
    network.dropout = nn.Identity()
    with torch.no_grad():
        expected = network(2 * large - 1)[0].numpy()
    assert np.allclose(metric._features[0][1], expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    assert np.ptp(expected) > 0


def test_a_loop_that_asks_for_single_pictures_is_reported(crops):
    with pytest.raises(InputError, match='compares sets'):
        calculate_metric({'img': crops[0], 'img2': crops[0]}, {'type': 'calculate_fid', 'better': 'lower'})
