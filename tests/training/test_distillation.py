"""Training for few network calls: against the flow of a Gaussian, which is known; what a model makes of its options."""

from __future__ import annotations

import warnings

import msgspec
import pytest
import torch
from torch import nn

from entropy_sde_plugin.checkpoints.model import Model, load_model, save_model
from entropy_sde_plugin.diffusion import CLEAN
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.samplers import ddim, standard_normal
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.networks import ConditionalNAFNet, LLDiffusionNet
from entropy_sde_plugin.options.check import check
from entropy_sde_plugin.options.diffusion import IRSDEOptions, LLDiffusionOptions, SamplerOptions, SDEOptions
from entropy_sde_plugin.options.training import DistillationOptions
from entropy_sde_plugin.training.distillation import Distillation, read_teacher
from tests.support.irsde import batch, model, options, same, spy, weights
from tests.support.networks import random_network

MEAN, STD, DARK = 0.5, 0.1, 0.2
SYSTEMS = {
    'irsde': IRSDEOptions(sde=SDEOptions(T=1000), prediction='x0', sampler=SamplerOptions(times=(1000, 350))),
    'ddpm': LLDiffusionOptions(prediction='x0', sampler=SamplerOptions(times=(999, 500))),
}


def moments(process, t):
    """Of the state at ``t`` of clean images of N(MEAN, STD²): what remains of them, the noise, mean and variance."""
    decay, noise = (table[t].view(-1, 1, 1, 1) for table in (process.decays, process.stds))
    m = process.mean(torch.full((1,), DARK))
    return decay, noise, m + decay * (MEAN - m), (decay * STD) ** 2 + noise**2


class Exact(nn.Module):
    """E[x0 | x_t] of those images, less the process's mean: the network that nothing can teach more."""

    def __init__(self, process):
        super().__init__()
        self.process = process

    def forward(self, x, cond, time):
        decay, _, mean, variance = moments(self.process, time)
        return MEAN + STD**2 * decay / variance * (x - mean) - self.process.mean(cond)


def called(function, *inputs):
    return function(*inputs)


