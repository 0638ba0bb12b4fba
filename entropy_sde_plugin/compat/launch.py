"""Fixes for the start: command line, devices, folders, seeds."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import basicsr.utils.misc
import basicsr.utils.options
import torch
import torch.distributed
import yaml

from entropy_sde_plugin.compat.patching import is_ours, replace
from entropy_sde_plugin.compat.pipeline import patch_pipeline
from entropy_sde_plugin.compat.processes import check_launcher
from entropy_sde_plugin.data.options import files_replaced
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.locations import one_line_errors
from entropy_sde_plugin.options.overrides import overriding_loader
from entropy_sde_plugin.options.run_options import RunOptions
from entropy_sde_plugin.options.yaml_loader import OptionLoader
from entropy_sde_plugin.utils import signals, streams
from entropy_sde_plugin.utils.atomic_file import WriteError
from entropy_sde_plugin.utils.devices import accelerator
from entropy_sde_plugin.utils.distributed import gather, on_first_process, warn
from entropy_sde_plugin.utils.folder_lock import lock_folder
from entropy_sde_plugin.utils.launchers import usage_told_once
from entropy_sde_plugin.utils.paths import is_utf8, regular
from entropy_sde_plugin.utils.reporting import report_input_errors

__all__ = ['patch_make_exp_dirs', 'patch_ordered_yaml', 'patch_parse_options', 'silence_runpy_warning']

Options = dict[str, Any]

# --- option files -----------------------------------------------------------------------------------------------------


def patch_ordered_yaml() -> None:
    """Read option files without executing anything in them.

    P+M options.py:12. Symptom: the loader obeys ``!!python/object/apply:os.system``.
    """
    original = basicsr.utils.options.ordered_yaml
    if not issubclass(original()[0], yaml.constructor.FullConstructor):  # which knows !!python, as its heirs do
        return

    def ordered_yaml() -> tuple[type, type]:
        return OptionLoader, original()[1]

    replace(original, ordered_yaml)


# --- parse_options ----------------------------------------------------------------------------------------------------


def patch_parse_options() -> None:
    """Wrap ``parse_options``: every run of the stock pipelines passes it before anything is loaded.

    Defects in it, and in what follows it, are fixed by the functions below, one each; the options of this package are
    checked here, and bad input ends the run in one line.
    """
    original = basicsr.utils.options.parse_options
    if is_ours(original):
        return

    def parse_options(root_path: str, is_train: bool = True) -> tuple[RunOptions, Any]:
        from entropy_sde_plugin.options import check as option_check
        from entropy_sde_plugin.training import preflight

        streams.secure()
        report_input_errors()
        if not is_train:  # a training saves its state first: `signals.watch`
            signals.exit_on_sigterm()
        report_failing_log_once()
        patch_pipeline(sys._getframe(1).f_globals)
        with underscore_local_rank(), one_line_errors(), overriding_loader() as overrides:
            check_option_file()
            with usage_told_once():
                opt, args = original(str(Path.cwd()), is_train)
        if not opt['dist']:
            check_launcher()
        args.force_yml = overrides or None
        opt['root_path'] = str(Path.cwd())
        agree_on_options(opt)
        share_seed(opt)
        seed_datasets(opt)

        def check() -> None:
            with opt.locations.in_errors():
                opt.checked = option_check.check(opt)
                opt.weights = preflight.check(opt, opt.checked)
                opt.teacher = preflight.read_teacher(opt, opt.checked)

        gather(check)
        keep_to_one_run(opt)
        basicsr.utils.misc.set_random_seed(opt['manual_seed'] + opt['rank'])
        fill_in_defaults(opt)
        keep_workers(opt)
        fall_back_to_cpu(opt)
        fall_back_to_no_tensorboard(opt)
        return opt, args

    replace(original, parse_options)


@contextmanager
def underscore_local_rank() -> Iterator[None]:
    """Accept ``--local-rank=1``, which ``torch.distributed.launch`` passes since torch 2.0, as ``--local_rank=1``.

    P options.py:88, M :105. Symptom: ``unrecognized arguments: --local-rank=1``.
    """
    given = sys.argv
    sys.argv = [re.sub(r'^--local-rank(?==|$)', '--local_rank', argument) for argument in given]
    try:
        yield
    finally:
        sys.argv = given


def check_option_file() -> None:
    """Refuse an option file that is a pipe before BasicSR opens it, and reads it a second time to copy it.

    P+M options.py:103. Symptom: a named pipe is waited for, without a word; the copy of ``<(…)`` is empty.

    Raises:
        OSError: It is no file, or not there.
    """
    parser = argparse.ArgumentParser(add_help=False, usage=argparse.SUPPRESS)
    parser.add_argument('-opt', type=Path, nargs='?')  # without a value, BasicSR's own error
    known, _ = parser.parse_known_args()
    if known.opt is not None:
        regular(known.opt)


def agree_on_options(opt: Options) -> None:
    """Reject processes that read different options, such as those of two machines with a file of their own.

    Where files lie, and how many GPUs there are, may differ between machines.

    Raises:
        InputError: They differ.
    """
    own = {'rank', 'num_gpu', 'manual_seed', 'root_path', 'path'}
    shared = {key: value for key, value in opt.items() if key not in own}
    shared['datasets'] = {
        name: files_replaced(section, lambda _: 'a file of the machine') for name, section in opt['datasets'].items()
    }
    sections = {key: repr(value) for key, value in shared.items()}
    first, *others = gather(lambda: sections)
    for rank, other in enumerate(others, 1):
        if different := sorted(key for key in first.keys() | other.keys() if first.get(key) != other.get(key)):
            raise InputError(
                f'Processes 0 and {rank} read different options (in {", ".join(different)}): give all the same '
                'option file and arguments.'
            )


def share_seed(opt: Options) -> None:
    """Give every process the same ``manual_seed``.

    P+M options.py:109: without a ``manual_seed`` every process draws its own, and BasicSR seeds before ``--force_yml``
    is read. Symptom: draws that processes should share differ; ``--force_yml manual_seed=1`` changes nothing.
    """
    opt['manual_seed'] = on_first_process(lambda: opt['manual_seed'])


def seed_datasets(opt: Options) -> None:
    """Seed the data sets from ``manual_seed`` where they have no seed of their own."""
    for dataset in opt['datasets'].values():
        dataset.setdefault('seed', opt['manual_seed'])


def keep_to_one_run(opt: Options) -> None:
    """Lock the folder of the run, before anything in it is renamed, read to resume from, or made.

    P+M misc.py:31. Symptom: a second training of one name renames the folder of the first, which then saves into that
    of the second; ``--auto_resume`` takes the wrong states.
    """
    folder = Path(opt['path']['experiments_root' if opt['is_train'] else 'results_root'])
    on_first_process(lambda: lock_folder(folder))


def fill_in_defaults(opt: Options) -> None:
    """Add the options that the pipelines read without asking whether they are there.

    P+M logger.py:77 reads ``logger.use_tb_logger``, sr_model.py ``val.suffix`` and ``val.save_img``. Symptom:
    ``KeyError: 'use_tb_logger'``.
    """
    if opt.get('logger') is not None:
        opt['logger'].setdefault('use_tb_logger', False)
    if opt.get('val') is not None:
        opt['val'].setdefault('save_img', False)
        opt['val'].setdefault('suffix', None)


def keep_workers(opt: Options) -> None:
    """Keep the workers of the training set from one epoch to the next, unless the options say otherwise.

    P+M data/__init__.py:90 and dist_util.py:11, which lets several processes start their workers by ``spawn``. Symptom:
    every epoch begins with 10 to 20 seconds of imports.
    """
    for dataset in opt['datasets'].values():
        if dataset['phase'] == 'train':
            dataset.setdefault('persistent_workers', dataset.get('num_worker_per_gpu', 0) > 0)


def fall_back_to_cpu(opt: Options) -> None:
    """Train on the CPU where there is no CUDA device.

    P+M base_model.py:18, prefetch_dataloader.py:98. Symptom: ``Found no NVIDIA driver on your system`` from
    ``num_gpu: 1`` and from ``prefetch_mode: cuda``.
    """
    if torch.cuda.is_available():
        return
    if opt['num_gpu'] != 0:
        other = accelerator()
        unused = '' if other is None else f', and training serves no {other.type} device'
        warn(f'num_gpu: {opt["num_gpu"]}, but there is no CUDA device here{unused}: running on the CPU (num_gpu: 0).')
        opt['num_gpu'] = 0
    for phase, dataset in opt['datasets'].items():
        if dataset.get('prefetch_mode') == 'cuda':
            warn(f"datasets.{phase}.prefetch_mode: 'cuda' needs a CUDA device: running without prefetching.")
            dataset['prefetch_mode'] = None


def fall_back_to_no_tensorboard(opt: Options) -> None:
    """Run without TensorBoard where it cannot run.

    P+M logger.py:112. Symptoms: ``No module named 'tensorboard'`` after the experiment's folder was made; in a folder
    whose name is not UTF-8, ``UnicodeEncodeError: … surrogates not allowed``.
    """
    logger = opt.get('logger') or {}
    if not logger.get('use_tb_logger'):
        return
    fault = ''
    if importlib.util.find_spec('tensorboard') is None:
        fault = 'TensorBoard is not installed: running without (pip install tensorboard)'
    elif not is_utf8(folder := f'{opt["root_path"]}/tb_logger/{opt["name"]}'):
        fault = f"TensorBoard cannot write to '{folder}', whose name is not UTF-8: running without"
    if fault:
        warn(f'logger.use_tb_logger: {fault}.')
        logger['use_tb_logger'] = False


def silence_runpy_warning() -> None:
    """Keep quiet about a command that its own package imports.

    P+M ``__init__``.py:9. Symptom: ``python -m basicsr.train`` begins, in every process and worker, with a warning that
    ``basicsr.train`` was found in ``sys.modules`` and might behave unpredictably, which it does not.
    """
    message = r"'basicsr\.(train|test)' found in sys\.modules"
    warnings.filterwarnings('ignore', message=message, category=RuntimeWarning)


def report_failing_log_once() -> None:
    """Report in one line, once for a log file, that it cannot be written; the run continues.

    P+M logger.py:164, whose ``FileHandler`` reports as Python's does. Symptom: on a full disk each line of the log
    brings ``--- Logging error ---`` and a traceback.
    """
    reported: set[str] = set()

    def handle_error(self: logging.FileHandler, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            logging.Handler.handleError(self, record)
        elif self.baseFilename not in reported:
            reported.add(self.baseFilename)
            warn(f"the log '{self.baseFilename}' cannot be written ({error.strerror}): lines will be missing from it.")

    logging.FileHandler.handleError = handle_error


# --- folders ----------------------------------------------------------------------------------------------------------

RUN_FOLDERS = {'experiments_root', 'results_root', 'models', 'training_states', 'log', 'visualization'}


def patch_make_exp_dirs() -> None:
    """Make the folders of a run, and no others.

    P+M misc.py:39. Symptom: every other key under ``path:`` becomes a folder, so that ``path: {weights: a.pth}`` leaves
    a folder ``a.pth``, and an empty one ends in ``TypeError``; a full disk, in a traceback.
    """
    original = basicsr.utils.misc.make_exp_dirs
    if is_ours(original):
        return

    def make_exp_dirs(opt: Options) -> None:
        try:
            original({**opt, 'path': {key: folder for key, folder in opt['path'].items() if key in RUN_FOLDERS}})
        except OSError as error:
            # An earlier run's folder is renamed first, and then it is the new name that is in the way.
            folder = error.filename2 or error.filename
            raise WriteError(f"The folder '{folder}' could not be created: {error.strerror}.") from error

    replace(original, make_exp_dirs)
