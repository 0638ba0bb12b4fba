"""A training as srun starts it: two real processes over gloo, and a stand-in for ``scontrol``."""

import contextlib
import os
import re
import socket
import stat
import subprocess
import sys

import pytest
import torch

from tests.support.commands import TIMEOUT, stock_options, write_options, write_pairs

# The first host is where the processes meet; only the list that SLURM gives is answered.
SCONTROL = """#!/bin/sh
[ "$*" = "show hostnames node[1-2]" ] && printf 'localhost\\nnode2\\n'
"""
SET_BY_LAUNCHERS = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


@pytest.mark.skipif(torch.cuda.is_available(), reason='shows what happens without a GPU')
def test_two_tasks_on_two_nodes_train_together(tmp_path):
    scontrol = tmp_path / 'bin' / 'scontrol'
    scontrol.parent.mkdir()
    scontrol.write_text(SCONTROL)
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    with socket.create_server(('localhost', 0)) as server:
        port = server.getsockname()[1]
    opt = stock_options('slurm', write_pairs(tmp_path, ['astronaut', 'coffee', 'china', 'life']))
    opt |= {'num_gpu': 0, 'dist_params': {'port': port}}
    opt['train']['total_iter'] = 2
    opt['logger']['use_tb_logger'] = False
    del opt['val'], opt['datasets']['val']
    environment = {name: value for name, value in os.environ.items() if name not in SET_BY_LAUNCHERS}
    environment |= {'PATH': f'{scontrol.parent}:{os.environ["PATH"]}', 'OMP_NUM_THREADS': '1', 'PYTHONPATH': ''}
    environment |= {'SLURM_NTASKS': '2', 'SLURM_LOCALID': '0', 'SLURM_NODELIST': 'node[1-2]'}
    arguments = ['-m', 'basicsr.train', '-opt', str(write_options(tmp_path, opt)), '--launcher', 'slurm']
    with contextlib.ExitStack() as stack:
        tasks = []
        for rank in range(2):
            task = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=tmp_path,
                env=environment | {'SLURM_PROCID': str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            tasks.append(stack.enter_context(task))
            stack.callback(task.kill)
        outputs = [task.communicate(timeout=TIMEOUT)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], outputs
    assert re.search(r'world_size: 2\b', outputs[0])
    assert 'End of training' in outputs[0]
    assert 'INFO' not in outputs[1]  # the second task leaves the log, and the files, to the first
    assert (tmp_path / 'experiments' / 'slurm' / 'models' / 'net_g_latest.pth').exists()
