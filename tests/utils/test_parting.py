"""Two real processes over gloo, at their end."""

import multiprocessing
import os
import sys
import time

import pytest
import torch

from entropy_sde_plugin.utils.parting import part

FORK = multiprocessing.get_context('fork')


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
    processes = [FORK.Process(target=end, args=(rank, tmp_path, error)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == codes


def test_one_process_alone_has_nobody_to_part_from():
    part()
