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
from torch.distributed.rendezvous import rendezvous

from entropy_sde_plugin.compat.patching import mentions
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.launchers import started_processes
from entropy_sde_plugin.utils.parting import part

__all__ = ['check_launcher', 'patch_init_dist']

MEETING = timedelta(minutes=10)
"""How long the first process is waited for."""


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
    try:
        store, rank, size = next(rendezvous('env://', timeout=MEETING))
        torch.distributed.init_process_group(backend=backend, store=store, rank=rank, world_size=size, **kwargs)
    except (RuntimeError, ValueError) as error:
        place, reason = (os.environ.get(f'MASTER_{key}', '') for key in ('ADDR', 'PORT')), str(error).splitlines()[0]
        raise InputError(
            f"The processes of this run cannot meet at '{':'.join(place)}' ({reason}): check the address, or choose "
            'another port (MASTER_PORT; under SLURM dist_params.port).'
        ) from None
    atexit.register(part)


def init_dist_slurm(backend: str, port: int | None = None) -> None:
    """Join the processes that srun started, the first node's host being the meeting point."""
    if 'SLURM_PROCID' not in os.environ:
        raise InputError('--launcher slurm is for processes that srun starts.')
    command = ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']]
    hosts = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    os.environ['MASTER_ADDR'] = hosts[0]
    if port is not None:
        os.environ['MASTER_PORT'] = str(port)
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ['SLURM_LOCALID']
    init_dist_pytorch(backend)
