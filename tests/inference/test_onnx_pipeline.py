"""Pipelines in onnxruntime against the enhancer in PyTorch, with the same noise."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from entropy_sde_plugin.checkpoints.model import Model, save_model
from entropy_sde_plugin.checkpoints.onnx import exported_network
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.inference import onnx_pipeline
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions
from entropy_sde_plugin.inference.onnx_pipeline import export_pipeline
from entropy_sde_plugin.options.diffusion import DDPMOptions, IRSDEOptions, LLDiffusionOptions, SDEOptions
from tests.support.commands import ROOT
from tests.support.lldiffusion import small_network
from tests.support.networks import random_network
from tests.support.pictures import write_png

INSTALL = "the extra is missing: pip install 'entropy-sde-plugin[onnx]'"
SIZES = ((1, 19, 22), (2, 24, 13), (1, 1, 1))  # the network takes multiples of 2


@pytest.fixture(scope='module')
def network():
    """A network of random weights, and its export."""
    for module in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(module, reason=INSTALL)
    import onnx_ir

    network = random_network(width=4, enc_blk_nums=[1], middle_blk_num=0, dec_blk_nums=[0])
    return network, onnx_ir.to_proto(exported_network(Model(network, IRSDEOptions())))


@pytest.fixture
def model(network, monkeypatch):
    """The same network as a model of any system, exported once for all tests."""
    import onnx_ir

    monkeypatch.setattr(onnx_pipeline, 'exported_network', lambda model: onnx_ir.from_proto(network[1]))
    return lambda options: Model(network[0], options)


def noise(draws, batch, height, width, seed=5):
    """The draws of an enhancer with that seed, which are the same for all images of a batch."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.stack([torch.randn(3, height, width, generator=generator) for _ in range(draws)])
    return drawn[:, None].repeat(1, batch, 1, 1, 1).numpy()


def check(model, path, sampler, steps, draws, samples, tolerance):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    options = {'sampler': sampler, 'steps': steps, 'brightness': 'model'}
    enhancer = Enhancer(model, EnhancerOptions(device='cpu', precision='fp32', **options))
    for batch, height, width in SIZES:
        images = np.random.default_rng(1).integers(0, 60, (batch, height, width, 3)).astype(np.uint8)
        if samples == 'float32':
            images = (images / 255).astype(np.float32)
        (found,) = session.run(['result'], {'image': images, 'noise': noise(draws, batch, height, width)})
        expected = np.stack([enhancer.enhance(image, seed=5) for image in images])
        assert (found.dtype, found.shape) == (images.dtype, images.shape)
        assert np.abs(found.astype(float) - expected).max() <= tolerance
        assert height == 1 or expected.std() > 0.02 * (255 if samples == 'uint8' else 1)
    return session


IRSDE = IRSDEOptions(sde=SDEOptions(max_sigma=30, T=50), prediction='x0')
DDPM = {'ddpm': DDPMOptions(T=200)}


@pytest.mark.parametrize(
    ('options', 'sampler', 'draws'),
    [
        (IRSDE, 'posterior', 4),
        (IRSDE, 'euler_maruyama', 4),
        (IRSDE, 'dpmpp_2m', 1),
        (LLDiffusionOptions(**DDPM), 'ddim', 1),
        (LLDiffusionOptions(**DDPM, prediction='v'), 'dpmpp_2m_sde', 4),
        (LLDiffusionOptions(**DDPM, prediction='x0'), 'euler_ode', 1),
    ],
)
def test_the_result_is_the_enhancers(model, tmp_path, options, sampler, draws):
    path = tmp_path / 'pipeline.onnx'
    assert export_pipeline(model(options), path, sampler=sampler, steps=4, samples='float32') == draws
    check(model(options), path, sampler, 4, draws, 'float32', 1e-4)


@pytest.fixture
def weights(model, tmp_path):
    save_model(model(IRSDE), tmp_path / 'weights.safetensors')
    return str(tmp_path / 'weights.safetensors')


def test_images_of_8_bits_by_the_command(model, weights, tmp_path, capsys):
    import onnx

    path = tmp_path / 'pipeline.onnx'
    assert main(['export', '--pipeline', '--model', weights, '-o', str(path), '--steps', '3']) == 0
    assert 'noise has the shape (3, batch, 3, height, width)' in capsys.readouterr().out
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = check(model(IRSDE), path, 'posterior', 3, 3, 'uint8', 1)
    image = ['batch', 'height', 'width', 3]
    assert {node.name: node.shape for node in session.get_inputs() + session.get_outputs()} == {
        'image': image, 'noise': [3, 'batch', 3, 'height', 'width'], 'result': image,
    }  # fmt: skip
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said['entropy_sde']) == IRSDE.settings()
    assert json.loads(said['entropy_sde_sampler']) == {'type': 'posterior', 'steps': 3}


def test_the_example_of_the_docs_runs(model, tmp_path, monkeypatch):
    page = (ROOT / 'docs/weights.md').read_text(encoding='utf-8')
    (example,) = (block for block in re.findall(r'```python\n(.*?)```', page, re.DOTALL) if 'pipeline.onnx' in block)
    monkeypatch.chdir(tmp_path)
    export_pipeline(model(IRSDE), 'pipeline.onnx', steps=1)
    write_png(tmp_path / 'dark.jpg', np.full((18, 27, 3), 20, np.uint8))
    exec(example, {})
    assert Image.open('bright.png').size == (27, 18)


def test_the_weights_are_in_the_file_once(model, network, tmp_path):
    import onnx

    stored = []
    for steps in (1, 5):
        export_pipeline(model(IRSDE), tmp_path / 'pipeline.onnx', steps=steps)
        graph = onnx.load(tmp_path / 'pipeline.onnx').graph
        stored.append(sum(len(initializer.raw_data) for initializer in graph.initializer))
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network[0].parameters())
    assert weights <= stored[0] <= stored[1] < 1.5 * weights


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--steps', '3'], '--steps is for a pipeline only: add --pipeline'),
        (['--pipeline', '--steps', '51'], '1…50'),
        (['--pipeline', '--sampler', 'dim'], "Did you mean 'ddim'"),
    ],
)
def test_wrong_options_are_refused(weights, tmp_path, capsys, more, message):
    assert main(['export', '--model', weights, '-o', str(tmp_path / 'network.onnx'), *more]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'network.onnx').exists()


@pytest.mark.large
def test_lldiffusion_s_own_network(tmp_path):
    """The export takes minutes."""
    pytest.importorskip('onnxruntime', reason=INSTALL)
    model = Model(small_network(), LLDiffusionOptions())
    assert export_pipeline(model, tmp_path / 'pipeline.onnx', sampler='ddim', steps=3) == 1
    check(model, tmp_path / 'pipeline.onnx', 'ddim', 3, 1, 'uint8', 1)
