"""The enhancer of raw images against the sampler on the plain network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from entropy_sde_plugin.checkpoints.model import Model, save_model
from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata
from entropy_sde_plugin.data.raw_packing import RGGB, pack_bayer, unpack_bayer
from entropy_sde_plugin.diffusion import ExposureProcess
from entropy_sde_plugin.diffusion.exposure_sampler import ExposureDenoiser, restore
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import RawEnhancerOptions
from entropy_sde_plugin.inference.raw_enhancer import RawEnhancer
from entropy_sde_plugin.options.diffusion import IRSDEOptions
from entropy_sde_plugin.options.exposure import ExposureOptions, ExposureSamplerOptions, LadderOptions
from tests.support.exposure import random_exposure_network
from tests.support.networks import random_network

METADATA = RawMetadata(800, 0.1, np.array([2, 1, 1.5, 1], np.float32), np.eye(3, dtype=np.float32))
PLANES = np.random.default_rng(0).normal(0.005, 0.004, (4, 21, 34)).astype(np.float32)
FRAME = RawFrame(PLANES, (512.0, 512.0, 510.0, 514.0), 16383.0, METADATA)


def assert_same(planes, expected):
    """Equal but for single photons, which rounding may decide."""
    assert np.abs(planes - expected).mean() < 1e-4


def model(keep_negative=False, **network):
    return Model(random_exposure_network(**network), ExposureOptions(LadderOptions(keep_negative=keep_negative)))


def enhancer(network_model, **options):
    return RawEnhancer(network_model, RawEnhancerOptions(device='cpu', precision='fp32', **options))


@pytest.mark.parametrize('keep_negative', [False, True])
@pytest.mark.parametrize('network', [{}, {'concat_origin': True}])
def test_it_is_the_sampler_on_the_plain_network(keep_negative, network):
    given = model(keep_negative, **network)
    short = (PLANES * np.float32(50)).clip(None if keep_negative else 0, 1)
    process = ExposureProcess(50, 2.0, 16383 - 512)
    denoiser = ExposureDenoiser(given.network, process, concat_origin=bool(network))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        expected = restore(denoiser, torch.from_numpy(short)[None], process.time_grid(3), generator=generator)[0]
    made = enhancer(given)
    assert made.keep_negative == keep_negative
    planes = made.enhance(FRAME, ratio=50, gain=2.0, seed=7)
    assert planes.std() > 0.05
    assert_same(planes, expected.numpy())


def test_planes_of_another_pattern_are_restored_as_those_of_rggb():
    """The mosaic of blue first, mirrored by a line at each side, begins with red."""
    bggr = ((2, 3), (1, 0))
    mosaic = np.random.default_rng(1).integers(512, 800, (30, 44)).astype(np.uint16)
    black, white = (512,) * 4, 16383
    planes = pack_bayer(mosaic, np.array(bggr), black, white)
    mirrored = pack_bayer(np.pad(mosaic, 1, 'reflect'), np.array(RGGB), black, white)
    made, expected = (
        enhancer(model()).enhance(replace(FRAME, planes=each, pattern=pattern), ratio=50, gain=1.0)
        for each, pattern in ((planes, bggr), (mirrored, RGGB))
    )
    whole = unpack_bayer(expected, np.array(RGGB), black, white)
    np.testing.assert_array_equal(unpack_bayer(made, np.array(bggr), black, white), whole[1:-1, 1:-1])


def test_the_seed_decides_and_the_tile_does_not():
    given = model()
    planes, again = (enhancer(given, tile=tile).enhance(FRAME, ratio=100, gain=2.0) for tile in (0, 16))
    assert_same(again, planes)
    other = enhancer(given).enhance(FRAME, ratio=100, gain=2.0, seed=1)
    assert np.abs(other - planes).mean() > 1e-3


def test_steps_are_those_of_training_unless_given():
    assert enhancer(model()).steps == 3
    assert enhancer(model(), steps=1).steps == 1
    assert str(enhancer(model(), steps=1)).startswith('1 network call, fp32 on cpu')


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ({'ratio': 1.0, 'gain': 1.0}, 'An exposure ratio must be above 1'),
        ({'ratio': 100, 'gain': 0.0}, 'A gain must be from 0.001'),
        ({'ratio': 100, 'gain': 1.0, 'seed': -1}, 'seed must be an integer'),
    ],
)
def test_wrong_numbers_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        enhancer(model()).enhance(FRAME, **arguments)


def test_each_enhancer_refuses_the_other_s_models():
    with pytest.raises(InputError, match="system 'irsde', which restores RGB images"):
        RawEnhancer(Model(random_network(), IRSDEOptions()))
    with pytest.raises(InputError, match='ExposureNAFNet restores raw images, not RGB ones'):
        Enhancer(model())


@pytest.mark.parametrize(('in_file', 'given', 'expected'), [(None, None, 2), (1, None, 1), (1, 3, 3)])
def test_the_file_names_the_calls_unless_they_are_given(tmp_path, in_file, given, expected):
    options = ExposureOptions(LadderOptions(calls=2), ExposureSamplerOptions(steps=in_file))
    save_model(Model(random_exposure_network(), options), tmp_path / 'raw.safetensors')
    assert RawEnhancer.from_file(tmp_path / 'raw.safetensors', device='cpu', steps=given).steps == expected
