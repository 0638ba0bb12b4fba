"""What a run takes up from a state that was saved under other options, and what is not saved at all."""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.models.base_model import BaseModel

from entropy_sde_plugin.errors import DivergedError, InputError
from entropy_sde_plugin.options.training import LLDiffusionTrainOptions, TrainOptions
from entropy_sde_plugin.training import resumed_options, run
from entropy_sde_plugin.training.save_on_error import SaveOnError, StepWatch
from entropy_sde_plugin.utils import signals
from entropy_sde_plugin.utils.atomic_file import WriteError

TOTAL = 50  # iterations


def warnings(log):
    return [record.getMessage() for record in log.records if record.levelname == 'WARNING']


def run_of(pictures, batch, processes=1, **train):
    sampler = EnlargedSampler(range(pictures), processes, 0, 1)
    opt = {'manual_seed': 1, 'val': None, 'train': train}
    return run.Run(opt, SimpleNamespace(sampler=sampler, batch_size=batch), [], None)


def last_iteration(resumed, state):
    """The loop of BasicSR's pipeline (train.py:150) over epochs and the batches of the first process."""
    sampler = resumed._sampler
    epoch_steps = math.ceil(len(sampler.dataset) / resumed._batch)
    iteration = state['iter']
    for epoch in range(state['epoch'], math.ceil(TOTAL / epoch_steps) + 1):
        sampler.set_epoch(epoch)
        for _ in range(len(list(sampler)) * sampler.num_replicas // resumed._batch):
            iteration += 1
            if iteration > TOTAL:
                return TOTAL
    return iteration


def stock_state(iteration, pictures, batch, processes=1):
    """What BasicSR saves of its place: of an epoch's last iteration, still that epoch."""
    return {'iter': iteration, 'epoch': (iteration - 1) // (pictures // (batch * processes))}


@pytest.mark.parametrize(
    ('then', 'now'),
    [
        ((18, 2), (18, 1)),  # a smaller batch: more steps in an epoch
        ((18, 1), (18, 2)),
        ((18, 1, 2), (18, 1)),  # two processes, then one
        ((18, 1), (18, 1, 2)),
        ((18, 3), (12, 3)),
        ((18, 3), (18, 3)),
    ],
)
@pytest.mark.parametrize('iteration', [1, 5, 18, 40])
def test_the_pipeline_comes_to_its_last_iteration(then, now, iteration, log):
    """Of a state of this plugin's, and of one that BasicSR saved without."""
    before = run_of(*then)
    state = stock_state(iteration, *then)
    before._epoch = state['epoch']
    before._began_at = state['epoch'] * before._sampler.total_size // before._batch
    ours = state | {'run': before.entries(SimpleNamespace(), iteration)}

    resumed = run_of(*now)
    resumed.restore(SimpleNamespace(), ours)
    size, batch = resumed._sampler.total_size, resumed._batch
    epoch, drawn = resumed._sampler.drawn_before
    assert epoch == ours['epoch']
    assert epoch * size + drawn == iteration * batch  # so many images lie behind it
    assert last_iteration(resumed, ours) == TOTAL
    assert len(warnings(log)) == (then != now)

    log.clear()
    resumed = run_of(*now)
    resumed.restore(SimpleNamespace(), state)
    assert last_iteration(resumed, state) == TOTAL
    (warning,) = warnings(log)
    assert 'The epoch starts again' in warning


ADAM = {'type': 'Adam', 'lr': 1e-3, 'betas': [0.9, 0.99]}
STEPS = {'type': 'MultiStepLR', 'milestones': [10], 'gamma': 0.5}


def state_under(optim_g, scheduler, **train):
    state = {'iter': 5, 'epoch': 0, 'optimizers': [], 'schedulers': []}
    return state | {'run': run_of(18, 1, optim_g=optim_g, scheduler=scheduler, **train).entries(SimpleNamespace(), 5)}


@pytest.fixture
def resume(monkeypatch):
    """Resume with a model of BasicSR's; return the run."""

    def resume(state, optim_g, scheduler, **train):
        resumed = run_of(18, 1, optim_g=optim_g, scheduler=scheduler, **train)
        monkeypatch.setattr(run, '_current', resumed)
        BaseModel({'num_gpu': 0, 'is_train': True}).resume_training(state)
        return resumed

    return resume


def test_options_of_the_optimiser_that_have_no_effect_are_reported(resume, log):
    state = state_under(ADAM, STEPS)
    resumed = resume(state, ADAM | {'lr': 1e-4}, {'type': 'MultiStepRestartLR', 'milestones': [10, 20]})
    (warning,) = warnings(log)
    assert (
        'train.optim_g.lr was 0.001 and is 0.0001; train.scheduler.gamma was 0.5 and is 0.1; '
        'train.scheduler.milestones was [10] and is [10, 20]'
    ) in warning
    log.clear()
    state['run'] = resumed.entries(SimpleNamespace(), 6)  # of a training that continues as it began
    resume(state, ADAM, STEPS)
    assert warnings(log) == []


def test_options_that_change_the_training_from_here_on_are_reported_once(resume, log):
    loss = {'type': 'L1Loss', 'loss_weight': 1.0}
    state = state_under(ADAM, STEPS, pixel_opt=loss, ema_decay=0.99)
    entropy = {'type': 'SpatialEntropyLoss', 'levels': [[0, 8], [9, 16]]}
    resumed = resume(state, ADAM | {'lr': 1e-4}, STEPS, pixel_opt=loss | {'loss_weight': 2}, entropy_opt=entropy)
    without_effect, with_effect = warnings(log)
    assert 'without effect: train.optim_g.lr was 0.001 and is 0.0001.' in without_effect
    assert with_effect.endswith(
        'apply from here on: train.ema_decay was 0.99 and is not given; train.entropy_opt.levels was not given and is '
        '[[0, 8], [9, 16]]; train.entropy_opt.type was not given and is SpatialEntropyLoss; '
        'train.pixel_opt.loss_weight was 1.0 and is 2.'
    )
    log.clear()
    state['run'] = resumed.entries(SimpleNamespace(), 6)
    resume(state, ADAM, STEPS, pixel_opt=loss | {'loss_weight': 2}, entropy_opt=entropy)
    assert warnings(log) == []


def test_an_option_that_equals_its_default_is_the_same_as_none(resume, log):
    """Older option files wrote defaults out, and a state keeps what was written."""
    adam = {'type': 'Adam', 'lr': 1e-3}
    entropy = {'type': 'SpatialEntropyLoss', 'levels': 8}
    written_out = {
        'optim_g': adam | {'weight_decay': 0, 'betas': [0.9, 0.999]},
        'scheduler': STEPS | {'restarts': [0], 'restart_weights': [1]},
        'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
        'entropy_opt': entropy | {'windows': [1, 3, 5], 'intensity_range': [0, 1]},
    }
    short = {'optim_g': adam, 'scheduler': STEPS, 'pixel_opt': {'type': 'L1Loss'}, 'entropy_opt': entropy}
    for then, now in ((written_out, short), (short, written_out)):
        resume(state_under(**then), **now)
        assert warnings(log) == []


def test_defaults_of_the_section_train_are_those_of_the_model(log):
    resumed_options.compare({'ema_decay': 0, 'precision': 'bf16'}, {}, TrainOptions)
    (warning,) = warnings(log)
    assert warning.endswith('apply from here on: train.precision was bf16 and is fp32.')


def test_defaults_of_a_section_of_options_are_those_it_declares(log):
    resumed_options.compare({'freeze.after_iter': 9, 'freeze.encoder_eval': False}, {}, LLDiffusionTrainOptions)
    (warning,) = warnings(log)
    assert warning.endswith('apply from here on: train.freeze.after_iter was 9 and is None.')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (({'type': 'SGD'}, {}), r'train\.optim_g\.type is SGD, but the training to resume has Adam: '),
        (({}, {'type': 'CosineAnnealingRestartLR'}), r'train\.scheduler\.type is CosineAnnealingRestartLR, but'),
    ],
)
def test_a_state_of_another_kind_of_optimiser_or_schedule_is_refused(changes, message, resume):
    optimiser, scheduler = changes
    with pytest.raises(InputError, match=message):
        resume(state_under(ADAM, STEPS), ADAM | optimiser, STEPS | scheduler)


