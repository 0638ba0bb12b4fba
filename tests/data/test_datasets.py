"""Datasets of pairs and of photographs darkened while training."""

from __future__ import annotations

import itertools
import pickle
import re

import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from torch.utils.data import DataLoader

from entropy_sde_plugin.data.datasets.paired import PairedLowLightDataset
from entropy_sde_plugin.data.datasets.synthetic import SyntheticLowLightDataset
from entropy_sde_plugin.data.sample_seeds import DrawIndex
from entropy_sde_plugin.errors import InputError
from tests.support.pictures import write_png
from tests.support.pipes import pipe


def paired(root, phase='train', backend='.lmdb', **options):
    options = {'gt_size': 64, **options} if phase == 'train' else options
    roots = {'dataroot_lq': str(root / f'lq{backend}'), 'dataroot_gt': str(root / f'gt{backend}')}
    return {'name': 'pairs', 'type': 'PairedLowLightDataset', 'phase': phase, 'scale': 1, **roots, **options}


def synthetic(root, phase='train', **options):
    options = {'gt_size': 64, **options} if phase == 'train' else options
    base = {'name': 'dark', 'type': 'SyntheticLowLightDataset', 'phase': phase, 'scale': 1}
    return {**base, 'dataroot_gt': str(root / 'gt.lmdb'), **options}


def levels(tensor):
    """A tensor in [0, 1] as 8-bit levels (H, W, 3)."""
    return np.rint(tensor.numpy() * 255).astype(int).transpose(1, 2, 0)


def assert_same(items, others):
    for item, other in zip(items, others, strict=True):
        assert item.keys() == other.keys()
        for key, value in item.items():
            assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]


# --- items ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('backend', ['.lmdb', ''])
def test_validation_gives_whole_pictures(pairs, bright, backend):
    dataset = build_dataset(paired(pairs, 'val', backend))
    assert isinstance(dataset, PairedLowLightDataset)
    assert len(dataset) == 4
    for index, name in enumerate(sorted(bright)):
        item = dataset[index]
        assert set(item) == {'lq', 'gt', 'lq_path', 'gt_path', 'key'}
        assert item['key'] == name
        for kind, picture in (('gt', bright[name]), ('lq', 255 - bright[name])):
            assert item[kind].dtype == torch.float32
            assert item[kind].is_contiguous()
            expected = torch.from_numpy(picture.transpose(2, 0, 1).copy()) / 255
            assert torch.equal(item[kind], expected)
            assert item[f'{kind}_path'] == str(pairs / f'{kind}{backend}' / name) + ('' if backend else '.png')


def test_inputs_without_ground_truth(pairs):
    opt = paired(pairs, 'test')
    del opt['dataroot_gt']
    item = PairedLowLightDataset(opt)[0]
    assert set(item) == {'lq', 'lq_path', 'key'}


def test_training_crops_stay_aligned(pairs, bright):
    dataset = PairedLowLightDataset(paired(pairs, resize_prob=0))
    for draw in range(100):
        item = dataset[DrawIndex(draw % 4, epoch=0, draw=draw)]
        assert item['gt'].shape == item['lq'].shape == (3, 64, 64)
        assert item['lq'].is_contiguous()
        assert item['draw'].tolist() == [0, draw]
        np.testing.assert_array_equal(levels(item['lq']), 255 - levels(item['gt']))


@pytest.mark.parametrize('make', [paired, synthetic])
def test_several_crops_of_an_image(pairs, make):
    """The first is that of a dataset of single crops; each has a place of its own, the same in both images."""
    one, three = (build_dataset(make(pairs, seed=11, crops_per_image=crops)) for crops in (1, 3))
    index = DrawIndex(1, epoch=2, draw=5)
    crop, crops = one[index], three[index]
    assert crops['gt'].shape == crops['lq'].shape == (3, 3, 64, 64)
    assert crops['draw'].tolist() == crop['draw'].tolist()
    for kind in ('lq', 'gt'):
        assert torch.equal(crops[kind][0], crop[kind])
    assert len({bright.sum().item() for bright in crops['gt']}) == 3
    if make is paired:
        for dark, bright in zip(crops['lq'], crops['gt'], strict=True):
            np.testing.assert_array_less(np.abs(255 - levels(dark) - levels(bright)), 2)


