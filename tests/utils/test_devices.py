"""Devices by their names. The accelerators are mocks: this checks the wiring, not that anything runs on them."""

from __future__ import annotations

import pytest
import torch

from entropy_sde_plugin.cli import main
from entropy_sde_plugin.compat.launch import fall_back_to_cpu
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.evaluation import evaluate
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions
from entropy_sde_plugin.metrics.backbones import evaluation_device
from entropy_sde_plugin.utils.devices import choose_device
from tests.support.machines import machine
from tests.support.pictures import write_png


@pytest.mark.parametrize('kind', ['cuda', 'mps', 'xpu'])
def test_auto_is_the_accelerator_of_the_machine(monkeypatch, kind):
    machine(monkeypatch, kind, 2)
    assert choose_device('auto') == choose_device(kind) == torch.device(kind)
    assert choose_device(f'{kind}:1') == torch.device(kind, 1)
    assert choose_device('cpu') == torch.device('cpu')
    with pytest.raises(InputError, match=rf"this machine has no '{kind}:2' \(devices of this kind: 2\)"):
        choose_device(f'{kind}:2')


@pytest.mark.parametrize('kind', ['mps', 'xpu'])
def test_an_accelerator_that_was_never_measured_computes_in_float32(monkeypatch, kind):
    machine(monkeypatch, kind)
    options = EnhancerOptions()
    assert (options.device, options.precision) == (torch.device(kind), 'fp32')


def test_another_kind_than_the_machine_has_is_refused(monkeypatch):
    machine(monkeypatch, 'xpu')
    with pytest.raises(InputError, match=r"has no 'mps' \(devices of this kind: 0\)\. Use 'auto' or 'cpu'"):
        choose_device('mps')


def test_without_an_accelerator_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr('torch.accelerator.current_accelerator', lambda check_available=False: None)
    assert choose_device('auto') == torch.device('cpu')


def test_evaluate_computes_on_the_device_that_is_asked_for(monkeypatch, tmp_path):
    """The metric is a mock that says where it would run."""
    machine(monkeypatch, 'xpu', 2)
    for folder in ('made', 'true'):
        write_png(tmp_path / folder / 'a.png', photograph('coffee')[:16, :16])
    used = []

    class Scorer:
        scores_sets = False

        def __init__(self, val):
            pass

        def of_picture(self, made, true):
            used.append(evaluation_device())
            return {'psnr': 1.0}

        def of_set(self, kept):
            return {}

    monkeypatch.setattr(evaluate, 'Scorer', Scorer)
    command = ['evaluate', '--result', str(tmp_path / 'made'), '--truth', str(tmp_path / 'true'), '--metrics', 'psnr']
    assert main([*command, '--device', 'xpu:1']) == main(command) == 0
    assert used == [torch.device('xpu', 1), torch.device('xpu')]
    assert main([*command, '--device', 'mps']) == 1
    assert evaluation_device() == torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def test_the_page_enhances_on_the_device_that_is_asked_for(monkeypatch, capsys):
    pytest.importorskip('gradio', reason="the extra is missing: pip install 'entropy-sde-plugin[page]'")
    assert main(['demo-page', '--device', 'xpu']) == 1
    assert "device: this machine has no 'xpu'" in capsys.readouterr().err


def test_training_says_that_it_serves_cpu_and_cuda(monkeypatch, capsys):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    machine(monkeypatch, 'mps')
    opt = {'num_gpu': 1, 'datasets': {}}
    fall_back_to_cpu(opt)
    assert opt['num_gpu'] == 0
    assert capsys.readouterr().err == (
        'warning: num_gpu: 1, but there is no CUDA device here, and training serves no mps device: running on the CPU '
        '(num_gpu: 0).\n'
    )
