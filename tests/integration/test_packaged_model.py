"""The models in the package: what their option files and cards say of them, and that they beat simpler methods."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import yaml
from basicsr.metrics import calculate_psnr
from basicsr.utils.registry import ARCH_REGISTRY
from skimage.restoration import denoise_nl_means

from entropy_sde_plugin.checkpoints.model import load_model
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.data.datasets import SyntheticRawDataset
from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata
from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.evaluation.baselines import BASELINES
from entropy_sde_plugin.inference.raw_enhancer import RawEnhancer
from entropy_sde_plugin.metrics.raw import calculate_psnr_raw
from entropy_sde_plugin.options.diffusion import IRSDEOptions
from entropy_sde_plugin.options.exposure import ExposureOptions
from entropy_sde_plugin.utils.resources import PACKAGED_MODELS, options_folder, packaged_model
from tests.support.pictures import write_png


@pytest.mark.parametrize(
    ('name', 'option_file', 'system', 'most_bytes'),
    [
        ('lowlight', 'distil_lowlight_small.yml', IRSDEOptions, 12e6),
        ('exposure', 'train_exposure_small.yml', ExposureOptions, 4e6),
    ],
)
def test_it_is_what_its_option_file_trains(name, option_file, system, most_bytes):
    opt = yaml.safe_load((options_folder() / option_file).read_text())
    model = load_model(packaged_model(name))
    assert packaged_model(name).stat().st_size < most_bytes
    arguments = dict(opt['network_g'])
    trained = ARCH_REGISTRY.get(arguments.pop('type'))(**arguments).state_dict()
    state = model.network.state_dict()
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in trained.items()}
    assert model.options.settings() == system.from_options(opt).settings()


@pytest.mark.parametrize('name', PACKAGED_MODELS)
def test_its_card_counts_its_parameters(name):
    card = packaged_model(name).with_name('MODEL_CARD.md').read_text(encoding='utf-8').split(f'# {name}_small')[1]
    stated = re.search(r'([\d,]+) parameters', card)
    assert stated is not None
    counted = sum(value.numel() for value in load_model(packaged_model(name)).network.parameters())
    assert int(stated[1].replace(',', '')) == counted


def test_its_card_begins_with_what_model_hubs_read():
    """Keys of https://github.com/huggingface/hub-docs/blob/main/modelcard.md."""
    _, front_matter, card = packaged_model().with_name('MODEL_CARD.md').read_text(encoding='utf-8').split('---\n', 2)
    entries = yaml.safe_load(front_matter)
    assert entries.pop('tags')
    assert entries == {'license': 'mit', 'library_name': 'entropy-sde-plugin', 'pipeline_tag': 'image-to-image'}
    assert card.lstrip().startswith('# lowlight_small')


@pytest.mark.parametrize('exposure', [0.05, 0.1])
def test_enhance_takes_it_by_itself_and_beats_every_baseline(tmp_path, monkeypatch, exposure):
    monkeypatch.chdir(tmp_path)
    truth = photograph('coffee')[80:336, 150:406]
    dark = darken(truth, exposure=exposure, rng=np.random.default_rng(0))
    write_png(tmp_path / 'dark.png', dark)
    assert main(['enhance', '-i', 'dark.png', '-o', 'out']) == 0
    ours = calculate_psnr(cv2.imread('out/dark.png')[..., ::-1], truth, crop_border=0)
    others = [calculate_psnr(method(dark), truth, crop_border=0) for method in BASELINES.values()]
    assert ours > max(others) + 3


@pytest.mark.parametrize('ratio', [100, 250])
def test_the_raw_model_beats_non_local_means_that_know_the_noise_level(tmp_path, ratio):
    write_png(tmp_path / 'coffee.png', photograph('coffee')[80:336, 150:406])
    sample = SyntheticRawDataset(
        {
            'name': 'held_out',
            'phase': 'val',
            'dataroot_gt': str(tmp_path),
            'noise': 'P+G+r+u',
            'gain': 'per_camera',
            'ratio': [ratio, ratio],
            'keep_negative': True,
        }
    )[0]
    bright, truth = sample['lq'].numpy(), sample['gt'].numpy()
    metadata = RawMetadata(1600, 0.1, np.ones(4, np.float32), np.eye(3, dtype=np.float32))
    frame = RawFrame(bright / ratio, (800,) * 4, 16383, metadata)
    ours = RawEnhancer.from_file(packaged_model('exposure'), device='cpu').enhance(
        frame, ratio=ratio, gain=float(sample['gain'])
    )

    levels = (bright - truth).std((1, 2), keepdims=True)
    means = denoise_nl_means(bright / levels, patch_size=5, patch_distance=9, h=0.6, sigma=1, channel_axis=0) * levels
    psnr = [calculate_psnr_raw(planes, truth, input_order='CHW') for planes in (ours, means)]
    assert psnr[0] > psnr[1] + 1.5, psnr