def case(name, steps, truth=0.0, images=4):
    """A distillation from the exact teacher; clean and dark images, and states at both of the student's times."""
    student = SYSTEMS[name]
    process = student.process()
    made = Distillation(DistillationOptions('exact', steps, truth), student, Model(Exact(process), student), run=called)
    generator, shape = torch.Generator().manual_seed(0), (images, 1, 8, 8)
    clean, noise = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    clean, dark = MEAN + STD * clean, torch.full(shape, DARK, dtype=torch.float64)
    t = torch.tensor(student.sampler.times).repeat(images // 2)
    return made, process, clean, dark, t, process.draw(clean, dark, t, noise)


@pytest.mark.parametrize('name', SYSTEMS)
def test_the_target_is_the_teachers_flow(name):
    """Of a Gaussian: (x_t - mean_t) / std_t stays what it is. The error falls with the step's length."""
    errors = []
    for steps in (100, 400):
        made, process, clean, dark, t, xt = case(name, steps)
        _, _, mean, variance = moments(process, t)
        flow = MEAN + STD * (xt - mean) / variance.sqrt()
        errors.append((made.target(clean, xt, dark, t) - flow).abs().max().item())
    assert errors[1] < 0.15 * STD
    assert errors[1] < 0.35 * errors[0]


def test_the_truth_has_its_share():
    alone, *_ = case('irsde', 10)
    mixed, _, clean, dark, t, xt = case('irsde', 10, truth=0.25)
    expected = 0.75 * alone.target(clean, xt, dark, t) + 0.25 * clean
    torch.testing.assert_close(mixed.target(clean, xt, dark, t), expected)


def test_a_student_of_one_call_has_the_law_of_the_data():
    """A line through the targets of a DDPM's pure noise; in one call of its own, the teacher gives the mean alone."""
    made, process, clean, dark, _, _ = case('ddpm', 400, images=64)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    student = nn.Conv2d(1, 1, 1).double()
    optimizer = torch.optim.LBFGS(student.parameters(), line_search_fn='strong_wolfe')
    xt = process.draw(clean, dark, 999, noise)
    target = made.target(clean, xt, dark, torch.full((64,), 999))
    optimizer.step(lambda: descent(optimizer, (student(xt) - target).square().mean()))

    def in_one_call(denoiser):
        with torch.no_grad():
            return ddim(denoiser, process, dark, [999, CLEAN], noise=standard_normal(torch.Generator().manual_seed(2)))

    samples = in_one_call(lambda x, cond, t: student(x))
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert samples.std().item() == pytest.approx(STD, rel=0.05)
    assert in_one_call(Exact(process)).std() < 0.01 * STD


def descent(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    return loss


# --- a model in training ----------------------------------------------------------------------------------------------

FEW = {'sampler': {'times': [20, 8]}, 'train__times': 'sampler', 'train__objective': 'x0', 'prediction': 'x0'}


@pytest.fixture
def teacher(tmp_path):
    """The file of a teacher, larger than the student and of another prediction."""
    network = random_network(width=12, enc_blk_nums=[1], dec_blk_nums=[1])
    taught = IRSDEOptions.from_settings({'sde': {'T': 20}, 'prediction': 'v'})
    save_model(Model(network, taught), tmp_path / 'teacher.safetensors')
    return str(tmp_path / 'teacher.safetensors')


def student(teacher, **changes):
    return model(**{**FEW, 'train__distillation': {'teacher': teacher, 'teacher_steps': 4}, **changes})


def test_the_times_are_those_of_the_sampler():
    m = model(**FEW)
    m.feed_data(batch(size=1))
    times = [int(m.draw(i).t) for i in range(60)]
    assert set(times) == {20, 8}
    assert 15 < times.count(20) < 45


def test_a_step_compares_with_what_the_teacher_makes_of_the_state(teacher):
    """From each time through those of the teacher's grid that follow, by the sampler itself."""
    m = student(teacher)
    data = batch(size=4)
    m.feed_data(data)
    m.cri_pix, seen = spy(m.cri_pix)
    draw = m.draw(1)
    m.optimize_parameters(1)
    taught = load_model(teacher)
    for i, t in enumerate(draw.t.tolist()):
        dark, clean = data['lq'][i : i + 1], data['gt'][i : i + 1]
        times = {20: [20, 13, 7, 2, CLEAN], 8: [8, 7, 2, CLEAN]}[t]
        denoiser = NetworkDenoiser(taught.network, taught.process, 'v')
        start = m.process.draw(clean, dark, t, draw.noise[i : i + 1])
        with torch.no_grad():
            image = ddim(denoiser, taught.process, dark, times, start=start, noise=torch.randn_like)
        torch.testing.assert_close(seen[0][1][i : i + 1], image)
    assert len(set(draw.t.tolist())) == 2


def test_the_teacher_neither_learns_nor_is_saved(teacher, tmp_path):
    m = student(teacher, path__models=str(tmp_path))
    network = m.distillation._network
    before = weights(network)
    m.feed_data(batch())
    m.optimize_parameters(1)
    assert same(before, weights(network))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    m.save_network([m.net_g, m.net_g_ema], 'net_g', 5, param_key=['params', 'params_ema'])
    saved = torch.load(tmp_path / 'net_g_5.pth', weights_only=True)
    assert saved.keys() == {'params', 'params_ema', 'entropy_sde'}
    assert same(saved['params'], weights(m.net_g))


def test_a_file_says_which_times_its_weights_are_for(tmp_path):
    m = model(**FEW, path__models=str(tmp_path))
    m.save_network(m.net_g, 'net_g', 5)
    save_model(load_model(tmp_path / 'net_g_5.pth'), tmp_path / 'converted.safetensors')
    for name in ('net_g_5.pth', 'converted.safetensors'):
        for steps, times in ((None, [20, 8, CLEAN]), (2, [20, 8, CLEAN]), (3, m.process.time_grid(3))):
            assert Enhancer.from_file(tmp_path / name, device='cpu', steps=steps).times == times
    again = model(sde__T=20, prediction='x0', path__pretrain_network_g=str(tmp_path / 'net_g_5.pth'))
    assert same(weights(again.net_g), weights(m.net_g))


# --- bad options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'train__distillation': {'teacher_steps': 4}}, "'train.distillation.teacher' is missing"),
        ({'train__distillation': {'teacher': 'a.pth', 'truths': 1}}, "Did you mean 'truth'?"),
        ({'train__distillation': {'teacher': 'a.pth', 'truth': 1}}, "Option 'train.distillation.truth'"),
        ({'train__distillation': {'teacher': 'a.pth', 'teacher_steps': 21}}, 'must lie in 1…20 (the noisy states)'),
        ({'train__times': 'few'}, "'few' is not one of its values. Valid names: all, sampler"),
        ({'sampler': {'times': [20, 8], 'steps': 2}}, 'steps and times exclude each other'),
        (
            {'sampler': {'times': [8, 20]}},
            'must decrease and lie in 1…20 (the noisy states), got [8, 20]',
        ),
        ({'sampler': {'times': [21]}}, 'sampler.times must decrease and lie in 1…20'),
        ({'train__perceptual_opt': {'type': 'LPIPSLoss', 'nett': 'vgg'}}, "Did you mean 'net'?"),
        ({'train__perceptual_opt': {'type': 'LPIPSLoss', 'net': 'vgg19'}}, "LPIPS has no backbone 'vgg19'"),
    ],
)
def test_wrong_options_are_refused(changes, expected):
    with pytest.raises(InputError) as caught:
        check(options(**changes))
    assert expected in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_teacher_of_a_few_times_is_refused(teacher, tmp_path):
    """It would be called at times that it never learned."""
    taught = load_model(teacher)
    few = IRSDEOptions.from_settings({'sde': {'T': 20}, 'prediction': 'v', 'sampler': {'times': [20, 8]}})
    save_model(Model(taught.network, few), tmp_path / 'few.safetensors')
    options = DistillationOptions(str(tmp_path / 'few.safetensors'))
    with pytest.raises(InputError, match=r'was trained for 2 times only \(train\.times: sampler\): use one') as caught:
        read_teacher(options, IRSDEOptions.from_options({'sde': {'T': 20}}), ConditionalNAFNet)
    assert caught.value.option == 'train.distillation.teacher'


