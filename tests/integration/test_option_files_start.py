"""Every option file starts under BasicSR's own command and takes a step, or scores its set.

The data sets are tiny trees in the archives' layouts, and the networks are cut down by ``--force_yml``; everything
else is as written in the file.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from entropy_sde_plugin.data.lmdb import lmdb_writer
from entropy_sde_plugin.data.raw_frame import read_frame
from entropy_sde_plugin.data.raw_lmdb import planes_writer
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.networks import ConditionalNAFNet, ExposureNAFNet, LLDiffusionNet
from tests.support.commands import ROOT
from tests.support.forks import python_m
from tests.support.pictures import write_png
from tests.support.raw_files import write_dng

FILES = sorted((ROOT / 'options').glob('*.yml'))
SMALL_NAFNET = {'width': 4, 'enc_blk_nums': [1], 'middle_blk_num': 1, 'dec_blk_nums': [1]}
SMALL_LLDIFFUSION = {'ch': 32, 'ch_mult': [1] * 6, 'num_res_blocks': 1, 'deg_ch': 32, 'enc_ch': 4}
SMALL_LLDIFFUSION |= {'fuse_mode': 'cat', 'num_deg_fusion': 3}
SMALL_NETWORKS = {
    'nafnet': SMALL_NAFNET,
    'lldiffusion': SMALL_LLDIFFUSION,
    'exposure': SMALL_NAFNET | {'type': 'ExposureNAFNet'},
}
TRAIN = [
    'train:total_iter=1',
    'datasets:train:batch_size_per_gpu=2',
    'datasets:train:num_worker_per_gpu=0',
    'datasets:train:persistent_workers=false',
    'val:val_freq=1',
    'logger:save_checkpoint_freq=1',
    'logger:use_tb_logger=false',
]


def write_pairs(folder, dark, bright, prefixes=('', ''), side=200):
    for name, photo in enumerate(('coffee', 'china')):
        image = photograph(photo)[:side, :side]
        write_png(folder / dark / f'{prefixes[0]}{name}.png', image // 8)
        write_png(folder / bright / f'{prefixes[1]}{name}.png', image)


def write_sid(root):
    """A scene of each split at the three ratios, as DNG files, and the database of long exposures."""
    bright = np.random.default_rng(0).integers(600, 16000, (80, 80))
    for scene in ('00001', '10001', '20001'):
        write_dng(root / f'long/{scene}_00_10s.dng', bright, iso=1600)
        for seconds in (0.1, 0.04, 0.033):
            dark = 512 + (bright - 512) * seconds / 10
            write_dng(root / f'short/{scene}_00_{seconds}s.dng', dark, iso=1600)
    frame = read_frame(root / 'long/00001_00_10s.dng')
    (root / 'sid_lmdb').mkdir()
    with planes_writer(root / 'sid_lmdb/sid_train_gt.lmdb') as database:
        for _ in range(2):  # a batch
            database.put(frame, frame.planes, source='00001_00_10s')


def write_eld(root):
    """A scene of each camera."""
    bright = np.random.default_rng(0).integers(600, 16000, (40, 40))
    for camera in ('SonyA7S2', 'NikonD850', 'CanonEOS70D', 'CanonEOS700D'):
        for number in (1, 4, 5, 6, 9, 10, 11, 14, 15, 16):
            ratio = {1: 1, 4: 100, 0: 200}[number % 5]
            path = root / camera / f'scene-1/IMG_{number:04d}.dng'
            write_dng(path, 512 + (bright - 512) / ratio, time=10 / ratio, iso=800)


def save_weights(network, path):
    weights = network.state_dict()
    torch.save({'params': weights, 'params_ema': weights}, path)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A working directory with the data sets, and weights to start from."""
    folder = tmp_path_factory.mktemp('files')
    data = folder / 'datasets'
    write_pairs(data / 'LOLv1/our485', 'low', 'high', side=400)  # LOL's, of which some crops show nearly all
    write_pairs(data / 'LOLv1/eval15', 'low', 'high')
    for split in ('Train', 'Test'):
        write_pairs(data / f'LOLv2/Real_captured/{split}', 'Low', 'Normal', ('low', 'normal'))
        write_pairs(data / f'LOLv2/Synthetic/{split}', 'Low', 'Normal')
    for split in ('train', 'test'):
        folders = (f'VE-LOL-L-Cap-{light}_{split}' for light in ('Low', 'Normal'))
        write_pairs(data / 'VE-LOL', *folders, ('low', 'normal'))
    for split in ('train', 'val', 'test'):
        write_pairs(data / 'NTIRE24' / split, 'input', 'target', side=400)  # read at half their size
        write_pairs(data / 'own' / split, 'low', 'high')
    write_sid(data / 'SID')
    write_eld(data / 'ELD')
    for place in (data, data / 'photographs'):
        place.mkdir(exist_ok=True)
        for name, divisor in (('train_gt', 1), ('val_gt', 1), ('val_lq', 8)):
            with lmdb_writer(place / f'{name}.lmdb') as database:
                for photo in ('coffee', 'china'):
                    database.put(photo, photograph(photo)[:200, :200] // divisor)
    save_weights(ConditionalNAFNet(**SMALL_NAFNET), folder / 'nafnet.pth')
    save_weights(LLDiffusionNet(**SMALL_LLDIFFUSION), folder / 'lldiffusion.pth')
    save_weights(ExposureNAFNet(concat_origin=True, **SMALL_NAFNET), folder / 'exposure.pth')
    return folder


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_it_starts(folder, file, real_weights):
    is_test = file.stem.startswith('test_')
    kind = next((kind for kind in SMALL_NETWORKS if kind in file.stem), 'nafnet')
    given = [
        f'network_g:{key}={value if isinstance(value, str) else json.dumps(value)}'
        for key, value in SMALL_NETWORKS[kind].items()
    ]
    given += ['num_gpu=0', *(TRAIN if not is_test else ())]
    if kind != 'exposure':  # its files leave the steps to what was trained
        given.append('sampler:steps=1')
    if kind == 'lldiffusion' and not is_test:
        given += ['datasets:train:gt_size=64', 'datasets:train:crops_per_image=2']
    if kind == 'exposure' and not is_test:
        given.append('datasets:train:gt_size=16')
    if is_test or file.stem in ('finetune_own_pairs', 'train_lolv1_small', 'distil_lowlight_small'):
        given.append(f'path:pretrain_network_g={kind}.pth')
    command = 'basicsr.test' if is_test else 'basicsr.train'
    code, out, err = python_m(
        command, '-opt', file, '--force_yml', *given, cwd=folder, TORCH_HOME=str(real_weights.parent)
    )
    assert code == 0, out + err
    # The validation set of NTIRE 2024 has no truth.
    assert 'psnr' in out + err or file.stem in ('test_ntire24', 'train_ntire24_entropy')
