"""A training in BasicSR's pipeline: what it needs to resume besides its model, and what happens between two steps.

Its entries in a training state: :class:`~entropy_sde_plugin.checkpoints.training_state.RunEntries`.
"""

from __future__ import annotations

import atexit
import signal
import sys
from typing import Any

import torch.distributed
from basicsr.utils import get_root_logger

from entropy_sde_plugin.training import resumed_options
from entropy_sde_plugin.training.save_on_error import SaveOnError, StepWatch
from entropy_sde_plugin.utils import random_state, signals
from entropy_sde_plugin.utils.distributed import gather, greatest, process_info

__all__ = ['Run', 'begin', 'current']

_current: Run | None = None


def begin(run: Run) -> None:
    """Make this the process's run, which the patches of BasicSR's models use, until Python ends."""
    global _current
    _current = run
    sys.excepthook = SaveOnError(sys.excepthook, _save_what_is_sound)
    atexit.register(_end)


def _save_what_is_sound() -> str:
    return 'the run has ended' if _current is None else _current.save_what_is_sound()


def _end() -> None:
    """Let go of the run, whose model would keep the process group alive when the processes part."""
    global _current
    _current = None


def current() -> Run | None:
    """Return the process's run; None if a model is used without the pipeline."""
    return _current


class Run:
    """One training, from its loaders on.

    Args:
        opt: The pipeline's options.
        train_loader: Its sampler is an ``EnlargedSampler``.
        val_loaders: Those of the validation sets.
        tb_logger: TensorBoard's writer, on the first process, or None.
    """

    def __init__(self, opt: dict[str, Any], train_loader: Any, val_loaders: list[Any], tb_logger: Any) -> None:
        self._opt = opt
        self._sampler = train_loader.sampler
        self._batch = train_loader.batch_size * self._sampler.num_replicas
        self._epoch_steps = self._sampler.total_size // self._batch
        self._train_options = resumed_options.settings(opt['train'])
        self._val_loaders = val_loaders
        self._tb_logger = tb_logger
        # The present epoch, its first iteration, and how much of it an earlier run drew.
        self._epoch = self._began_at = self._drawn_before = 0
        self._resumed_at = 0
        self._validation_due = False
        self._between_steps = False
        self._step: StepWatch | None = None
        self._saved: tuple[int, bool] | None = None
        self._alone = False

    def before_step(self, model: Any, current_iter: int) -> None:
        """Called between two steps, in every process: everything that belongs to the finished iteration is done.

        Catch up on a validation that the previous run missed. Stop if a signal was received.

        Args:
            model: The model in training; its learning rate is still that of the finished iteration.
            current_iter: The iteration that is about to begin.

        Raises:
            SystemExit: A signal was received.
        """
        finished = current_iter - 1
        if self._step is None:
            signals.watch()
            self._step = StepWatch(model, finished)
        if self._sampler.epoch != self._epoch:
            self._epoch, self._began_at, self._drawn_before = self._sampler.epoch, finished, 0
        if self._validation_due:
            self._validate(model, finished)
        self._between_steps = True
        self._stop_if_asked(model, finished)
        self._between_steps = False
        self._step.begin(current_iter)

    def interrupted(self, model: Any, iteration: int) -> None:
        """Stop in the middle of a validation, in every process.

        Raises:
            SystemExit: With 128 and the signal's number.
        """
        self._stop_if_asked(model, iteration)

    def entries(self, model: Any, iteration: int) -> dict[str, Any]:
        """Return the run's entries of a state after an iteration; called in every process."""
        return {
            'manual_seed': self._opt['manual_seed'],
            'epoch_size': self._sampler.total_size,
            'batch': self._batch,
            'train_options': self._train_options,
            'drawn': self._drawn_before + (iteration - self._began_at) * self._batch,
            'generators': [random_state.get_state()] if self._alone else gather(random_state.get_state),
            'best_metric_results': _plain(getattr(model, 'best_metric_results', {})),
            'validation_due': self._due(iteration),
        }

    def note_saved(self, iteration: int) -> None:
        """Record that the state of an iteration, with its ``entries``, is on disk; called in every process."""
        self._saved = iteration, self._due(iteration)

    def compare(self, state: dict[str, Any]) -> None:
        """Compare the options with the state; called before any of it is loaded.

        Raises:
            InputError: The optimiser or the scheduler is of another type.
        """
        saved = state.get('run', {}).get('train_options', self._train_options)
        checked = getattr(self._opt, 'checked', None)
        struct = None if checked is None or checked.train is None else type(checked.train)
        self._train_options = resumed_options.compare(saved, self._train_options, struct)

    def restore(self, model: Any, state: dict[str, Any]) -> None:
        """Continue from the ``entries`` of a state, and correct its ``epoch``, from which the pipeline continues.

        With a state of plain BasicSR, which has no entries, the epoch starts again.
        """
        self._resumed_at = self._began_at = state['iter']
        self._epoch = state['epoch']
        entries = state.get('run')
        if entries is None:
            get_root_logger().warning(
                'The training state holds no data order, random generators or best metrics: BasicSR saved it without '
                'this plugin. The epoch starts again.'
            )
            # Its epochs may have had another length: the remaining ones must cover all iterations.
            state['epoch'] = self._epoch = min(state['epoch'], state['iter'] // self._epoch_steps)
            return
        self._restore_epoch(state, entries)
        self._restore_best(model, entries['best_metric_results'])
        self._restore_generators(entries['generators'])
        self._validation_due = entries['validation_due'] and self._due(state['iter'])

    def save_what_is_sound(self) -> str:
        """Save the last complete iteration, in this process only; return one line that says what was done."""
        if self._step is None:
            return 'no step was taken'
        iteration = self._step.rewind()
        if iteration is None:
            return 'the weights were being updated'
        if iteration == self._resumed_at:
            return 'no step was taken'
        if self._saved is not None and self._saved[0] == iteration:
            return f'iteration {iteration} was saved already'
        if not self._step.weights_are_finite():
            return f'the weights of iteration {iteration} are not finite'
        self._alone = True
        self._step.model.save(self._epoch, iteration)
        return f'iteration {iteration} is saved'

    def _stop_if_asked(self, model: Any, iteration: int) -> None:
        number = greatest(signals.received())
        if not number:
            return
        name = signal.Signals(number).name
        logger = get_root_logger()
        if iteration > self._resumed_at and self._saved != (iteration, self._due(iteration)):
            logger.info(f'{name}: saving models and training state of iteration {iteration}.')
            model.save(self._epoch, iteration)
        logger.info(f'{name}: the training stops after iteration {iteration}; --auto_resume continues it.')
        if self._tb_logger:
            self._tb_logger.close()
        if process_info()[1] > 1:
            torch.distributed.barrier()  # the first process has saved: torchrun ends the others as soon as one exits
            signals.leave(128 + number)
        raise SystemExit(128 + number)

    def _due(self, iteration: int) -> bool:
        """Return whether a validation of the iteration is still to come, or came after the current save."""
        val = self._opt.get('val')
        return not self._between_steps and val is not None and iteration % val['val_freq'] == 0

    def _validate(self, model: Any, iteration: int) -> None:
        self._validation_due = False
        get_root_logger().info(f'Validating iteration {iteration} now: its state was saved before the validation.')
        for loader in self._val_loaders:
            model.validation(loader, iteration, self._tb_logger, self._opt['val']['save_img'])

    def _restore_epoch(self, state: dict[str, Any], entries: dict[str, Any]) -> None:
        size, drawn = self._sampler.total_size, entries['drawn']
        saved = entries['epoch_size'], entries['batch']
        if saved != (size, self._batch):
            # The pipeline counts epochs in present steps; with the state's epoch it could end too early.
            self._epoch, iterations = divmod(state['iter'], self._epoch_steps)
            drawn = iterations * self._batch
            get_root_logger().warning(
                f'An epoch of the run to resume had {saved[0]} draws in steps of {saved[1]}; here it has {size} in '
                f'steps of {self._batch}. The order of the data cannot be restored: it continues as if all earlier '
                'iterations had been run with the present settings.'
            )
        elif drawn > size - self._batch:
            self._epoch, drawn = self._epoch + 1, 0
        get_root_logger().info(f'Epoch {self._epoch} continues after {drawn} of its {size} draws.')
        state['epoch'] = self._epoch
        self._drawn_before = drawn
        self._sampler.drawn_before = self._epoch, drawn

    def _restore_best(self, model: Any, best: dict[str, Any]) -> None:
        if not (self._opt.get('val') or {}).get('metrics'):
            return
        for dataset, metrics in best.items():
            model._initialize_best_metric_results(dataset)
            record = model.best_metric_results[dataset]
            record |= {name: dict(entry) for name, entry in metrics.items() if name in record}

    def _restore_generators(self, states: list[dict[str, Any]]) -> None:
        rank, world_size = process_info()
        if rank < len(states):
            random_state.set_state(states[rank])
        if world_size > len(states):
            get_root_logger().warning(
                f'The training state holds the random generators of {len(states)} of {world_size} processes: the '
                'others start with new ones.'
            )
        elif world_size < len(states):
            get_root_logger().warning(
                f'The training state holds the random generators of {len(states)} processes: those beyond the '
                f'{world_size} of this run are ignored.'
            )


def _plain(best: dict[str, Any]) -> dict[str, Any]:
    """Return best metrics without NumPy scalars, which cannot be loaded from a state."""
    return {
        dataset: {
            name: {'better': entry['better'], 'val': float(entry['val']), 'iter': int(entry['iter'])}
            for name, entry in metrics.items()
        }
        for dataset, metrics in best.items()
    }
