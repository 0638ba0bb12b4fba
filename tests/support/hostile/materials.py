"""Sound inputs, made of the package's photographs once: what cases damage."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import yaml

from entropy_sde_plugin.data.lmdb import lmdb_writer
from entropy_sde_plugin.demo.photographs import TRAIN, photograph

NAMES = TRAIN[:4]
SIDE = 40
FORMATS = {'png': 'PNG', 'jpg': 'JPEG', 'tif': 'TIFF', 'webp': 'WEBP', 'bmp': 'BMP', 'avif': 'AVIF'}

NETWORK = {'type': 'ConditionalNAFNet', 'width': 4, 'enc_blk_nums': [1], 'middle_blk_num': 1, 'dec_blk_nums': [1]}


@cache
def picture(name: str) -> np.ndarray:
    """A corner of a photograph, (SIDE, SIDE, 3), uint8."""
    return photograph(name)[:SIDE, :SIDE]


@cache
def encoded(name: str, suffix: str) -> bytes:
    """A corner of a photograph as a file."""
    return encode(picture(name), suffix)


def encode(array: np.ndarray, suffix: str, **options: Any) -> bytes:
    """An array as a file, by Pillow."""
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, FORMATS[suffix], **options)
    return file.getvalue()


def write_folders(place: Path) -> None:
    """Pairs in ``lq/`` and ``gt/``."""
    for name in NAMES:
        for folder, values in (('gt', picture(name)), ('lq', picture(name) // 4)):
            (place / folder).mkdir(exist_ok=True)
            (place / folder / f'{name}.png').write_bytes(encode(values, 'png'))


def write_databases(place: Path) -> None:
    """The same pairs in ``lq.lmdb`` and ``gt.lmdb``."""
    with lmdb_writer(place / 'lq.lmdb') as lq, lmdb_writer(place / 'gt.lmdb') as gt:
        for name in NAMES:
            gt.put(name, picture(name))
            lq.put(name, picture(name) // 4)


@cache
def checkpoint() -> bytes:
    """A checkpoint of a small network as BasicSR saves it, with its settings."""
    import torch

    file = io.BytesIO()
    torch.save({'params': network().state_dict(), 'entropy_sde': SETTINGS}, file)
    return file.getvalue()


@cache
def network() -> Any:
    """The small network."""
    from tests.support.networks import random_network

    return random_network(width=4, enc_blk_nums=[1], dec_blk_nums=[1])


SETTINGS = {'sde': {'max_sigma': 50.0, 'T': 4, 'schedule': 'cosine', 'eps': 0.005}, 'prediction': 'x0'}


def training(suffix: str = '') -> dict[str, Any]:
    """Options of a training of two iterations on ``lq`` and ``gt`` with a suffix such as ``'.lmdb'``."""
    roots = {'dataroot_lq': f'lq{suffix}', 'dataroot_gt': f'gt{suffix}'}
    loader = {'batch_size_per_gpu': len(NAMES), 'num_worker_per_gpu': 0}
    return {
        'name': 'run',
        'model_type': 'IRSDEModel',
        'num_gpu': 0,
        'manual_seed': 0,
        'sde': dict(SETTINGS['sde']),
        'prediction': 'x0',
        'sampler': {'type': 'posterior', 'steps': 2},
        'datasets': {
            'train': {
                'name': 'pairs', 'type': 'PairedLowLightDataset', **roots, 'gt_size': 16, 'resize_prob': 0, **loader,
            },
            'val': {'name': 'pairs', 'type': 'PairedLowLightDataset', **roots},
        },
        'network_g': dict(NETWORK),
        'path': {'pretrain_network_g': None, 'strict_load_g': True},
        'train': {
            'optim_g': {'type': 'Adam', 'lr': 1e-3, 'betas': [0.9, 0.99]},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [100]},
            'total_iter': 2,
            'ema_decay': 0.5,
            'grad_clip_norm': 1.0,
            'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
            'entropy_opt': {'type': 'SpatialEntropyLoss', 'levels': 8, 'windows': [1, 3], 'loss_weight': 0.1},
        },
        'val': {'val_freq': 100, 'save_img': False, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 100, 'use_tb_logger': False},
    }  # fmt: skip


def testing() -> dict[str, Any]:
    """Options of a test with ``weights.pth``."""
    opt = training()
    kept = {key: opt[key] for key in opt if key not in ('train', 'logger', 'datasets')}
    val = {'metrics': opt['val']['metrics']}
    return kept | {
        'datasets': {'test': opt['datasets']['val']},
        'path': {'pretrain_network_g': 'weights.pth'},
        'val': val,
    }


def write_options(place: Path, opt: dict[str, Any]) -> str:
    """Write ``opt.yml`` and return its name."""
    (place / 'opt.yml').write_text(yaml.safe_dump(opt, sort_keys=False), encoding='utf-8')
    return 'opt.yml'
