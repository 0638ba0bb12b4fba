"""The training step: skipped where a number is not finite, the same in parts, the network alone in low precision."""

import copy
import json

import pytest
import torch

from entropy_sde_plugin.errors import DivergedError, InputError
from entropy_sde_plugin.options.check import check
from entropy_sde_plugin.training.save_on_error import StepWatch
from tests.support import ENTROPY, validation  # noqa: F401  BufferedNetwork
from tests.support.commands import ROOT
from tests.support.forks import python_m
from tests.support.irsde import batch, check_same_change, check_same_step, model, options, same, spy, weights
from tests.support.training import PLAIN_DESCENT, InfiniteValue


def everything(m):
    """All that a step may change, as tensors by name."""
    tensors = {f'net.{key}': value for key, value in weights(m.net_g).items()}
    tensors |= {f'ema.{key}': value for key, value in weights(m.net_g_ema).items()}
    for index, state in m.optimizer_g.state_dict()['state'].items():
        tensors |= {f'optimiser.{index}.{key}': torch.as_tensor(value).clone() for key, value in state.items()}
    return tensors


def train(m, iteration, data=None):
    m.feed_data(data or batch())
    m.optimize_parameters(iteration)


def poisoned():
    data = batch()
    data['gt'][1, 0, 3, 3] = float('nan')
    return data


class InfiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient * float('inf')


class InfiniteSlope(torch.nn.Module):
    """A loss whose gradient is infinite and whose value is not."""

    def forward(self, predicted, target):
        return (InfiniteGradient.apply(predicted) - target).abs().mean()


@pytest.mark.parametrize('fault', ['picture', 'gradient', 'value'])
@pytest.mark.parametrize('entropy', [None, ENTROPY])
def test_a_step_that_is_not_finite_changes_nothing(fault, entropy, log):
    m = model(train__entropy_opt=entropy, train__grad_clip_norm=0.1)
    train(m, 1)
    sound, before = m.cri_pix, everything(m)
    if fault != 'picture':
        m.cri_pix = InfiniteSlope() if fault == 'gradient' else InfiniteValue()
    log.clear()
    train(m, 2, poisoned() if fault == 'picture' else None)
    after = everything(m)
    assert before.keys() == after.keys()
    assert same(before, after)

    t = m.draw(2).t
    (message,) = {record.getMessage() for record in log.records}
    assert message.startswith('Iteration 2: a loss or the gradient is not finite (l_pix ')
    assert message.endswith(f'Its images: t={t[0]} picture0.png; t={t[1]} picture1.png.')

    m.cri_pix = sound
    train(m, 3)
    assert not same(before, everything(m))
    assert all(torch.isfinite(value).all() for value in everything(m).values())


def test_running_statistics_are_left_alone_too():
    m = model(network_g={'type': 'BufferedNetwork'})
    train(m, 1)
    before = weights(m.net_g)
    train(m, 2, poisoned())
    assert any(name.endswith('running_mean') for name in before)
    assert same(before, weights(m.net_g))


def test_skips_in_a_row_end_the_training():
    m = model(train__max_skipped_steps=3)
    for iteration, data in enumerate((poisoned(), poisoned(), batch(), poisoned(), poisoned()), 1):
        train(m, iteration, data)
    with pytest.raises(InputError, match=r'iteration 6: 3 steps in a row .*train\.max_skipped_steps') as caught:
        train(m, 6, poisoned())
    assert '\n' not in str(caught.value)


def test_no_checkpoint_is_deleted_while_steps_are_skipped(tmp_path):
    """The weights may be ruined by then."""
    m = model(train__keep_last_checkpoints=1, path__models=str(tmp_path), path__training_states=str(tmp_path))
    for iteration, data in enumerate((batch(), poisoned(), poisoned()), 1):
        train(m, iteration, data)
        m.save(0, iteration)
    assert {path.name for path in tmp_path.glob('*.state')} == {'1.state', '2.state', '3.state'}
    train(m, 4)
    m.save(0, 4)
    assert {path.name for path in tmp_path.glob('*.state')} == {'4.state'}


@pytest.mark.parametrize(('iterations', 'val'), [(1, None), (2, None), (2, {'val_freq': 5})])
def test_a_training_does_not_end_with_weights_that_restore_nothing(iterations, val):
    """The first step ruins the weights, which stay finite; the second is skipped for its loss."""
    m = model(train__optim_g__lr=1e30, train__total_iter=iterations, val=val)
    for iteration in range(1, iterations):
        train(m, iteration)
    with pytest.raises(DivergedError, match='lower learning rate') as caught:
        train(m, iterations)
    assert m.training_step.skipped_in_row == iterations - 1
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('last', [batch, poisoned])
def test_a_training_with_sound_weights_ends_well_even_where_its_last_step_is_skipped(last):
    m = model(train__total_iter=2, val=None)
    train(m, 1)
    train(m, 2, last())


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('parts', [2, 3, 4])
def test_parts_make_the_step_of_the_whole_batch(parts, reduction):
    """Four images in parts of 2; 2; 1, by plain gradient descent: Adam's first step hides the gradient's scale."""
    losses = {
        'train__pixel_opt': {'type': 'L1Loss', 'reduction': reduction},
        'train__entropy_opt': {**ENTROPY, 'reduction': reduction},
        'train__optim_g': {'type': 'SGD', 'lr': 1e-3 if reduction == 'mean' else 1e-7},
    }
    whole, divided = model(**losses), model(**losses, train__accumulate_steps=parts)
    start = weights(whole.net_g)
    passes = []
    divided.net_g.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    for m in (whole, divided):
        train(m, 1, batch(size=4))
    assert passes == ([1] * 4 if parts == 4 else [2, 2])
    check_same_step(divided, whole, start)


