"""What a run takes up from a state whose epochs were other ones."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest
from basicsr.data.data_sampler import EnlargedSampler

from entropy_sde_plugin.atomic_file import WriteError
from entropy_sde_plugin.compat import run
from entropy_sde_plugin.compat.crash import Crash
from entropy_sde_plugin.errors import DivergedError


def run_of(pictures, batch, processes=1):
    sampler = EnlargedSampler(range(pictures), processes, 0, 1)
    opt = {'manual_seed': 1, 'val': None}
    return run.Run(opt, SimpleNamespace(sampler=sampler, batch_size=batch), [], None)


@pytest.mark.parametrize(
    ('then', 'now'),
    [
        ((18, 2), (18, 1)),  # a smaller batch: more steps in an epoch
        ((18, 1), (18, 2)),
        ((18, 1, 2), (18, 1)),  # two processes, then one
        ((18, 3), (12, 3)),
        ((18, 3), (18, 3)),
    ],
)
@pytest.mark.parametrize('iteration', [1, 5, 18, 40])
def test_the_pipeline_comes_to_its_last_iteration(then, now, iteration):
    """BasicSR goes through the epochs from the state's to ceil(total / steps of an epoch): all iterations lie in them,
    none twice."""
    before = run_of(*then)
    epoch_steps = before._sampler.total_size // before._batch
    before._epoch, before._began_at = divmod(iteration, epoch_steps)[0], iteration - iteration % epoch_steps
    state = {'iter': iteration, 'epoch': before._epoch}
    state['run'] = before.entries(SimpleNamespace(), iteration)

    resumed = run_of(*now)
    resumed.take_up(SimpleNamespace(), state)
    size, batch = resumed._sampler.total_size, resumed._batch
    epoch, drawn = resumed._sampler.drawn_before
    assert epoch == state['epoch']
    assert epoch * size + drawn == iteration * batch  # so many pictures lie behind it


@pytest.mark.parametrize('error', [DivergedError('lost'), WriteError('full'), KeyboardInterrupt()])
def test_what_is_not_worth_saving_or_cannot_be_is_not_saved(error):
    reported = []
    before = signal.getsignal(signal.SIGCHLD)
    try:
        Crash(lambda *what: reported.append(what), lambda: pytest.fail('it was saved'))(type(error), error, None)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert reported == [(type(error), error, None)]
