"""LOL and NTIRE 2024 in every layout: trees like the unpacked archives, made of the photographs.

The archives themselves cannot be fetched by a test. What stands in for them has their folders and file names.
"""

from __future__ import annotations

import numpy as np
import pytest
from basicsr.data import build_dataset

from entropy_sde_plugin.data.prepare import prepare
from entropy_sde_plugin.data.public_datasets import DATASETS
from entropy_sde_plugin.errors import InputError
from tests.support.pictures import write_png

TREES = {
    # tree: version, training folders, test folders, file names of dark and bright images
    'v1': ('v1', 'our485/low our485/high', 'eval15/low eval15/high', '{}', '{}'),
    'v1-other': ('v1', 'Train/input Train/target', 'Test/input Test/target', '{}', '{}'),
    'v2-real': (
        'v2-real',
        'Real_captured/Train/Low Real_captured/Train/Normal',
        'Real_captured/Test/Low Real_captured/Test/Normal',
        'low{:0>5}',
        'normal{:0>5}',
    ),
    'v2-synthetic': (
        'v2-synthetic',
        'Synthetic/Train/Low Synthetic/Train/Normal',
        'Synthetic/Test/Low Synthetic/Test/Normal',
        'r{:0>8}t',
        'r{:0>8}t',
    ),
    've-lol': (
        've-lol',
        'VE-LOL-L-Cap-Low_train VE-LOL-L-Cap-Normal_train',
        'VE-LOL-L-Cap-Low_test VE-LOL-L-Cap-Normal_test',
        'low{:0>5}',
        'normal{:0>5}',
    ),
}
SHORT = {'v1': 'lolv1', 'v2-real': 'lolv2_real', 'v2-synthetic': 'lolv2_syn', 've-lol': 'velol'}


@pytest.fixture(params=TREES)
def tree(request, tmp_path, bright):
    """Root of a tree, version of LOL, and the images of its two splits by number."""
    version, train, test, dark_name, bright_name = TREES[request.param]
    pictures = dict(zip(('2', '11', '101', '485'), bright.values(), strict=True))
    splits = {'train': ('2', '11', '101'), 'test': ('485',)}
    for split, folders in (('train', train), ('test', test)):
        low, high = folders.split()
        for number in splits[split]:
            write_png(tmp_path / low / f'{dark_name.format(number)}.png', 255 - pictures[number])
            write_png(tmp_path / high / f'{bright_name.format(number)}.png', pictures[number])
    return tmp_path, version, {split: [pictures[n] for n in numbers] for split, numbers in splits.items()}


def lol(root, version, phase, **options):
    options = {'gt_size': 32, **options} if phase == 'train' else options
    return build_dataset(
        {'name': 'lol', 'type': 'LOLDataset', 'version': version, 'dataroot': str(root), 'phase': phase, **options}
    )


def pictures_of(dataset, kind):
    items = (dataset[index] for index in range(len(dataset)))
    return sorted(np.rint(item[kind].numpy() * 255).astype(np.uint8).transpose(1, 2, 0).tobytes() for item in items)


def expected(pictures):
    return sorted(picture.tobytes() for picture in pictures)


def test_lol_folders_and_databases(tree):
    root, version, splits = tree
    for phase in ('val', 'test'):
        dataset = lol(root, version, phase)
        assert pictures_of(dataset, 'gt') == expected(splits['test'])
        assert pictures_of(dataset, 'lq') == expected([255 - picture for picture in splits['test']])
    assert len(lol(root, version, 'train')) == 3

    layout = DATASETS[SHORT[version]]
    prepare(layout, root, root / layout.prepared)
    folders = [lol(root, version, phase, io_backend={'type': 'disk'}) for phase in ('train', 'val')]
    databases = [lol(root, version, phase) for phase in ('train', 'val')]
    elsewhere = [lol(root / layout.prepared, version, phase) for phase in ('train', 'val')]
    for on_disk, *prepared in zip(folders, databases, elsewhere, strict=True):
        assert type(on_disk.lq) is not type(prepared[0].lq)
        for dataset in prepared:
            for kind in ('lq', 'gt'):
                assert pictures_of(dataset, kind) == pictures_of(on_disk, kind)
    assert lol(root, version, 'train')[0]['lq_path'].startswith(str(root / layout.prepared))


