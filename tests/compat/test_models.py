"""Base models: optimisers, saving, the numbers of validations."""

import random

import cv2
import numpy as np
import pytest
import torch
from basicsr.models.base_model import BaseModel
from basicsr.utils import imwrite
from torch import nn

from entropy_sde_plugin.checkpoints import files
from entropy_sde_plugin.compat import models
from entropy_sde_plugin.errors import InputError
from tests.support.pristine import pristine


@pytest.fixture
def model(tmp_path):
    path = {'models': str(tmp_path), 'training_states': str(tmp_path)}
    opt = {'num_gpu': 0, 'is_train': True, 'dist': False, 'path': path, 'train': {'total_iter': 10}, 'network_g': {}}
    return BaseModel(opt)


def test_optimisers_of_torch(model):
    parameters = [nn.Parameter(torch.ones(2))]
    stock = pristine('models.base_model').BaseModel
    with pytest.raises(NotImplementedError):
        stock.get_optimizer(model, 'AdamW', parameters, 1e-3)
    for name in ('Adam', 'AdamW', 'SGD', 'RMSprop'):
        optimiser = model.get_optimizer(name, parameters, lr=1e-3, weight_decay=0.1)
        assert type(optimiser) is getattr(torch.optim, name)
        assert (optimiser.defaults['lr'], optimiser.defaults['weight_decay']) == (1e-3, 0.1)
    with pytest.raises(InputError, match=r"Optimiser 'AdamWW' does not exist\. Did you mean 'AdamW'\?"):
        model.get_optimizer('AdamWW', parameters, 1e-3)


def test_a_basicsr_that_knows_more_optimisers_is_left_alone(monkeypatch):
    def get_optimizer(self, optim_type, params, lr, **kwargs):
        return torch.optim.AdamW(params, lr)

    monkeypatch.setattr(BaseModel, 'get_optimizer', get_optimizer)
    models.patch_get_optimizer()
    assert BaseModel.get_optimizer is get_optimizer


def test_checkpoints_hold_what_basicsr_writes(model, tmp_path):
    """Read back, they equal those of BasicSR as it comes, but for what a state holds besides."""
    stock = pristine('models.base_model').BaseModel(model.opt | {'path': make_folder(tmp_path / 'stock')})
    for each in (model, stock):
        torch.manual_seed(0)
        net = nn.Linear(3, 2)
        each.optimizers = [torch.optim.Adam(net.parameters(), 0.1)]
        net(torch.ones(1, 3)).sum().backward()
        each.optimizers[0].step()
        each.schedulers = [torch.optim.lr_scheduler.MultiStepLR(each.optimizers[0], [3])]
        each.save_network([nn.DataParallel(net), net], 'net_g', 5, ['params', 'params_ema'])
        each.save_network(net, 'net_g', -1)
        each.save_training_state(2, 5)
        each.save_training_state(-1, -1)
    names = sorted(path.name for path in (tmp_path / 'stock').iterdir())
    assert names == ['5.state', 'net_g_5.pth', 'net_g_latest.pth']
    for name in names:
        ours, theirs = (torch.load(folder / name, weights_only=True) for folder in (tmp_path, tmp_path / 'stock'))
        if name == '5.state':
            assert ours.pop('networks').keys() == {'net_g_5.pth'}
        assert_same(ours, theirs)


def make_folder(path):
    path.mkdir()
    return {'models': str(path), 'training_states': str(path)}


def assert_same(first, second):
    assert type(first) is type(second) or isinstance(first, dict)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


def test_a_checkpoint_that_cannot_be_written_ends_the_training(model, tmp_path):
    assert issubclass(files.CheckpointError, InputError)  # one line instead of a traceback
    model.opt['path'] = {'models': str(tmp_path / 'nowhere'), 'training_states': str(tmp_path / 'nowhere')}
    with pytest.raises(files.CheckpointError, match=r'net_g_5\.pth'):
        model.save_network(nn.Linear(1, 1), 'net_g', 5)
    with pytest.raises(files.CheckpointError, match=r'5\.state'):
        model.save_training_state(0, 5)


