"""Models in files: every kind that is around, of any size, and nothing but data in them."""

import io
import json
import os
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from safetensors.torch import save as safetensors_bytes

from entropy_sde_plugin.checkpoints import weights_file
from entropy_sde_plugin.checkpoints.model import Model, load_model, save_model
from entropy_sde_plugin.checkpoints.weights import check_settings, load_weights
from entropy_sde_plugin.demo.photographs import FOLDER
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import ConditionalNAFNet
from entropy_sde_plugin.options.diffusion import IRSDEOptions
from entropy_sde_plugin.options.exposure import ExposureOptions, LadderOptions

SIZES = [
    {'width': 8, 'enc_blk_nums': [1, 2], 'middle_blk_num': 2, 'dec_blk_nums': [2, 1]},
    {'width': 4, 'enc_blk_nums': [0, 1, 1], 'middle_blk_num': 0, 'dec_blk_nums': [1, 0, 1], 'img_channel': 1},
]
SETTINGS = {'sde': {'max_sigma': 30.0, 'T': 50, 'schedule': 'linear', 'eps': 0.01}, 'prediction': 'x0'}


def network_of(size, seed=0):
    torch.manual_seed(seed)
    return ConditionalNAFNet(**size).eval()


def assert_same(network, other):
    state = other.state_dict()
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('prefix', ['', 'module.', '_orig_mod.', 'module._orig_mod.'])
def test_bare_weights_tell_their_size_and_are_read_under_the_papers_settings(tmp_path, size, prefix):
    network = network_of(size)
    torch.save({prefix + key: value for key, value in network.state_dict().items()}, tmp_path / 'bare.pth')
    with pytest.warns(UserWarning, match=r'bare\.pth.*no settings.*max_sigma: 50'):
        model = load_model(tmp_path / 'bare.pth')
    assert_same(model.network, network)
    assert not model.network.training
    assert model.options == IRSDEOptions()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('lazy', [False, True])
def test_large_files_may_have_any_name(tmp_path, monkeypatch, suffix, lazy):
    state = network_of(SIZES[0]).state_dict()
    path = tmp_path / os.fsdecode(b'caf\xe9\n' + suffix.encode())
    with path.open('wb') as file:
        torch.save(state, file) if suffix == '.pth' else file.write(safetensors_bytes(state))
    monkeypatch.setattr(weights_file, '_SMALL', 0)
    read = weights_file.WeightsFile(path, lazy=lazy).weights().state
    assert all(torch.equal(read[key], value) for key, value in state.items())


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize(
    'entries', [['state_dict'], ['model'], ['model_state_dict'], ['model', 'state_dict'], ['state_dict', 'params']]
)
def test_entries_of_other_projects_are_read_as_params_is(tmp_path, entries, prefix):
    """Beside them lies what a training saves, and whose tensors are no weights."""
    network = network_of(SIZES[0])
    content = {prefix + key: value for key, value in network.state_dict().items()}
    for entry in reversed(entries):
        content = {'epoch': 3, 'optimizer': {'state': {0: {'step': torch.ones(1)}}}, entry: content}
    torch.save(content | {'entropy_sde': SETTINGS}, tmp_path / 'a.pth')
    model = load_model(tmp_path / 'a.pth')
    assert_same(model.network, network)
    assert model.process.stationary_std == 30 / 255


def test_a_network_may_call_a_weight_like_an_entry(tmp_path):
    torch.save({'model': torch.ones(2), 'params': torch.zeros(1)}, tmp_path / 'a.pth')
    assert load_weights(tmp_path / 'a.pth').state.keys() == {'model', 'params'}


def test_a_file_that_holds_itself_is_no_checkpoint(tmp_path):
    content = {}
    content['model'] = content
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(InputError, match='do not hold a state dict; their entries: model'):
        load_weights(tmp_path / 'a.pth')


def test_of_a_checkpoint_the_average_is_taken(tmp_path):
    raw, average = network_of(SIZES[0], 1), network_of(SIZES[0], 2)
    content = {'params': raw.state_dict(), 'params_ema': average.state_dict(), 'entropy_sde': SETTINGS}
    torch.save(content, tmp_path / 'net_g_7.pth')
    model = load_model(tmp_path / 'net_g_7.pth')
    assert_same(model.network, average)
    assert (model.prediction, model.process.T, model.process.stationary_std) == ('x0', 50, 30 / 255)


