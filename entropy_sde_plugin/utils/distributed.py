"""Collective operations of the processes of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch.distributed
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from entropy_sde_plugin.errors import DivergedError, InputError, OtherProcessError, first_line, printable
from entropy_sde_plugin.utils.launchers import rank_and_size
from entropy_sde_plugin.utils.signals import InterruptionError

__all__ = [
    'gather',
    'greatest',
    'is_lost_peer',
    'meet',
    'on_first_process',
    'process_info',
    'warn',
]

MEETING = timedelta(minutes=10)
"""How long the first process is waited for."""

Result = TypeVar('Result')


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error says that another process has left a collective operation: it has ended."""
    return isinstance(error, RuntimeError) and (
        isinstance(error, torch.distributed.DistError) or 'gloo/transport' in str(error)
    )


def meet(backend: str, **settings: Any) -> None:
    """Join the processes of a run, which a launcher has told where they meet.

    Args:
        backend, settings: As of ``torch.distributed.init_process_group``.

    Raises:
        InputError: The meeting point is invalid or cannot be reached, or the processes expect different numbers of
            processes.
    """
    rank_and_size()
    try:
        store, rank, size = next(rendezvous('env://', timeout=MEETING))
        _agree_on_number(store, rank, size)
        torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size, **settings)
    except (RuntimeError, ValueError) as error:
        place, reason = (os.environ.get(f'MASTER_{key}', '') for key in ('ADDR', 'PORT')), first_line(error)
        raise InputError(
            f"The processes of this run cannot meet at '{':'.join(place)}' ({reason}): check the address, or choose "
            'another port (MASTER_PORT; under SLURM dist_params.port).'
        ) from None


def _agree_on_number(store: Store, rank: int, size: int) -> None:
    """Check that all processes expect the same number of them: otherwise some would wait for others that never come."""
    store.set(f'processes_of_rank/{rank}', str(size))
    for other in range(size):
        if (others := int(store.get(f'processes_of_rank/{other}'))) != size:
            raise InputError(
                f'Process {rank} expects {size} processes and process {other} expects {others}: '
                'start all with the same number (WORLD_SIZE, which torchrun sets).'
            )


def process_info() -> tuple[int, int]:
    """Return this process's rank and the number of processes; (0, 1) for a single process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def warn(message: str) -> None:
    """Print a warning in the first process; for use before the log exists."""
    if process_info()[0] == 0:
        print(f'warning: {printable(message)}', file=sys.stderr, flush=True)


def gather(work: Callable[[], Result]) -> list[Result]:
    """Call ``work`` in every process and return all results in every process, in the order of the ranks.

    Every process of the run must call this; the results must be picklable. If ``work`` fails in one process, the call
    fails in all of them, so that none waits for ever. A single process just calls ``work``.

    Raises:
        InputError: ``work`` raised it in some process.
        InterruptionError: Some process was asked to stop.
        OtherProcessError: ``work`` failed otherwise in another process. The one that failed raises its own error.
    """
    rank, world_size = process_info()
    if world_size == 1:
        return [work()]
    result: Result | None = None
    error: Exception | None = None
    try:
        result = work()
    except Exception as caught:
        error = caught
    outcomes: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(outcomes, (result, _report(rank, error)))
    if error is not None:
        raise error
    for _, report in outcomes:
        if report is not None:
            raise report
    return [made for made, _ in outcomes]


def on_first_process(work: Callable[[], Result]) -> Result:
    """Call ``work`` in the first process and return its result in all of them; errors as in ``gather``."""
    return cast(Result, gather(lambda: work() if process_info()[0] == 0 else None)[0])


def greatest(value: int) -> int:
    """Return the greatest of the processes' values; every process of the run must call this."""
    if process_info()[1] == 1:
        return value
    device = 'cuda' if torch.distributed.get_backend() == 'nccl' else 'cpu'
    shared = torch.tensor(value, device=device)
    torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
    return int(shared)


def _report(rank: int, error: Exception | None) -> Exception | None:
    """Return the error that the other processes raise. Only these classes are sure to be picklable."""
    if error is None:
        return None
    if isinstance(error, InputError):
        kind = DivergedError if isinstance(error, DivergedError) else InputError
        return kind([f'Process {rank}: {fault}' for fault in error.faults])
    if isinstance(error, InterruptionError):
        return InterruptionError(str(error))
    return OtherProcessError(f'Process {rank} failed: {type(error).__name__}: {error}')
