"""Run many small trainings of two processes on a busy machine, and count how they end.

    python scripts/tools/stress_endings.py --runs 100

Every run is BasicSR's training under torchrun: a network of width 8, six iterations, one thread in each process, loader
workers and a thread that reads ahead, a validation that both share. Every second run is followed by a test of its
weights. Meanwhile as many processes as the machine has cores keep it busy (``--load``). All commands should end with
exit code 0: the exit code of this script is 1 where one does not, and its last lines are shown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.utils.resources import options_folder

NETWORK = {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}
TORCHRUN = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', '-m']
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1'}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=100, help='trainings (default: 100)')
    parser.add_argument('--load', type=int, default=os.cpu_count(), help='busy processes (default: one a core)')
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, busy(arguments.load):
        commands = write_options(Path(folder))
        for number in range(arguments.runs):
            for command in commands if number % 2 else commands[:1]:
                counts[f'{command[0]}: exit code {run(command, Path(folder))}'] += 1
            print(f'run {number + 1}:', ', '.join(f'{end}, {count} times' for end, count in counts.items()), flush=True)
    return int(any(not end.endswith(' 0') for end in counts))


def write_options(folder: Path) -> list[list[str]]:
    """Write the option files of a training and of a test of its weights; return their commands."""
    write_demo_databases(folder / 'datasets')
    opt = yaml.safe_load((options_folder() / 'demo.yml').read_text())
    (folder / 'one.txt').write_text('rocket_3\n')
    opt |= {'name': 'ending', 'network_g': NETWORK}
    opt['train'] |= {'total_iter': 6, 'warmup_iter': -1}
    loader = {'gt_size': 32, 'batch_size_per_gpu': 1, 'num_worker_per_gpu': 1, 'prefetch_mode': 'cpu'}
    opt['datasets']['train'] |= loader
    opt['val'] |= {'val_freq': 6, 'save_img': False}
    test = {key: opt[key] for key in opt if key not in ('train', 'logger')}
    test['path'] = {'pretrain_network_g': 'experiments/ending/models/net_g_latest.pth'}
    test['datasets'] = {'test': opt['datasets']['val']}
    return [command(folder, 'train', opt), command(folder, 'test', test)]


def command(folder: Path, kind: str, opt: dict[str, Any]) -> list[str]:
    """Write an option file; return what follows torchrun's own arguments."""
    (folder / f'{kind}.yml').write_text(yaml.safe_dump(opt))
    return [f'basicsr.{kind}', '-opt', f'{kind}.yml', '--launcher', 'pytorch']


def run(command: Sequence[str], folder: Path) -> int:
    """Run a command; show the end of what it printed unless it ended well."""
    done = subprocess.run([*TORCHRUN, *command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        print(*(done.stdout + done.stderr).splitlines()[-30:], sep='\n', flush=True)
    return done.returncode


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep cores busy during the block."""
    endless = [sys.executable, '-c', 'while True: pass']
    load = [subprocess.Popen(endless) for _ in range(processes)]
    try:
        yield
    finally:
        for process in load:
            process.kill()
            process.wait()


if __name__ == '__main__':
    sys.exit(main())
