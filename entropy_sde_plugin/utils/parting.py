"""How the processes of a run part: in order, before Python shuts down."""

from __future__ import annotations

import gc
import signal
import sys

import torch.distributed

from entropy_sde_plugin.utils import signals

__all__ = ['part']


def part() -> None:
    """Leave the process group; called once in every process of a run, by Python at its end.

    All of them wait for the last one and then take the group down, with its threads: one that still frees a tensor
    while Python shuts down would end the process with SIGABRT (``terminate called without an active exception``).

    A process that ends with an error, or by SIGTERM, does neither, since the others may wait in an operation that it
    will never join. It ends at once, with its workers; the others notice at their next collective operation, or are
    ended by the launcher.
    """
    if not torch.distributed.is_initialized():
        return
    error = getattr(sys, 'last_value', None)  # what Python has reported as not handled
    if error is not None:
        signals.leave(128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1)
    if code := signals.exit_code():
        signals.leave(code)
    try:
        torch.distributed.barrier()
    except RuntimeError:  # another process is gone, and has said why
        signals.leave(1)
    group = torch.distributed.group.WORLD
    torch.distributed.destroy_process_group()
    gc.collect()  # networks under DistributedDataParallel hold the group, too
    del group  # the last reference: this waits for the threads, without Python's lock, which one may need to end