@pytest.fixture
def ramps(tmp_path):
    """Pairs whose red tells the row and green the column."""
    row, column = np.mgrid[0:120, 0:200]
    ramp = np.stack([row, column, 0 * row], -1).astype(np.uint8)
    write_png(tmp_path / 'gt' / 'ramp.png', ramp)
    write_png(tmp_path / 'lq' / 'ramp.png', 255 - ramp)
    return tmp_path


def test_one_sample_in_five_is_resized_before_the_crop(ramps):
    dataset = PairedLowLightDataset(paired(ramps, backend='', use_rot=False, use_hflip=False))
    steps = []
    for draw in range(1000):
        item = dataset[DrawIndex(0, epoch=0, draw=draw)]
        picture, negative = levels(item['gt']), levels(item['lq'])
        assert np.abs(255 - negative - picture).max() <= 1
        span = [picture[-1, 0, 0] - picture[0, 0, 0], picture[0, -1, 1] - picture[0, 0, 1]]
        assert span[0] == pytest.approx(span[1], abs=1)
        steps.append(span[0] / 63)
    resized = np.array(steps) > 1.1
    np.testing.assert_allclose(np.array(steps)[resized], 1 / 0.8, rtol=0.02)
    np.testing.assert_allclose(np.array(steps)[~resized], 1)
    assert resized.mean() == pytest.approx(0.2, abs=0.05)  # standard error 0.013


def test_names_by_template_and_meta_info_file(tmp_path, bright):
    for name in ('a', 'b', 'c'):
        write_png(tmp_path / 'gt' / f'{name}.png', bright['coffee'])
        write_png(tmp_path / 'lq' / f'{name}_low.png', bright['coffee'])
    listed = 'c.png (200,240,3)\na.png (200,240,3)\n'
    (tmp_path / 'meta.txt').write_text(listed, encoding='utf-8-sig')  # with a byte order mark, as Notepad saves it
    opt = paired(tmp_path, 'val', '', filename_tmpl='{}_low', meta_info_file=str(tmp_path / 'meta.txt'))
    dataset = PairedLowLightDataset(opt)
    assert [dataset[i]['lq_path'] for i in range(2)] == [str(tmp_path / 'lq' / f'{n}_low.png') for n in 'ca']
    assert len(dataset) == 2


@pytest.mark.parametrize(
    ('line', 'listed'),
    [
        ('my photo.png', 'my photo'),
        ('my photo.png (24,32,3) 1', 'my photo'),
        ('photo (1).png', 'photo (1)'),
        ('a.b', 'a.b'),
        ('a.b.png', 'a.b'),
        ('./photo', 'photo'),
        ('photo.png 0.5', 'photo'),
        ('photo.jpg', 'photo'),
    ],
)
def test_names_with_spaces_and_dots_are_listed_as_they_are(tmp_path, bright, line, listed):
    for name in ('photo', 'my', 'my photo', 'photo (1)', 'a', 'a.b'):
        for kind in ('gt', 'lq'):
            write_png(tmp_path / kind / f'{name}.png', bright['coffee'][:24, :32])
    (tmp_path / 'meta.txt').write_text(f'{line}\n')
    dataset = PairedLowLightDataset(paired(tmp_path, 'val', '', meta_info_file=str(tmp_path / 'meta.txt')))
    assert [pair.gt for pair in dataset.pairs] == [listed]


@pytest.mark.parametrize('line', ['nowhere.png', 'photo (2).png', '.', '/', '# a comment'])
def test_a_listed_name_without_an_image_is_an_error_of_the_list(tmp_path, bright, line):
    for kind in ('gt', 'lq'):
        write_png(tmp_path / kind / 'photo.png', bright['coffee'][:24, :32])
    (tmp_path / 'meta.txt').write_text(f'photo.png\n{line}\n')
    with pytest.raises(InputError) as caught:
        build_dataset(paired(tmp_path, 'val', '', meta_info_file=str(tmp_path / 'meta.txt')))
    place = f"meta_info_file '{tmp_path}/meta.txt', line 2"
    assert str(caught.value) == f"{place}: there is no image '{line}' in {tmp_path}/gt."
    assert caught.value.option == 'meta_info_file'