def test_training_pairs_belong_together(tree):
    root, version, _ = tree
    dataset = lol(root, version, 'train', resize_prob=0)
    for index in range(3):
        item = dataset[index]
        np.testing.assert_allclose(item['lq'] + item['gt'], 1, atol=1e-6)


def test_lol_versions_are_not_taken_for_each_other(tmp_path, bright):
    write_png(tmp_path / 'our485/low/1.png', bright['coffee'])
    write_png(tmp_path / 'our485/high/1.png', bright['coffee'])
    write_png(tmp_path / 'eval15/low/2.png', bright['coffee'])
    write_png(tmp_path / 'eval15/high/2.png', bright['coffee'])
    prepare(DATASETS['lolv1'], tmp_path, tmp_path / 'databases')
    assert len(lol(tmp_path / 'databases', 'v1', 'val')) == 1
    for root in (tmp_path, tmp_path / 'databases'):
        with pytest.raises(
            InputError, match=r'holds no test split of LOL-v2-real: looked for .*Real_captured/Test/Low'
        ):
            lol(root, 'v2-real', 'val')
    with pytest.raises(InputError, match=r"'datasets\.val\.version': 'v2' is not one of its values"):
        lol(tmp_path, 'v2', 'val')


@pytest.fixture
def ntire_tree(tmp_path, bright):
    pictures = list(bright.values())
    for number, picture in enumerate(pictures[:2]):
        write_png(tmp_path / f'train/input/{number}.png', 255 - picture)
        write_png(tmp_path / f'train/target/{number}.png', picture)
    write_png(tmp_path / 'val/input/7.png', 255 - pictures[2])
    write_png(tmp_path / 'test/input/8.png', (255 - pictures[3])[:-1, :-1])
    return tmp_path


def ntire(root, phase, **options):
    options = {'gt_size': 32, **options} if phase == 'train' else options
    return build_dataset(
        {'name': 'ntire', 'type': 'NTIRELowLightDataset', 'dataroot': str(root), 'phase': phase, **options}
    )


def test_ntire_inputs_without_ground_truth(ntire_tree, bright):
    prepare(DATASETS['ntire24'], ntire_tree, ntire_tree / 'ntire24_lmdb')
    for backend in ('disk', 'lmdb'):
        train, val, test = (ntire(ntire_tree, p, io_backend={'type': backend}) for p in ('train', 'val', 'test'))
        assert len(train) == 2
        assert {'lq', 'gt'} <= set(train[0])
        assert set(val[0]) == {'lq', 'lq_path', 'key', 'full_size'}
        np.testing.assert_array_equal(
            np.rint(val[0]['lq'].numpy() * 255), (255 - list(bright.values())[2]).transpose(2, 0, 1)
        )
        assert test[0]['full_size'].tolist() == [199, 239]


def test_ntire_reduced_by_two(ntire_tree, bright):
    train = ntire(ntire_tree, 'train', downscale=2, resize_prob=0)
    np.testing.assert_allclose(train[0]['lq'] + train[0]['gt'], 1, atol=1.01 / 255)
    # means of 2x2 blocks; an odd last row or column is spread over the others
    val = ntire(ntire_tree, 'val', downscale=2)[0]
    whole = 255.0 - list(bright.values())[2]
    blocks = whole.reshape(100, 2, 120, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(val['lq'].numpy() * 255, blocks, atol=0.51)
    assert val['full_size'].tolist() == [200, 240]
    assert ntire(ntire_tree, 'test', downscale=2)[0]['lq'].shape == (3, 99, 119)


def test_ntire_ground_truth_of_validation_keeps_its_size(ntire_tree, bright):
    write_png(ntire_tree / 'val/target/7.png', list(bright.values())[2])
    item = ntire(ntire_tree, 'val', downscale=2)[0]
    assert item['lq'].shape == (3, 100, 120)
    assert item['gt'].shape == (3, 200, 240)


def test_ntire_crops_are_those_of_the_reduced_images(ntire_tree):
    ntire(ntire_tree, 'train', gt_size=100, downscale=2, resize_prob=0)
    with pytest.raises(InputError, match=r'crops of 101 pixels .* have at most 100 pixels'):
        ntire(ntire_tree, 'train', gt_size=101, downscale=2, resize_prob=0)


def test_ntire_training_needs_ground_truth(tmp_path, bright):
    write_png(tmp_path / 'train/input/1.png', bright['coffee'])
    with pytest.raises(InputError, match='holds no train split of NTIRE 2024'):
        ntire(tmp_path, 'train')
