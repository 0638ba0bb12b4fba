"""The exported network in onnxruntime against PyTorch, at sizes it was not exported at."""

import builtins
import json

import pytest
import torch

from entropy_sde_plugin.checkpoints import onnx
from entropy_sde_plugin.checkpoints.model import Model, save_model
from entropy_sde_plugin.checkpoints.onnx import export_onnx
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import ConditionalNAFNet, ExposureNAFNet
from entropy_sde_plugin.options.diffusion import IRSDEOptions, LLDiffusionOptions, SDEOptions
from entropy_sde_plugin.options.exposure import ExposureOptions
from tests.support.lldiffusion import small_network

INSTALL = "the extra is missing: pip install 'entropy-sde-plugin[onnx]'"
OPTIONS = IRSDEOptions(sde=SDEOptions(max_sigma=30, T=50), prediction='x0')


def a_model():
    torch.manual_seed(0)
    sizes = {'enc_blk_nums': [1, 0], 'middle_blk_num': 1, 'dec_blk_nums': [0, 1]}
    network = ConditionalNAFNet(width=8, **sizes, brightness=True)
    for name, parameter in network.named_parameters():
        if name.endswith(('beta', 'gamma', 'brightness.out.weight')):  # 0 at first: without effect
            torch.nn.init.normal_(parameter)
    return Model(network.eval(), OPTIONS)


@pytest.fixture(scope='module')
def model():
    return a_model()


@pytest.fixture(scope='module')
def exported(model, tmp_path_factory):
    for module in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(module, reason=INSTALL)
    weights = tmp_path_factory.mktemp('weights') / 'model.safetensors'
    save_model(model, weights)
    path = tmp_path_factory.mktemp('onnx') / 'network.onnx'
    assert main(['export', '--model', str(weights), '-o', str(path)]) == 0
    return path


@pytest.fixture(scope='module')
def session(exported):
    import onnxruntime

    return onnxruntime.InferenceSession(exported, providers=['CPUExecutionProvider'])


@pytest.mark.parametrize('size', [(2, 19, 21), (1, 48, 64), (3, 33, 47), (1, 1, 1), (1, 2, 101)])
def test_onnxruntime_gives_pytorchs_prediction_at_any_size(model, session, size):
    batch, height, width = size
    x, cond = torch.rand(2, batch, 3, height, width, generator=torch.Generator().manual_seed(1))
    time = torch.linspace(1, 100, batch)
    with torch.no_grad():
        expected = model.network(x, cond, time)
    (found,) = session.run(['prediction'], {'x': x.numpy(), 'cond': cond.numpy(), 'time': time.numpy()})
    assert expected.std() > 0.01
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4)


def test_the_file_says_its_settings_and_its_free_sizes(session):
    assert json.loads(session.get_modelmeta().custom_metadata_map['entropy_sde']) == OPTIONS.settings()
    image = ['batch', 3, 'height', 'width']
    assert {node.name: node.shape for node in session.get_inputs()} == {'x': image, 'cond': image, 'time': ['batch']}
    assert {node.name: node.shape for node in session.get_outputs()} == {'prediction': image}


def test_the_file_is_sound_and_tells_nothing_of_this_machine(exported):
    import onnx

    onnx.checker.check_model(onnx.load(exported), full_check=True)
    assert b'.py' not in exported.read_bytes()
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]


def test_a_missing_extra_is_reported_in_one_line(model, tmp_path, monkeypatch):
    real = builtins.__import__

    def without_onnx(name, *arguments, **keywords):
        if name == 'onnxscript':
            raise ModuleNotFoundError(f"No module named '{name}'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, '__import__', without_onnx)
    with pytest.raises(InputError, match=r"'onnxscript'.*pip install 'entropy-sde-plugin\[onnx\]'"):
        export_onnx(model, tmp_path / 'network.onnx')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('name', 'expected'),
    [('network.pt', r'must end in \.onnx'), ('absent/network.onnx', 'no folder'), ('folder.onnx', 'is a folder')],
)
def test_an_output_that_cannot_be_is_refused_at_once(model, tmp_path, name, expected):
    (tmp_path / 'folder.onnx').mkdir()
    with pytest.raises(InputError, match=expected):
        export_onnx(model, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ['folder.onnx']


def test_a_failure_leaves_the_file_that_was_there(model, tmp_path, monkeypatch):
    pytest.importorskip('onnxscript', reason=INSTALL)
    path = tmp_path / 'network.onnx'
    path.write_bytes(b'old')
    monkeypatch.setattr(onnx, 'exported_network', lambda model: 'no graph')
    with pytest.raises(NotImplementedError):
        export_onnx(model, path)
    assert path.read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir()] == ['network.onnx']


def test_weights_beyond_one_file_are_refused(tmp_path):
    pytest.importorskip('onnxscript', reason=INSTALL)
    with torch.device('meta'):
        network = ConditionalNAFNet(width=64, enc_blk_nums=[0] * 5, middle_blk_num=24, dec_blk_nums=[0] * 5)
    with pytest.raises(InputError, match='2 GiB'):
        export_onnx(Model(network, OPTIONS), tmp_path / 'network.onnx')


def test_a_network_of_raw_images_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="which restores raw images: choose another model, or take it for 'entropy-sde enhance'"
    ):
        export_onnx(Model(ExposureNAFNet(), ExposureOptions()), tmp_path / 'network.onnx')


@pytest.mark.large
def test_lldiffusion_s_denoiser_at_any_size(tmp_path):
    """Its padding is part of the file. The export takes minutes."""
    onnxruntime = pytest.importorskip('onnxruntime', reason=INSTALL)
    model = Model(small_network(), LLDiffusionOptions())
    export_onnx(model, tmp_path / 'network.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'network.onnx', providers=['CPUExecutionProvider'])
    for batch, height, width in [(2, 19, 21), (1, 48, 64), (3, 33, 47), (1, 1, 1), (1, 2, 101), (1, 96, 64)]:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(batch, 3, height, width, generator=generator)
        cond = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
        time = torch.linspace(0, 999, batch)
        with torch.no_grad():
            expected = model.network(x, cond, time)
        (found,) = session.run(['prediction'], {'x': x.numpy(), 'cond': cond.numpy(), 'time': time.numpy()})
        assert expected.std() > 0.01
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4)