def test_a_pipe_in_the_place_of_a_list_of_names_is_not_waited_for(pairs, tmp_path):
    names = tmp_path / 'names.txt'
    names.touch()
    pipe(names)
    with pytest.raises(InputError, match=r"names\.txt' cannot be read \(it is a pipe, not a file\)\.$") as caught:
        build_dataset(paired(pairs) | {'meta_info_file': str(names)})
    assert caught.value.option.endswith('meta_info_file')


@pytest.mark.parametrize(
    ('text', 'encoding', 'message'),
    [
        ('coffee.png\n', 'utf-16', 'is UTF-16 or no text: save it as UTF-8'),
        ('coffee.png\ncoffee.png\n', 'utf-8', "names 'coffee' 2 times"),
    ],
)
def test_lists_of_names_that_are_refused(pairs, tmp_path, text, encoding, message):
    names = tmp_path / 'names.txt'
    names.write_text(text, encoding=encoding)
    with pytest.raises(InputError, match=re.escape(f"meta_info_file '{names}' {message}.")):
        build_dataset(paired(pairs) | {'meta_info_file': str(names)})


def test_names_that_differ_by_a_prefix_on_each_side(tmp_path, bright):
    """As in LOL-v2-real, also in subfolders."""
    for folder in ('', 'a/'):
        write_png(tmp_path / 'gt' / f'{folder}normal1.png', bright['coffee'])
        write_png(tmp_path / 'lq' / f'{folder}low1.png', bright['coffee'])
    opt = paired(tmp_path, 'val', '', filename_tmpl='low{}', filename_tmpl_gt='normal{}')
    assert PairedLowLightDataset(opt).pairs == (('a/low1', 'a/normal1'), ('low1', 'normal1'))
    with pytest.raises(InputError, match=r"filename_tmpl and filename_tmpl_gt say how: 'low\{\}' and 'normal\{\}'"):
        PairedLowLightDataset(paired(tmp_path, 'val', ''))
    write_png(tmp_path / 'gt' / '2.png', bright['coffee'])
    with pytest.raises(InputError, match=r"^\S*gt/2\.png: the name does not have the form 'normal\{\}'\.$"):
        PairedLowLightDataset(opt)


def test_darkened_crops_are_those_of_the_low_light_model(pairs):
    """Undoing exposure and gamma recovers the bright crop up to noise whose size the model tells."""
    dataset = SyntheticLowLightDataset(
        synthetic(pairs, exposure=[0.1, 0.1], random_scale_prob=0, full_well=[1500, 1500])
    )
    residuals = []
    for draw in range(40):
        item = dataset[DrawIndex(draw % 4, epoch=0, draw=draw)]
        bright_electrons = item['gt'].double() ** 2.2 * 0.1 * 1500
        seen = item['lq'].double() ** 2.2 * 1500
        clear = bright_electrons > 30  # of both ends
        residuals.append(((seen - bright_electrons) / (bright_electrons + 9).sqrt())[clear])
    residual = torch.cat(residuals)
    assert residual.mean().abs() < 0.02
    assert residual.std() == pytest.approx(1, abs=0.03)


def test_exposure_spans_its_range(pairs):
    dataset = SyntheticLowLightDataset(synthetic(pairs, exposure=[0.03, 0.2]))
    ratios = []
    for draw in range(300):
        item = dataset[DrawIndex(draw % 4, epoch=0, draw=draw)]
        ratios.append(float((item['lq'].double() ** 2.2).mean() / (item['gt'].double() ** 2.2).mean()))
    assert 0.027 < min(ratios) < 0.035
    assert 0.18 < max(ratios) < 0.22
    assert np.median(ratios) == pytest.approx(np.sqrt(0.03 * 0.2), rel=0.15)


@pytest.mark.parametrize(
    ('name', 'limits', 'rule'),
    [
        ('exposure', [0, 0.2], r'0 < low <= high <= 1'),
        ('exposure', [0.1, 1.2], r'0 < low <= high <= 1'),
        ('full_well', [0, 100], r'0 < low <= high, but is \[0\.0, 100\.0\]'),
        ('read_noise', [-1, 3], r'0 <= low <= high,'),
        ('tone_gamma', [2.4, 2.0], r'0 < low <= high,'),
        ('black_level', [-0.1, 0.2], r'0 <= low <= high,'),
        ('smoothing', [0, 1], r'0 < low <= high,'),
        ('jpeg_quality', [90, 80], r'low <= high,'),
    ],
)
def test_ranges_are_checked(pairs, name, limits, rule):
    with pytest.raises(InputError, match=rf"'{name}' must be \[low, high\] with {rule}"):
        SyntheticLowLightDataset(synthetic(pairs) | {name: limits})


