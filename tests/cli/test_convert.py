"""``entropy-sde convert``: any weights file becomes safetensors that say what their network was trained for."""

import re
from pathlib import Path

import pytest
import torch

from entropy_sde_plugin.checkpoints.model import load_model
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.networks import ConditionalNAFNet
from entropy_sde_plugin.options.diffusion import IRSDEOptions

GIVEN = ['--prediction', 'x0', '--max-sigma', '30', '--T', '50', '--schedule', 'linear', '--eps', '0.01']
SETTINGS = {'sde': {'max_sigma': 30, 'T': 50, 'schedule': 'linear', 'eps': 0.01}, 'prediction': 'x0'}


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return ConditionalNAFNet(width=4, enc_blk_nums=[1], middle_blk_num=0, dec_blk_nums=[0]).state_dict()


def assert_converted(state, settings):
    model = load_model('out.safetensors')
    assert model.options == IRSDEOptions.from_options(settings)
    assert all(torch.equal(value, state[key]) for key, value in model.network.state_dict().items())


def test_a_released_checkpoint_with_the_settings_given(state, capsys):
    torch.save({f'module.{key}': value for key, value in state.items()}, 'in.pth')
    assert main(['convert', 'in.pth', 'out.safetensors', *GIVEN]) == 0
    assert_converted(state, SETTINGS)
    out, err = capsys.readouterr()
    assert out == (
        'out.safetensors: {sde: {max_sigma: 30.0, T: 50, schedule: linear, eps: 0.01}, prediction: x0, system: irsde}\n'
    )
    assert not err


def test_a_checkpoint_keeps_its_settings_and_so_does_what_was_made_of_it(state):
    torch.save({'params': {}, 'params_ema': state, 'entropy_sde': SETTINGS}, 'in.pth')
    assert main(['convert', 'in.pth', 'out.safetensors', '--T', '50']) == 0
    assert main(['convert', 'out.safetensors', 'out.safetensors', *GIVEN]) == 0
    assert_converted(state, SETTINGS)


def test_the_times_of_the_calls_stay_and_can_be_changed(state):
    torch.save({'params': state, 'entropy_sde': SETTINGS}, 'in.pth')
    for arguments, times in ((['--times', '50', '20'], (50, 20)), ([], (50, 20)), (['--times', '50'], (50,))):
        assert main(['convert', 'in.pth', 'out.safetensors', *arguments]) == 0
        assert_converted(state, SETTINGS | {'sampler': {'times': times}})
        Path('out.safetensors').rename('in.pth')


def test_what_nobody_says_is_the_papers_and_is_reported(state, capsys):
    torch.save(state, 'in.pth')
    papers = '{sde: {max_sigma: 50.0, T: 100, schedule: cosine, eps: 0.005}, prediction: noise, system: irsde}'
    with pytest.warns(UserWarning, match=re.escape(f"'in.pth' has no settings; using the paper's: {papers}.")):
        assert main(['convert', 'in.pth', 'out.safetensors']) == 0
    assert_converted(state, {})
    assert capsys.readouterr().out == f'out.safetensors: {papers}\n'


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['in.pth', 'out.safetensors', '--T', '100'], "'in.pth': trained with sde.T = 50, not 100"),
        (['in.pth', 'out.safetensors', '--prediction', 'nois'], "Did you mean 'noise'?"),
        (['in.pth', 'out.safetensors', '--eps', '2'], "'sde.eps': expected a number < 1.0"),
        (['in.pth', 'out.safetensors', '--T', 'many'], "'sde.T': expected a whole number"),
        (['in.pth', 'out.safetensors', '--max-sigma', 'nan'], "'sde.max_sigma'"),
        (['in.pth', 'out.safetensors', '--schedule', ''], "'sde.schedule'"),
        (['in.pth', 'out.safetensors', '--prediction', ''], "'prediction'"),
        (['in.pth', 'out.safetensors', '--times', '20', '50'], 'sampler.times must decrease and lie in 1…50'),
        (['in.pth', 'out.pth'], 'must end in .safetensors'),
        (['in.pth', 'absent/out.safetensors'], "no folder 'absent'"),
        (['absent.pth', 'out.safetensors'], 'do not exist'),
        (['.', 'out.safetensors'], 'are a folder'),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(state, tmp_path, capsys, arguments, expected):
    torch.save({'params': state, 'entropy_sde': SETTINGS}, 'in.pth')
    assert main(['convert', *arguments]) == 1
    err = capsys.readouterr().err
    assert err.startswith('error: ')
    assert expected in err
    assert err.count('\n') == 1
    assert [path.name for path in tmp_path.iterdir()] == ['in.pth']


def test_half_the_bytes(state):
    torch.save(state, 'in.pth')
    assert main(['convert', 'in.pth', 'full.safetensors', *GIVEN]) == 0
    assert main(['convert', '--half', 'in.pth', 'half.safetensors', *GIVEN]) == 0
    weights, full, half = (
        2 * sum(v.numel() for v in state.values()),
        *(Path(f'{n}.safetensors').stat().st_size for n in ('full', 'half')),
    )
    assert full - half == pytest.approx(weights, abs=64)  # the headers' padding
    for key, value in load_model('half.safetensors').network.state_dict().items():
        assert torch.equal(value, state[key].half().float())


def test_weights_beyond_half_precision_are_refused(state, capsys):
    state['intro.weight'][0] = 1e5
    torch.save(state, 'in.pth')
    assert main(['convert', '--half', 'in.pth', 'out.safetensors', *GIVEN]) == 1
    assert "'intro.weight' does not fit into float16" in capsys.readouterr().err
    assert not Path('out.safetensors').exists()
