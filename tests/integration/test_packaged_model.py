"""The model in the package: what its option file and card say of it, and that it works without being named."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import yaml
from basicsr.metrics import calculate_psnr
from basicsr.utils.registry import ARCH_REGISTRY

from entropy_sde_plugin.checkpoints.model import load_model
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.evaluation.baselines import BASELINES
from entropy_sde_plugin.options.diffusion import IRSDEOptions
from entropy_sde_plugin.utils.resources import options_folder, packaged_model
from tests.support.pictures import write_png


def test_it_is_what_its_option_file_trains():
    opt = yaml.safe_load((options_folder() / 'train_lowlight_small.yml').read_text())
    model = load_model(packaged_model())
    arguments = dict(opt['network_g'])
    trained = ARCH_REGISTRY.get(arguments.pop('type'))(**arguments).state_dict()
    state = model.network.state_dict()
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in trained.items()}
    assert model.options.settings() == IRSDEOptions.from_options(opt).settings()


def test_its_card_counts_its_parameters_and_its_file_is_small():
    card = packaged_model().with_name('MODEL_CARD.md').read_text(encoding='utf-8')
    stated = re.search(r'([\d,]+) parameters', card)
    assert stated is not None
    counted = sum(value.numel() for value in load_model(packaged_model()).network.parameters())
    assert int(stated[1].replace(',', '')) == counted
    assert packaged_model().stat().st_size < 12e6


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