def test_scales_of_the_crops(ramps):
    opt = synthetic(ramps, use_rot=False, use_hflip=False) | {'dataroot_gt': str(ramps / 'gt')}
    dataset = SyntheticLowLightDataset(opt)
    sides = []
    for draw in range(600):
        picture = levels(dataset[DrawIndex(0, epoch=0, draw=draw)]['gt'])
        sides.append((picture[-1, 0, 0] - picture[0, 0, 0]) / 63 * 64)
    plain = np.isclose(sides, 64, atol=0.6).mean()
    assert plain == pytest.approx(0.2 + 0.8 / 57, abs=0.06)  # one in five, and one of the 57 random sides
    assert max(sides) == pytest.approx(120, abs=2)


def test_validation_darkens_the_same_way_every_time(pairs, bright):
    dataset = SyntheticLowLightDataset(synthetic(pairs, 'val', seed=3))
    first, again = ([dataset[i] for i in range(4)] for _ in range(2))
    assert_same(first, again)
    assert first[0]['lq'].shape == (3, 200, 240)
    np.testing.assert_array_equal(levels(first[0]['gt']), bright['chelsea'])


def test_cached_images_are_the_same_and_stay_behind(pairs):
    for make, opt in ((PairedLowLightDataset, paired(pairs)), (SyntheticLowLightDataset, synthetic(pairs))):
        plain, cached = make(opt), make(opt | {'cache': True})
        before = len(pickle.dumps(cached))
        for _ in range(2):
            assert_same([plain[i] for i in range(4)], [cached[i] for i in range(4)])
        assert len(pickle.dumps(cached)) == before


# --- draws ------------------------------------------------------------------------------------------------------------


def loaded(dataset, epochs=(0,), workers=0, method=None, ranks=1, ratio=3):
    """Items of BasicSR's sampler over the epochs, keyed by epoch and draw."""
    items = {}
    for rank in range(ranks):
        sampler = EnlargedSampler(dataset, ranks, rank, ratio)
        loader = DataLoader(
            dataset, batch_size=None, sampler=sampler, num_workers=workers, multiprocessing_context=method
        )
        for epoch in epochs:
            sampler.set_epoch(epoch)
            for item in loader:
                key = tuple(item['draw'].tolist())
                assert key not in items
                items[key] = item
    return items


@pytest.fixture(scope='module', params=[paired, synthetic])
def dataset(request, pairs):
    return build_dataset(request.param(pairs, seed=11))


@pytest.mark.parametrize(('workers', 'method'), [(1, 'fork'), (2, 'fork')])
def test_forked_workers_draw_the_same(dataset, workers, method):
    alone = loaded(dataset)
    shared = loaded(dataset, workers=workers, method=method)
    assert_same(alone.values(), shared.values())


def test_spawned_workers_draw_the_same(pairs):
    dataset = build_dataset(synthetic(pairs, seed=11))
    assert_same(loaded(dataset).values(), loaded(dataset, workers=2, method='spawn').values())


def test_two_processes_cover_the_samples_of_one(dataset):
    one, two = loaded(dataset), loaded(dataset, ranks=2)
    assert one.keys() == two.keys()
    assert_same([one[key] for key in one], [two[key] for key in one])


def test_epochs_and_repeats_differ_and_come_again(dataset):
    items = loaded(dataset, epochs=(0, 1, 2))
    assert len(items) == 3 * 12
    for one, other in itertools.combinations(items.values(), 2):
        assert one['lq'].shape == other['lq'].shape
        assert not torch.equal(one['lq'], other['lq'])
    again = loaded(dataset, epochs=(2,))
    assert_same([items[key] for key in again], again.values())


def test_the_seed_decides(pairs):
    first, other = (PairedLowLightDataset(paired(pairs, seed=seed))[0] for seed in (1, 2))
    assert not torch.equal(first['gt'], other['gt'])


def test_models_of_basicsr_find_the_name(dataset):
    assert dataset.opt['name'] in ('pairs', 'dark')