def test_a_teacher_without_settings_is_taken_to_have_the_papers(teacher, tmp_path, capsys):
    bare = tmp_path / 'bare.pth'
    torch.save({'state_dict': load_model(teacher).network.state_dict()}, bare)
    read = read_teacher(DistillationOptions(str(bare)), IRSDEOptions(prediction='x0'), ConditionalNAFNet)
    assert read.prediction == 'noise'
    assert capsys.readouterr().err.startswith(f"warning: '{bare}' has no settings; using the paper's: {{sde: ")


def test_another_warning_does_not_say_that_a_teacher_has_no_settings(teacher, monkeypatch):
    def load(path):
        warnings.warn('of the file', stacklevel=2)
        return load_model(path)

    monkeypatch.setattr('entropy_sde_plugin.training.distillation.load_model', load)
    wanted = IRSDEOptions.from_settings({'sde': {'T': 30}, 'prediction': 'x0'})
    with pytest.raises(InputError, match=r'sde\.T: trained with 20, the options have 30'):
        read_teacher(DistillationOptions(teacher), wanted, ConditionalNAFNet)


def test_a_teacher_of_another_kind_is_refused(teacher, tmp_path):
    wanted = IRSDEOptions.from_settings({'sde': {'T': 30}, 'prediction': 'x0'})
    with pytest.raises(InputError, match=r'sde\.T: trained with 20, the options have 30') as caught:
        read_teacher(DistillationOptions(teacher), wanted, ConditionalNAFNet)
    assert caught.value.option == 'train.distillation.teacher'
    same_diffusion = msgspec.structs.replace(wanted, sde=SDEOptions(T=20))
    with pytest.raises(InputError, match='is a ConditionalNAFNet, but the network in training is a LLDiffusionNet'):
        read_teacher(DistillationOptions(teacher), same_diffusion, LLDiffusionNet)
    bare = tmp_path / 'bare.pth'
    torch.save(load_model(teacher).network.state_dict(), bare)
    with pytest.raises(InputError, match=r'has no settings, .* write its own .* with entropy-sde convert'):
        read_teacher(DistillationOptions(str(bare)), wanted, ConditionalNAFNet)
    with pytest.raises(InputError, match='do not exist') as caught:
        read_teacher(DistillationOptions(str(tmp_path / 'nothing.pth')), wanted, ConditionalNAFNet)
    assert caught.value.option == 'train.distillation.teacher'