def test_safetensors_keep_weights_and_settings(tmp_path):
    model = Model(network_of(SIZES[0]), IRSDEOptions.from_options(SETTINGS))
    save_model(model, tmp_path / 'model.safetensors')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        read = load_model(tmp_path / 'model.safetensors')
    assert_same(read.network, model.network)
    assert read.options == model.options
    assert load_file(tmp_path / 'model.safetensors').keys() == model.network.state_dict().keys()
    assert [path.name for path in tmp_path.iterdir()] == ['model.safetensors']


class Malicious:
    def __reduce__(self):
        return os.mkdir, ('was_executed',)


def a_network():
    return network_of(SIZES[0])


def a_state():
    return dict(a_network().state_dict())


@pytest.mark.parametrize('old_format', [False, True])
def test_a_malicious_pickle_is_not_run(tmp_path, monkeypatch, old_format):
    monkeypatch.chdir(tmp_path)
    torch.save({**a_state(), 'x': Malicious()}, 'a.pth', _use_new_zipfile_serialization=not old_format)
    Path('b.pth').write_bytes(pickle.dumps(Malicious()))
    for name in ('a.pth', 'b.pth'):
        with pytest.raises(InputError, match=f'{name}.*cannot be read as a checkpoint'):
            load_model(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.pth', 'b.pth']

    torch.load('a.pth', weights_only=False)  # it would have been
    assert Path('was_executed').is_dir()


def test_half_precision_weights_become_float32(tmp_path):
    torch.save({key: value.bfloat16() for key, value in a_state().items()}, tmp_path / 'half.pth')
    with pytest.warns(UserWarning, match='the paper.s'):
        network = load_model(tmp_path / 'half.pth').network
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_the_content_says_what_a_file_is_not_its_name(tmp_path):
    save_model(Model(a_network(), IRSDEOptions.from_options(SETTINGS)), tmp_path / 'model.safetensors')
    (tmp_path / 'model.safetensors').rename(tmp_path / 'model.pth')
    torch.save({'params': a_state(), 'entropy_sde': SETTINGS}, tmp_path / 'checkpoint.safetensors')
    for name in ('model.pth', 'checkpoint.safetensors'):
        assert load_model(tmp_path / name).options == IRSDEOptions.from_options(SETTINGS)


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize(
    'content',
    [b'', b'some text\n' * 9, FOLDER.joinpath('coffee.jpg').read_bytes(), saved({'params': a_state()})[:-200]],
    ids=['empty', 'text', 'picture', 'cut off'],
)
def test_what_is_no_checkpoint_gets_one_clear_line(tmp_path, suffix, content):
    path = tmp_path / f'a{suffix}'
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'is damaged, truncated or not a checkpoint; get the file again\.$') as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert 'weights_only' not in str(caught.value)  # torch's advice to load it unsafely
    assert '\n' not in str(caught.value)


