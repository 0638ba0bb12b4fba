"""Fixes for the training pipeline itself: functions in the globals of ``basicsr.train``, or of the ``__main__`` that
runs it."""

from __future__ import annotations

import logging
from typing import Any

from entropy_sde_plugin.checkpoints.resume import load_resume_state
from entropy_sde_plugin.compat.patching import is_ours, mentions
from entropy_sde_plugin.options.run_options import RunOptions
from entropy_sde_plugin.training import run

__all__ = ['patch_pipeline']


def patch_pipeline(namespace: dict[str, Any]) -> None:
    """Find a state to resume from, and begin a :class:`~entropy_sde_plugin.training.run.Run` once there are loaders.

    P+M train.py:91. The pipeline holds its loaders and TensorBoard's writer in local variables, and a training needs
    them to resume exactly where it was.

    Args:
        namespace: Globals of a pipeline; those of ``basicsr.test`` are left alone.
    """
    patch_load_resume_state(namespace)
    make_loaders, make_writer = (namespace.get(name) for name in ('create_train_val_dataloader', 'init_tb_loggers'))
    if make_loaders is None or make_writer is None or is_ours(make_loaders):
        return
    tb_logger = None

    def init_tb_loggers(opt: dict[str, Any]) -> Any:
        nonlocal tb_logger
        tb_logger = make_writer(opt)
        return tb_logger

    def create_train_val_dataloader(opt: RunOptions, logger: Any) -> Any:
        made = make_loaders(opt, logger)
        if opt.checked is not None and opt.checked.model is not None:
            logger.addFilter(is_true_of_our_models)
        train_loader, _, val_loaders, *_ = made
        run.begin(run.Run(opt, train_loader, val_loaders, tb_logger))
        return made

    namespace |= {'init_tb_loggers': init_tb_loggers, 'create_train_val_dataloader': create_train_val_dataloader}


def is_true_of_our_models(record: logging.LogRecord) -> bool:
    """Return whether a line of the log is true of this package's models.

    P+M train.py:186. Symptom: with ``val`` and ``val_2`` every validation begins with a warning that several sets are
    only for SRModel.
    """
    return not record.getMessage().startswith('Multiple validation datasets are *only* supported by SRModel')


def patch_load_resume_state(namespace: dict[str, Any]) -> None:
    """Replace ``load_resume_state`` in the globals of a pipeline.

    P+M train.py:71–85. Symptoms: any resume without CUDA fails in ``torch.cuda.current_device()``; ``--auto_resume``
    looks in ``./experiments`` whatever the experiment's folder is, finds nothing, starts at 0 and archives the old run;
    a state cut off by a kill ends in ``PytorchStreamReader failed reading zip archive``.

    Args:
        namespace: Globals of ``basicsr.train`` or of the ``__main__`` that runs it.
    """
    original = namespace.get('load_resume_state')
    if original is not None and mentions(original, 'current_device'):
        namespace['load_resume_state'] = load_resume_state
