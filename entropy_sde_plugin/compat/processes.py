"""Fixes for starting several processes, and for their end."""

from __future__ import annotations

import atexit
import os
import subprocess
from datetime import timedelta
from typing import Any

import basicsr.utils.dist_util
import torch
import torch.distributed

from entropy_sde_plugin.compat.patching import mentions
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.distributed import meet
from entropy_sde_plugin.utils.launchers import started_processes
from entropy_sde_plugin.utils.parting import part

__all__ = ['check_launcher', 'patch_init_dist']


def check_launcher() -> None:
    """Reject processes that were started together without ``--launcher``: each would train alone.

    P+M options.py:98, for a run without ``--launcher``. Symptom: two trainings in one folder, one of which renames
    the other's.

    Raises:
        InputError: torchrun or srun started several processes.
    """
    for starter, variables, launcher in (
        ('torchrun', ('RANK', 'WORLD_SIZE'), 'pytorch'),
        ('srun', ('SLURM_STEP_ID', 'SLURM_STEP_NUM_TASKS'), 'slurm'),
    ):
        if (count := started_processes(*variables)) > 1:
            raise InputError(
                f'{starter} started {count} processes, which would each run alone: add --launcher {launcher}.'
            )


def patch_init_dist() -> None:
    """Start several processes: without CUDA over gloo, with CUDA each on the device of its local rank.

    P+M dist_util.py:24, :43. Symptoms: ``ZeroDivisionError: integer modulo by zero`` on a CPU machine; a run whose work
    is all done sometimes ends with ``terminate called without an active exception`` (SIGABRT), since nothing takes the
    process group down before Python itself is.
    """
    module = basicsr.utils.dist_util
    if not mentions(module._init_dist_pytorch, 'is_available'):
        module._init_dist_pytorch = init_dist_pytorch
    if not mentions(module._init_dist_slurm, 'is_available'):
        module._init_dist_slurm = init_dist_slurm


def init_dist_pytorch(backend: str, **kwargs: Any) -> None:
    """Join the processes that torchrun started."""
    if 'RANK' not in os.environ:
        raise InputError('--launcher pytorch is for processes that torchrun starts: torchrun --nproc_per_node=2 -m …')
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']) % torch.cuda.device_count())
    else:
        backend = 'gloo'
    # The others wait while one process validates, which a diffusion makes longer than the default of ten minutes.
    kwargs.setdefault('timeout', timedelta(days=1))
    meet(backend, **kwargs)
    atexit.register(part)


def init_dist_slurm(backend: str, port: int | None = None) -> None:
    """Join the processes that srun started, the first node's host being the meeting point."""
    names = ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID', 'SLURM_NODELIST')
    if missing := [name for name in names if name not in os.environ]:
        raise InputError(f'--launcher slurm is for processes that srun starts: {missing[0]} is not set.')
    os.environ['MASTER_ADDR'] = first_host(os.environ['SLURM_NODELIST'])
    if port is not None:
        os.environ['MASTER_PORT'] = str(port)
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ['SLURM_LOCALID']
    init_dist_pytorch(backend)


def first_host(nodes: str) -> str:
    """Return the first host of a list as SLURM writes it, such as ``node[1-4]``."""
    command = ['scontrol', 'show', 'hostnames', nodes]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        fault = 'it names none'
    except (OSError, subprocess.CalledProcessError) as error:
        listed, fault = [], str(error)
    if not listed:
        raise InputError(f"--launcher slurm: '{' '.join(command)}' does not tell where the processes meet ({fault}).")
    return listed[0]