def test_a_damaged_checkpoint_is_refused_whatever_torch_makes_of_it(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(a_state(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(1, len(whole) - 100, len(whole) // 25):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r'a\.pth'):
            load_model(path)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(InputError, match='do not exist'):
        load_model(tmp_path / 'absent.pth')
    with pytest.raises(InputError, match='are a folder'):
        load_model(tmp_path)


@pytest.mark.parametrize(
    'given', [{'prediction': 'x0'}, {'sde': {'T': '50', 'schedule': 'linear'}, 'prediction': 'x0'}]
)
def test_settings_are_given_for_a_file_without_them(tmp_path, given):
    torch.save(a_state(), tmp_path / 'bare.pth')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model = load_model(tmp_path / 'bare.pth', given)
    assert model.options == IRSDEOptions.from_options(given)


def test_given_settings_fill_gaps_and_contradict_nothing(tmp_path):
    torch.save({'params': a_state(), 'entropy_sde': {'sde': {'T': 50}, 'prediction': 'x0'}}, tmp_path / 'a.pth')
    model = load_model(tmp_path / 'a.pth', {'sde': {'T': 50, 'max_sigma': 30}})
    assert (model.prediction, model.process.T, model.process.stationary_std) == ('x0', 50, 30 / 255)
    with pytest.raises(InputError, match=r'a\.pth.*sde\.T = 50, not 100; prediction = x0, not noise'):
        load_model(tmp_path / 'a.pth', {'sde': {'T': 100}, 'prediction': 'noise'})


@pytest.mark.parametrize(
    ('name', 'content', 'expected'),
    [
        ('a.pth', {'params': {'x': Malicious()}}, r'Python objects \(posix\.mkdir\), which are never executed'),
        ('a.pth', {'params': 3}, 'not a state dict'),
        (
            'a.pth',
            {'params': a_network()},
            r'Python objects \(entropy_sde_plugin\S+ConditionalNAFNet\), which are never executed',
        ),
        ('a.pth', {'epoch': 3}, 'do not hold a state dict; their entries: epoch'),
        ('a.pth', {}, 'their entries: none'),
        ('a.pth', [1], 'hold a list'),
        ('a.pth', {'params': a_state(), 'params_ema': None}, 'hold a NoneType'),
        (
            'a.pth',
            {'conv.weight': torch.zeros(1)},
            r"known network .*; their first key is 'conv\.weight'",
        ),
        ('a.pth', {**a_state(), 'encoders.1.0.beta': torch.zeros(3)}, r'encoders\.1\.0\.beta'),
        ('a.pth', {**a_state(), 'extra': torch.zeros(3)}, 'extra'),
        ('a.pth', {'params': a_state(), 'entropy_sde': {'sde': {'max_sigmas': 3}}}, "Did you mean 'max_sigma'"),
        ('a.pth', {'params': a_state(), 'entropy_sde': {'predicton': 'x0'}}, "Did you mean 'prediction'"),
        ('a.pth', {'params': a_state(), 'entropy_sde': 3}, 'must be a section of options'),
        ('a.pth', {**a_state(), 'intro.bias': torch.full((8,), torch.nan)}, "'intro.bias' does not hold finite"),
        (
            'a.pth',
            {**a_state(), 'intro.bias': torch.zeros(8).to(torch.float8_e4m3fn)},
            r"'intro\.bias' holds numbers of torch\.float8_e4m3fn: save the weights in float32 or float16\.",
        ),
        ('a.pth', {**a_state(), 'intro.bias': torch.zeros(8, dtype=torch.complex64)}, 'numbers of torch.complex64'),
        (
            'a.pth',
            {**a_state(), 'intro.bias': torch.ones(8, dtype=torch.int64)},
            'does not hold floating-point',
        ),
    ],
)
def test_wrong_files_get_one_clear_line_and_run_nothing(tmp_path, monkeypatch, name, content, expected):
    monkeypatch.chdir(tmp_path)
    torch.save(content, name)
    with pytest.raises(InputError, match=expected) as caught:
        load_model(name)
    assert name in str(caught.value)
    assert '\n' not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_wrong_safetensors_get_one_clear_line(tmp_path):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(b'no header')
    with pytest.raises(InputError, match=r'a\.safetensors.*cannot be read'):
        load_model(path)
    save_model(Model(a_network(), IRSDEOptions()), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r'a\.safetensors.*cannot be read as safetensors'):
        load_model(path)
    for broken in ('{', '[' * 100_000):
        save_file(a_state(), path, {'entropy_sde': broken})
        with pytest.raises(InputError, match=r"a\.safetensors.*'entropy_sde' in the metadata is not JSON"):
            load_model(path)
    save_file(a_state(), path, {'entropy_sde': json.dumps({'prediction': 'x1'})})
    with pytest.raises(InputError, match='prediction'):
        load_model(path)


def test_a_safetensors_file_is_called_one(tmp_path):
    with pytest.raises(InputError, match=r'must end in \.safetensors'):
        save_model(Model(a_network(), IRSDEOptions()), tmp_path / 'model.pth')
    with pytest.raises(InputError, match='no folder'):
        save_model(Model(a_network(), IRSDEOptions()), tmp_path / 'absent' / 'model.safetensors')


def test_weights_of_raw_images_may_continue_with_another_number_of_calls():
    carried = ExposureOptions(LadderOptions(calls=3)).carried()
    check_settings(carried, ExposureOptions(LadderOptions(calls=2)))
    with pytest.raises(InputError, match=r'exposure.keep_negative: trained with False, the options have True'):
        check_settings(carried, ExposureOptions(LadderOptions(keep_negative=True)))