@pytest.mark.parametrize(
    ('saved', 'reason'),
    [
        (
            nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5)),
            "'1.weight' has the shape [5, 2] in the file and has the shape [4, 2] in the network (2 of 4 differ).",
        ),
        (
            nn.Sequential(nn.Linear(3, 2)),
            "'1.weight' is missing in the file and has the shape [4, 2] in the network (2 of 4 differ).",
        ),
        (
            nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4), nn.PReLU()),
            "'2.weight' has the shape [1] in the file and is missing in the network (1 of 5 differ).",
        ),
        (
            nn.ModuleDict({'model': nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))}),
            "'0.weight' is missing in the file and has the shape [2, 3] in the network (8 of 8 differ).",
        ),
    ],
)
def test_weights_of_another_network_are_reported_in_one_line(model, tmp_path, log, saved, reason):
    path = tmp_path / 'net_g_5.pth'
    files.save({'params': saved.state_dict()}, path)
    with pytest.raises(InputError) as caught:
        model.load_network(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4)), str(path))
    assert str(caught.value) == f"Weights '{path}': they do not fit the options' Sequential: {reason}"
    assert [record for record in log.records if record.levelname == 'WARNING'] == []


def test_weights_that_fit_are_loaded_and_others_in_part(model, tmp_path):
    path = tmp_path / 'net_g_5.pth'
    saved = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
    files.save({'params': saved.state_dict()}, path)
    whole, part = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4)), nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5))
    model.load_network(whole, str(path))
    assert_same(whole.state_dict(), saved.state_dict())
    model.load_network(part, str(path), strict=False)
    assert torch.equal(part[0].weight, saved[0].weight)


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('entries', [['state_dict'], ['model'], ['model', 'state_dict']])
def test_basicsrs_own_models_read_the_entries_of_other_projects(model, tmp_path, entries, prefix):
    saved, network = nn.Linear(3, 2), nn.Linear(3, 2)
    content = {prefix + key: value for key, value in saved.state_dict().items()}
    for entry in reversed(entries):
        content = {'epoch': 3, entry: content}
    torch.save(content, tmp_path / 'a.pth')
    for param_key in ('params', 'params_ema'):  # both of which SRModel asks for
        network.reset_parameters()
        model.load_network(network, str(tmp_path / 'a.pth'), True, param_key)
        assert_same(network.state_dict(), saved.state_dict())


def test_a_validation_does_not_touch_the_trainings_generators(model, one_run):
    model.nondist_validation = lambda *_: (random.random(), np.random.random(), torch.rand(1))
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = random.random(), np.random.random(), torch.rand(())
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    model.validation(None, 5, None)
    assert (random.random(), np.random.random(), torch.rand(())) == expected


def test_the_last_validation_has_the_last_iterations_number(model):
    numbers = []
    model.nondist_validation = lambda loader, current_iter, tb_logger, save_img: numbers.append(current_iter)
    for current_iter in (5, 10, 11):
        model.validation(None, current_iter, None)
    model.is_train = False
    model.validation(None, 'name of a test', None)
    assert numbers == [5, 10, 10, 'name of a test']


@pytest.mark.parametrize('name', ['caf\udce9/a.png', 'caf\udce9.png', 'b/夜.png'])
def test_images_are_written_under_every_name(tmp_path, name):
    """Of OpenCV, a name that is not UTF-8 would end the process."""
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    imwrite(image, str(tmp_path / name))
    np.testing.assert_array_equal(cv2.imdecode(np.fromfile(tmp_path / name, np.uint8), cv2.IMREAD_COLOR), image)
    with pytest.raises(cv2.error):
        imwrite(image, str(tmp_path / f'{name}.unknown'))