def test_processes_share_the_parts_and_the_decision(tmp_path):
    """Two processes, each with two images in two parts, make the step of four images; what is infinite in one of
    them is skipped in both, and told with the images of both."""
    code, out, err = python_m('tests.support.training', tmp_path, cwd=ROOT, processes=2)
    assert code == 0, err
    for rank in (0, 1):
        assert json.loads((tmp_path / f'rank{rank}.json').read_text()) == {'unchanged': True, 'skipped': 1}
    (wanted,) = [line for line in (out + err).splitlines() if 'Iteration 2: a loss or the gradient' in line]
    assert all(f'picture{number}.png' in wanted for number in range(4))

    whole = model(**PLAIN_DESCENT)
    start = weights(whole.net_g)
    train(whole, 1, batch(size=4))
    found, expected = torch.load(tmp_path / 'weights.pth', weights_only=True), weights(whole.net_g)
    check_same_change(found, expected, start)


def test_more_parts_than_pictures_are_refused():
    with pytest.raises(InputError, match=r"'train\.accumulate_steps' is 8, but .*batch_size_per_gpu"):
        check(options(train__accumulate_steps=8, **LOADER))


LOADER = {
    'datasets__train__name': 'train',
    'datasets__train__batch_size_per_gpu': 4,
    'datasets__train__num_worker_per_gpu': 0,
}


@pytest.mark.parametrize(('precision', 'dtype'), [('bf16', torch.bfloat16), ('fp16', torch.float16)])
def test_the_network_alone_runs_in_low_precision(precision, dtype):
    full, low = model(), model(train__precision=precision)
    seen, comparisons = [], {}
    low.net_g.intro.register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    for name, m in (('full', full), ('low', low)):
        m.cri_pix, comparisons[name] = spy(m.cri_pix)
        train(m, 1)
    assert seen == [dtype]
    ((predicted, target),) = comparisons['low']
    assert predicted.dtype == target.dtype == torch.float32
    assert torch.equal(target, comparisons['full'][0][1])
    assert not torch.equal(predicted, comparisons['full'][0][0])
    torch.testing.assert_close(predicted, comparisons['full'][0][0], rtol=0, atol=0.02)
    assert {value.dtype for value in weights(low.net_g).values()} == {torch.float32}
    assert not same(weights(low.net_g), weights(model().net_g))


def test_a_scale_that_float16_cannot_hold_is_halved_the_step_skipped_and_both_resumed(tmp_path):
    changes = {'train__precision': 'fp16', 'path__training_states': str(tmp_path), 'path__models': str(tmp_path)}
    m = model(**changes)
    train(m, 1)
    before = everything(m)
    m.cri_pix = InfiniteSlope()
    train(m, 2)
    assert same(before, everything(m))
    assert m.training_step.state_dict()['scaler']['scale'] == 2.0**15
    m.save_training_state(0, 2)
    again = model(**changes)
    again.resume_training(torch.load(tmp_path / '2.state', weights_only=True))
    assert again.training_step.state_dict() == m.training_step.state_dict()
    assert again.training_step.skipped_in_row == 1


def test_a_skipped_step_that_fails_is_taken_back(monkeypatch):
    m = model(train__precision='fp16')
    watch = StepWatch(m, 0)
    watch.begin(1)
    train(m, 1)
    before = copy.deepcopy(m.training_step.state_dict())
    watch.begin(2)
    m.cri_pix = InfiniteSlope()
    monkeypatch.setattr(m, '_report_skipped', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(m, 2)
    assert m.training_step.state_dict() != before
    assert watch.rewind() == 1
    assert m.training_step.state_dict() == before


def test_channels_last_trains_the_same_weights():
    plain, last = model(), model(train__channels_last=True)
    assert same(weights(plain.net_g), weights(last.net_g))
    seen, predictions = [], []
    last.net_g.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[:2]))
    for m in (plain, last):
        m.cri_pix, comparisons = spy(m.cri_pix)
        train(m, 1)
        predictions.append(comparisons[0][0])
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in seen)
    kernels = [p for p in last.net_g.parameters() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    torch.testing.assert_close(*predictions, rtol=0, atol=1e-5)


def test_compilation_keeps_names_and_results(monkeypatch):
    """Traced as for the real thing, then run by PyTorch's own operators: a compiler's time is not spent here."""
    compiled = []
    stock = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, 'compile', lambda self: compiled.append(self) or stock(self, backend='eager', fullgraph=True)
    )
    plain, fast = model(), model(train__compile=True)
    assert compiled == [fast.net_g]
    for m in (plain, fast):
        train(m, 1)
    torch.testing.assert_close(weights(fast.net_g), weights(plain.net_g))
    assert same(weights(copy.deepcopy(fast.net_g)), weights(fast.net_g))


@pytest.mark.parametrize('allowed', [True, False])
def test_tf32_is_pytorchs_setting(allowed):
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = not allowed
        model()
        assert [backend.allow_tf32 for backend in backends] == [not allowed] * 2
        model(train__tf32=allowed)
        assert [backend.allow_tf32 for backend in backends] == [allowed] * 2
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value
