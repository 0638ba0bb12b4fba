"""Time of a validation by one process and by two, a thread each: the demonstration's network, sampler and images.

Both are timed in one run, in turns, and the fastest of each counts: other work only adds time. Starting the processes
is left out; loading, restoring, scoring, gathering and writing the records are in.
"""

from __future__ import annotations

import argparse
import logging
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import yaml
from torch.multiprocessing.spawn import spawn

from entropy_sde_plugin import register

register()

from basicsr.data import build_dataloader, build_dataset  # noqa: E402
from basicsr.models import build_model  # noqa: E402

from entropy_sde_plugin.demo.photographs import write_demo_databases  # noqa: E402
from entropy_sde_plugin.utils.resources import options_folder  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_demo_databases(Path(folder) / 'datasets')
        best = {1: float('inf'), 2: float('inf')}
        for _ in range(options.repeats):
            for processes in best:
                best[processes] = min(best[processes], validation(Path(folder), processes))
    print(f'1 process {best[1]:.1f} s, 2 processes {best[2]:.1f} s: {best[2] / best[1]:.2f} of the time')


def validation(folder: Path, processes: int) -> float:
    """Seconds of a validation by a number of processes, from when all of them are ready."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    spawn(validate, (folder, processes, port), processes)
    return float((folder / 'seconds').read_text())


def validate(rank: int, folder: Path, processes: int, port: int) -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    logging.getLogger('basicsr').setLevel(logging.ERROR)
    torch.distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=processes)
    opt = options(folder, rank, processes)
    torch.manual_seed(0)
    model = build_model(opt)
    dataset = build_dataset(opt['datasets']['test'])
    loader = build_dataloader(dataset, opt['datasets']['test'])
    torch.distributed.barrier()
    start = time.perf_counter()
    model.validation(loader, 'bench', None)
    torch.distributed.barrier()
    if rank == 0:
        (folder / 'seconds').write_text(str(time.perf_counter() - start))
    torch.distributed.destroy_process_group()


def options(folder: Path, rank: int, processes: int) -> dict[str, Any]:
    """``test_demo.yml`` as BasicSR's tester would read it, without weights."""
    opt = yaml.safe_load((options_folder() / 'test_demo.yml').read_text())
    opt['datasets']['test'] |= {
        'phase': 'test',
        'dataroot_lq': str(folder / 'datasets' / 'val_lq.lmdb'),
        'dataroot_gt': str(folder / 'datasets' / 'val_gt.lmdb'),
    }
    opt['path'] = {'results_root': str(folder)}
    return opt | {'is_train': False, 'dist': processes > 1, 'rank': rank, 'world_size': processes}


if __name__ == '__main__':
    main()
