"""Synthetic raw pairs of real photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from entropy_sde_plugin.data.datasets import SyntheticRawDataset
from entropy_sde_plugin.data.sample_seeds import DrawIndex
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from tests.support.pictures import write_png


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    root = tmp_path_factory.mktemp('photographs')
    for name in ('chelsea', 'coffee'):
        write_png(root / f'{name}.png', photograph(name)[:201, :301])
    return root


def dataset(root, phase='train', **options):
    crops = {'gt_size': 48} if phase == 'train' else {}
    return SyntheticRawDataset({'name': 'raw', 'phase': phase, 'dataroot_gt': str(root), **crops, **options})


def test_items_are_planes_with_their_exposure(photographs):
    item = dataset(photographs)[DrawIndex(1, epoch=3, draw=7)]
    assert item['lq'].shape == item['gt'].shape == (4, 48, 48)
    assert item['lq'].dtype == item['gt'].dtype == torch.float32
    assert 0 <= item['lq'].min() <= item['lq'].max() <= 1
    assert 20 <= item['ratio'] <= 300
    assert 0.1 <= item['gain'] <= 30
    assert item['draw'].tolist() == [3, 7]
    torch.testing.assert_close(item['matrix'].sum(1), torch.ones(3))


def test_a_draw_decides_alone(photographs):
    first, again, other = (dataset(photographs)[DrawIndex(0, epoch=0, draw=draw)] for draw in (5, 5, 6))
    assert all(torch.equal(first[key], again[key]) for key in ('lq', 'gt', 'ratio', 'gain'))
    assert not torch.equal(first['gt'], other['gt'])


def test_validation_takes_whole_photographs_the_same_every_time(photographs):
    held_out = dataset(photographs, 'val', ratio=[100, 100], noise='P+g', cameras=['SonyA7S2'], gain='per_camera')
    item, again = held_out[0], held_out[0]
    assert item['gt'].shape == (4, 100, 150)
    assert list(held_out.sizes()) == [(100, 150)] * 2
    assert torch.equal(item['lq'], again['lq'])
    assert item['ratio'] == 100
    assert 0.0939 <= item['gain'] <= 6.02


def test_the_input_is_the_truth_with_the_noise_of_its_exposure(photographs):
    held_out = dataset(photographs, 'val', ratio=[20, 20], noise='P')
    item = held_out[1]
    lq, gt, photons = item['lq'].numpy(), item['gt'].numpy(), 15583 / float(item['ratio'] * item['gain'])
    middle = (gt > 0.05) & (gt < 0.5)  # not clipped
    standardised = ((lq - gt) * np.sqrt(photons / np.maximum(gt, 1e-6)))[middle]
    assert abs(standardised.mean()) < 0.05
    assert standardised.var() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'noise': 'P+q'}, "'q' is not a noise"),
        ({'cameras': ['SonyA7S3']}, 'SonyA7S3'),
        ({'ratio': [0.5, 20]}, '1 < low'),
        ({'gain': 'released_'}, "Did you mean 'released'"),
        ({'gt_size': 101}, 'do not fit'),
    ],
)
def test_wrong_options(photographs, options, message):
    with pytest.raises(InputError, match=message):
        dataset(photographs, **options)


def test_a_path_that_cannot_be_looked_up_is_one_line():
    with pytest.raises(InputError, match=r'cannot be read \(File name too long') as caught:
        dataset('n' * 300)
    assert caught.value.option == 'dataroot_gt'


def test_photographs_in_files_are_no_database(photographs):
    with pytest.raises(InputError, match='is not an image database: it has no readable meta_info'):
        dataset(photographs, io_backend={'type': 'lmdb'})