@pytest.mark.parametrize('error', [DivergedError('lost'), WriteError('full'), KeyboardInterrupt()])
def test_what_is_not_worth_saving_or_cannot_be_is_not_saved(error):
    reported = []
    before = signal.getsignal(signal.SIGCHLD)
    try:
        SaveOnError(lambda *what: reported.append(what), lambda: pytest.fail('it was saved'))(type(error), error, None)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert reported == [(type(error), error, None)]


def test_an_error_is_reported_where_saving_fails_without_a_message():
    reported, error = [], ValueError('why the training fails')
    before = signal.getsignal(signal.SIGCHLD)

    def save():
        raise MemoryError

    try:
        SaveOnError(lambda *what: reported.append(what), save)(ValueError, error, None)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert reported == [(ValueError, error, None)]


def test_only_what_is_on_disk_is_saved_already(monkeypatch, tmp_path):
    running = run_of(18, 1)
    monkeypatch.setattr(run, '_current', running)
    path = {'models': str(tmp_path), 'training_states': str(tmp_path / 'states')}
    model = BaseModel({'num_gpu': 0, 'is_train': True, 'path': path, 'network_g': {}})
    model.optimize_parameters = lambda current_iter: None
    model.save = model.save_training_state
    running._step = StepWatch(model, 4)
    running._step.begin(5)
    model.optimize_parameters(5)
    with pytest.raises(WriteError):
        model.save(0, 5)  # there is no such folder
    (tmp_path / 'states').mkdir()
    assert running.save_what_is_sound() == 'iteration 5 is saved'
    assert (tmp_path / 'states/5.state').is_file()
    assert running.save_what_is_sound() == 'iteration 5 was saved already'


