"""Two real processes over gloo, at their end."""

import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from entropy_sde_plugin.utils.parting import part

FORK = multiprocessing.get_context('fork')


def run(target, *arguments):
    """Call it in two processes, with their ranks; return the exit codes."""
    processes = [FORK.Process(target=target, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def end(rank, folder, error):
    """The first works longest; the second may end with an error."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    if rank == 0:
        time.sleep(1)
        (folder / 'done').touch()
    elif error is not None:
        sys.last_value = error  # as Python does with what nobody handles
    part()
    saw_the_work_done = (folder / 'done').exists()
    os._exit(0 if saw_the_work_done and not torch.distributed.is_initialized() else 7)


@pytest.mark.parametrize(
    ('error', 'codes'), [(None, [0, 0]), (ValueError('wrong'), [1, 1]), (KeyboardInterrupt(), [1, 130])]
)
def test_the_last_to_finish_is_waited_for_and_an_error_waits_for_nobody(tmp_path, error, codes):
    assert run(end, tmp_path, error) == codes


def train_and_end(rank, folder):
    """A network that the process group's last user, a cycle of references, keeps."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    network = DistributedDataParallel(torch.nn.Linear(2, 1))
    network(torch.ones(1, 2)).sum().backward()
    network.itself = [network]
    del network
    part()
    threads = [path.read_text() for path in Path('/proc/self/task').glob('*/comm')]
    os._exit(any('gloo' in name for name in threads))


@pytest.mark.skipif(sys.platform != 'linux', reason='lists its native threads by /proc')
def test_the_threads_of_the_process_group_end_before_python_does(tmp_path):
    assert run(train_and_end, tmp_path) == [0, 0]


def test_one_process_alone_has_nobody_to_part_from():
    part()