def test_training_and_validation_share_a_database_under_basicsrs_loaders(pairs):
    train_opt = paired(pairs, batch_size_per_gpu=2, num_worker_per_gpu=1)
    train_opt['dataroot_lq'] = train_opt['dataroot_gt']
    val_opt = paired(pairs, 'val')
    train, val = build_dataset(train_opt), build_dataset(val_opt)
    train_loader = build_dataloader(train, train_opt, num_gpu=0, sampler=EnlargedSampler(train, 1, 0, 1), seed=0)
    val_loader = build_dataloader(val, val_opt)
    for _ in range(2):
        assert sum(len(batch['lq']) for batch in train_loader) == 4
        assert sum(len(batch['lq']) for batch in val_loader) == 4


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'gt_sise': 64}, "Unknown option 'datasets.train.gt_sise'. Did you mean 'gt_size'?"),
        ({'gt_size': None}, "'gt_size', the side of the training crops in pixels, is missing"),
        ({'gt_size': 0}, "'datasets.train.gt_size': expected a whole number >= 1"),
        ({'resize_prob': 1.5}, "'datasets.train.resize_prob': expected a number <= 1"),
        ({'resize_factor': 1.2}, "'datasets.train.resize_factor': expected a number <= 1"),
        ({'scale': 2}, "'datasets.train.scale': 2 is not one of its values"),
        ({'filename_tmpl': 'low'}, "'filename_tmpl' must contain {} once"),
        ({'filename_tmpl_gt': '{}{}'}, "'filename_tmpl_gt' must contain {} once"),
        ({'dataroot_gt': None}, "'dataroot_gt', the folder or database of the bright images, is missing"),
        ({'dataroot_gt': 'nowhere'}, "'nowhere' is not a folder"),
        ({'dataroot_gt': 'nowhere.lmdb'}, "'nowhere.lmdb' is not an image database"),
        ({'io_backend': {'type': 'memcached'}}, "'datasets.train.io_backend.type': 'memcached' is not one of"),
        ({'meta_info_file': 'nowhere.txt'}, "meta_info_file 'nowhere.txt' cannot be read"),
        ({'seed': -1}, "'datasets.train.seed': expected a whole number >= 0"),
        ({'mean': [0.5, 0.5, 0.5]}, "Unknown option 'datasets.train.mean'"),
    ],
)
def test_bad_options(pairs, change, words):
    with pytest.raises(InputError) as caught:
        build_dataset(paired(pairs) | change)
    assert words in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('exposure', [[0, 0.1], [0.2, 0.1], [0.5, 1.5], [0.1], 0.1])
def test_bad_exposure(pairs, exposure):
    with pytest.raises(InputError, match='exposure'):
        build_dataset(synthetic(pairs, exposure=exposure))


def test_missing_root_is_named(pairs):
    opt = synthetic(pairs)
    del opt['dataroot_gt']
    with pytest.raises(InputError, match=r"'datasets\.train\.dataroot_gt' is missing"):
        build_dataset(opt)


@pytest.mark.parametrize('backend', ['.lmdb', ''])
def test_crops_that_do_not_fit_name_the_images(pairs, backend):
    build_dataset(paired(pairs, backend=backend, gt_size=160))  # 160/0.8 = 200, the short side
    build_dataset(paired(pairs, backend=backend, gt_size=200, resize_prob=0))
    with pytest.raises(InputError) as caught:
        build_dataset(paired(pairs, backend=backend, gt_size=161))
    assert str(caught.value).startswith(f'{pairs}/lq{backend}: crops of 202 pixels')
    assert 'into any of its 4 images, whose short sides have at most 200 pixels' in str(caught.value)
    with pytest.raises(InputError, match='crops of 201 pixels'):
        build_dataset(synthetic(pairs, gt_size=201))


@pytest.mark.parametrize(
    ('name', 'option', 'others'),
    [
        ('PairedLowLightDataset', 'dataroot_gt', {'dataroot_lq': 'lq'}),
        ('PairedLowLightDataset', 'dataroot_lq', {}),
        ('SyntheticLowLightDataset', 'dataroot_gt', {}),
        ('LOLDataset', 'dataroot', {'version': 'v1'}),
        ('NTIRELowLightDataset', 'dataroot', {}),
    ],
)
def test_an_empty_path_is_not_the_working_directory(name, option, others):
    with pytest.raises(InputError, match=f"'{option}' is empty: name a folder or a database") as caught:
        build_dataset({'name': 'a', 'type': name, 'phase': 'val', option: '', **others})
    assert caught.value.option.endswith(option)