def test_a_missed_validation_that_fails_saves_nothing(monkeypatch, tmp_path):
    """It comes before the first step after resuming; the weights were once saved as those of iteration 0."""
    running = run_of(18, 1)
    monkeypatch.setattr(run, '_current', running)
    monkeypatch.setattr(signals, 'watch', lambda: None)
    model = BaseModel({'num_gpu': 0, 'is_train': True, 'path': {'training_states': str(tmp_path)}, 'network_g': {}})
    model.optimize_parameters = lambda current_iter: None
    model.validation = lambda *_: 1 / 0
    model.save = model.save_training_state
    running._opt['val'], running._val_loaders = {'save_img': False}, [None]
    running._resumed_at, running._validation_due = 4, True
    with pytest.raises(ZeroDivisionError):
        running.before_step(model, 5)
    assert running.save_what_is_sound() == 'no step was taken'
    assert not list(tmp_path.iterdir())


def test_all_processes_stay_until_the_first_has_saved(tmp_path):
    """torchrun ends the others once one has left. Two real processes over gloo; the second got a signal."""
    context = multiprocessing.get_context('fork')
    with context.Pool(2) as pool:
        left = pool.starmap(code_and_saved, [(rank, tmp_path) for rank in range(2)], chunksize=1)
    assert left == [(128 + signal.SIGTERM, True)] * 2


def code_and_saved(rank, folder):
    """How a process leaves, and whether the first one had saved by then."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    running, left = run_of(18, 1, 2), []

    def save(epoch, iteration):
        if rank == 0:
            time.sleep(0.5)
            (folder / 'saved').touch()

    signals._received = rank * signal.SIGTERM
    signals.leave = lambda code: left.append((code, (folder / 'saved').exists()))
    with pytest.raises(SystemExit):
        running.interrupted(SimpleNamespace(save=save), 5)
    torch.distributed.destroy_process_group()
    return left[0]
