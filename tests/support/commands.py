"""BasicSR's commands in processes of their own, on small options and real photographs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from entropy_sde_plugin.demo.photographs import photograph
from tests.support.pictures import write_png

ROOT = Path(__file__).parents[2]
TIMEOUT = 240  # seconds, for a machine with other things to do
TORCHRUN = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2')


def python(*arguments, cwd, **environment):
    """Run this Python; return exit code, standard output and standard error.

    ``PYTHONPATH`` is emptied unless given: an installed plugin is found without it.
    """
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': '', **environment}
    command = [sys.executable, *map(str, arguments)]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    with subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **pipes) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # torchrun's children too
            raise
    return process.returncode, out, err


def write_pairs(folder, names, size=48):
    """Write corners of real photographs to ``gt/`` and a third of their values to ``lq/``."""
    for name in names:
        image = photograph(name)[:size, :size]
        write_png(folder / 'gt' / f'{name}.png', image)
        write_png(folder / 'lq' / f'{name}.png', image // 3)
    return folder


def stock_options(name, pairs, **sections):
    """Options of BasicSR's own model and dataset, written for a machine with a GPU."""
    folders = {'dataroot_gt': str(pairs / 'gt'), 'dataroot_lq': str(pairs / 'lq'), 'io_backend': {'type': 'disk'}}
    train = {'gt_size': 16, 'use_hflip': True, 'use_rot': True, 'num_worker_per_gpu': 0, 'batch_size_per_gpu': 2}
    network = {'type': 'SRVGGNetCompact', 'num_feat': 4, 'num_conv': 1, 'upscale': 1, 'act_type': 'prelu'}
    return {
        'name': name,
        'model_type': 'SRModel',
        'scale': 1,
        'num_gpu': 1,
        'manual_seed': 0,
        'datasets': {
            'train': {'name': 'pairs', 'type': 'PairedImageDataset', **folders, **train},
            'val': {'name': 'pairs', 'type': 'PairedImageDataset', **folders},
        },
        'network_g': network,
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': {
            'optim_g': {'type': 'AdamW', 'lr': '2e-4', 'betas': [0.9, 0.99]},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [100], 'gamma': 0.5},
            'total_iter': 4,
            'ema_decay': 0.9,
            'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
        },
        'val': {'val_freq': 2, 'save_img': True, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 2, 'use_tb_logger': True},
    } | sections


def options_for_testing(opt, name, weights):
    """Options of a test run with the weights and the validation set of a training's options."""
    network = {'pretrain_network_g': str(weights), 'strict_load_g': True}
    kept = {key: opt[key] for key in opt if key not in ('train', 'logger', 'path', 'datasets')}
    return kept | {'name': name, 'datasets': {'test': opt['datasets']['val']}, 'path': network}


def write_options(folder, opt):
    """Write an option file and return its path."""
    path = Path(folder) / f'{opt["name"]}.yml'
    path.write_text(yaml.safe_dump(opt))
    return path
