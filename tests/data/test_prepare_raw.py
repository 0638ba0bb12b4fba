"""SID and ELD, made by script with DNG in place of the cameras' files, prepared and read by the data sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from entropy_sde_plugin import cli
from entropy_sde_plugin.data import raw_frame
from entropy_sde_plugin.data.datasets import ELDDataset, SIDDataset, SyntheticRawDataset
from entropy_sde_plugin.data.raw_lmdb import PlanesReader
from entropy_sde_plugin.data.raw_packing import pack_bayer
from entropy_sde_plugin.errors import InputError
from tests.support.raw_files import write_dng

SIDES = (2 * 520, 2 * 1030)  # two patches
RGGB = np.array([[0, 1], [3, 2]])


def noise(seed, sides, white=16383):
    return np.random.default_rng(seed).integers(500, white, sides, dtype=np.uint16)


@pytest.fixture(scope='module')
def mosaics():
    return {'long': noise(0, SIDES), 'short': noise(1, SIDES, 700)}


def write_sid(root, mosaics):
    """A training scene with two short exposures, one of them a second take, and a test scene."""
    for name, kind in (
        ('short/00001_00_0.1s', 'short'),
        ('short/00001_01_0.1s', 'short'),
        ('long/00001_00_10s', 'long'),
        ('short/10003_00_0.04s', 'short'),
        ('long/10003_00_10s', 'long'),
    ):
        write_dng(root / f'{name}.dng', mosaics[kind], iso=1600)
    return root


@pytest.fixture
def sid(tmp_path, mosaics):
    return write_sid(tmp_path / 'SID', mosaics)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory, mosaics):
    root = write_sid(tmp_path_factory.mktemp('raw') / 'SID', mosaics)
    assert prepare('sid', root, '-q') == 0
    return root


@pytest.fixture
def eld(tmp_path):
    for scene in range(1, 11):
        for number in (1, 4, 5, 6, 9, 10, 11, 14, 15, 16):
            time = 10 if number % 5 == 1 else 0.1 if number % 5 == 4 else 0.05
            path = tmp_path / 'ELD/NikonD850' / f'scene-{scene}/IMG_{number:04d}.dng'
            write_dng(path, noise(number, (32, 40), 700), time=time, iso=800)
    return tmp_path / 'ELD'


def prepare(*arguments):
    return cli.main(['prepare', *map(str, arguments)])


def training(root, kind=SIDDataset, **options):
    return kind({'name': 'SID', 'phase': 'train', 'dataroot': str(root), 'gt_size': 64, **options})


def test_sids_training_patches(sid, mosaics, capsys):
    assert prepare('sid', sid) == 0
    assert capsys.readouterr().out.splitlines() == [
        'train: 1 pairs (the published split has 280)',
        'val: 0 pairs (the published split has 36), checked; they are read from the files',
        'test: 1 pairs (the published split has 93), checked; they are read from the files',
        f'Written to {sid}/sid_lmdb; option files find it by "dataroot: {sid}".',
    ]
    shorts, longs = (PlanesReader(sid / 'sid_lmdb' / f'sid_train_{kind}.lmdb') for kind in ('lq', 'gt'))
    assert [longs.size(name) for name in longs.names] == [(512, 512)] * 2
    planes = pack_bayer(mosaics['long'], RGGB, [512] * 4, 16383)[:, 4:516]
    for name, left in zip(longs.names, (3, 515), strict=True):
        np.testing.assert_allclose(longs.frame(name).planes[:, :, :], planes[:, :, left : left + 512], atol=1 / 65535)
    assert [shorts.frame(name).record.truth for name in shorts.names] == list(longs.names)
    bright = (100 * pack_bayer(mosaics['short'], RGGB, [512] * 4, 16383)[:, 4:516, 3:515]).clip(0, 1)
    np.testing.assert_allclose(shorts.frame('00000000').planes[:, :, :], bright, atol=1 / 65535)


def test_training_reads_the_databases_as_it_reads_the_files(prepared, tmp_path):
    (tmp_path / 'list.txt').write_text('00001_00_0.1s.dng 00001_00_10s.dng')
    options = {'name': 'SID', 'phase': 'test', 'dataroot': str(prepared), 'pair_list': str(tmp_path / 'list.txt')}
    frame = SIDDataset(options)[0]
    stored = training(prepared, gt_size=512, use_hflip=False, use_rot=False)
    assert len(stored) == 2
    item = stored[0]
    for kind in ('lq', 'gt'):
        np.testing.assert_allclose(item[kind], frame[kind][:, 4:516, 3:515], atol=1 / 65535)
    for kind in ('ratio', 'gain', 'value_range', 'white_balance', 'matrix'):
        np.testing.assert_allclose(item[kind], frame[kind], rtol=1e-6)
    assert item['lq_path'] == f'{prepared}/sid_lmdb/sid_train_lq.lmdb/00000000'
    assert training(prepared)[0]['lq'].shape == (4, 64, 64)
    assert len(training(prepared, io_backend={'type': 'disk'})) == 1
    assert len(training(prepared / 'sid_lmdb', ratio=100)) == 2
    with pytest.raises(InputError, match=r"'keep_negative': .* holds values of the released levels"):
        training(prepared, keep_negative=True)


def test_noise_is_made_of_stored_long_exposures(prepared):
    options = {'noise': 'P', 'cameras': ['SonyA7S2'], 'ratio': [100, 100]}
    truths = str(prepared / 'sid_lmdb/sid_train_gt.lmdb')
    made = SyntheticRawDataset({'name': 'SID', 'phase': 'train', 'gt_size': 64, 'dataroot_gt': truths, **options})
    assert len(made) == 2
    assert list(made.sizes()) == [(512, 512)] * 2
    item = made[1]
    assert item['gt'].shape == (4, 64, 64)
    patch = PlanesReader(truths).frame('00000001').planes[:, :, :]
    assert np.isin(item['gt'].numpy(), patch).all()
    middle = (item['gt'] > 0.05) & (item['gt'] < 0.5)
    photons = 15583 / float(item['ratio'] * item['gain'])
    standardised = ((item['lq'] - item['gt']) * (photons / item['gt'].clamp_min(1e-6)).sqrt())[middle]
    assert standardised.var() == pytest.approx(1, rel=0.1)
    whole = SyntheticRawDataset({'name': 'SID', 'phase': 'val', 'dataroot_gt': truths, **options})[0]
    assert whole['gt'].shape == (4, 512, 512)
    np.testing.assert_allclose(whole['white_balance'] / whole['white_balance'][1], [2, 1, 1.5, 1], rtol=1e-5)
    with pytest.raises(InputError, match='crops of 600 pixels'):
        SyntheticRawDataset({'name': 'SID', 'phase': 'train', 'gt_size': 600, 'dataroot_gt': truths})


def test_a_damaged_database_names_its_option(sid):
    assert prepare('sid', sid, '-q') == 0
    truths = sid / 'sid_lmdb/sid_train_gt.lmdb'
    (truths / 'data.mdb').unlink()
    with pytest.raises(InputError, match=r'has no readable data\.mdb') as caught:
        SyntheticRawDataset({'name': 'raw', 'phase': 'val', 'dataroot_gt': str(truths)})
    assert caught.value.option == 'dataroot_gt'
    with pytest.raises(InputError, match=r'has no readable data\.mdb') as caught:
        training(sid)
    assert caught.value.option == 'dataroot'


def test_an_explicit_backend_is_obeyed_or_refused(prepared, tmp_path):
    raw = {'name': 'raw', 'phase': 'val', 'dataroot_gt': str(prepared / 'sid_lmdb/sid_train_gt.lmdb')}
    assert len(SyntheticRawDataset(raw | {'io_backend': {'type': 'lmdb'}})) == 2
    with pytest.raises(InputError, match=r'sid_train_gt\.lmdb. holds no images') as caught:
        SyntheticRawDataset(raw | {'io_backend': {'type': 'disk'}})
    assert caught.value.option == 'dataroot_gt'
    assert len(training(prepared, io_backend={'type': 'lmdb'})) == 2
    (tmp_path / 'list.txt').write_text('00001_00_0.1s.dng 00001_00_10s.dng')
    for options in ({'phase': 'test'}, {'pair_list': str(tmp_path / 'list.txt')}):
        assert len(training(prepared, **options)) == 1
        with pytest.raises(
            InputError, match="'io_backend' must be of type disk: databases hold the training"
        ) as caught:
            training(prepared, io_backend={'type': 'lmdb'}, **options)
        assert caught.value.option == 'datasets.' + options.get('phase', 'train') + '.io_backend'


def test_lists_decide_and_what_they_miss_is_one_line(sid, capsys):
    (sid / 'Sony_train_list.txt').write_text(
        './Sony/short/00001_00_0.1s.dng ./Sony/long/00001_00_10s.dng ISO1600 F8\n'
        './Sony/short/00001_01_0.1s.dng ./Sony/long/00001_00_10s.dng ISO1600 F8\n'
    )
    (sid / 'Sony_test.txt').write_text(
        '10003_00_0.1s.dng 10003_00_10s.dng 100\n10004_00_0.1s.dng 10004_00_10s.dng 100\n'
    )
    assert prepare('sid', sid) == 1
    out = capsys.readouterr()
    missing = ', '.join(
        str(sid / f'{name}.dng') for name in ('short/10003_00_0.1s', 'short/10004_00_0.1s', 'long/10004_00_10s')
    )
    assert out.err.splitlines() == [
        f'Nothing was written to {sid}/sid_lmdb.',
        f'error: {sid}/Sony_test.txt: missing 3 files: {missing}; unpack the archive again.',
    ]
    (sid / 'Sony_test.txt').unlink()
    assert prepare('sid', sid, '--out', sid / 'both') == 0
    assert len(PlanesReader(sid / 'both/sid_train_lq.lmdb').names) == 4
    assert len(PlanesReader(sid / 'both/sid_train_gt.lmdb').names) == 2
    assert prepare('sid', sid, '--out', sid / 'both') == 1
    assert prepare('sid', sid, '--out', sid / 'both', '--overwrite') == 0


def test_a_long_exposure_is_opened_once_to_compare_sizes_with_all_its_short_ones(sid, monkeypatch):
    pairs = (f'00001_0{take}_0.1s.dng 00001_00_10s.dng' for take in (0, 1))
    (sid / 'Sony_train.txt').write_text('\n'.join(pairs))
    opened, open_raw = [], raw_frame.open_raw
    monkeypatch.setattr(raw_frame, 'open_raw', lambda path: opened.append(path.name) or open_raw(path))
    assert prepare('sid', sid, '-q') == 0
    assert opened.count('00001_00_10s.dng') == 2  # for its size, and for its planes


def cut_off(sid):
    path = sid / 'long/00001_00_10s.dng'
    path.write_bytes(path.read_bytes()[:50000])


def reshape(sid):
    write_dng(sid / 'long/00001_00_10s.dng', noise(0, (1040, 1040)))


def shrink(sid):
    for name in ('short/00001_00_0.1s', 'long/00001_00_10s'):
        write_dng(sid / f'{name}.dng', noise(0, (1000, 1000)))


def empty(sid):
    for path in (sid / 'short').iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ('spoil', 'line'),
    [
        (cut_off, 'long/00001_00_10s.dng: not a raw file that LibRaw reads'),
        (reshape, 'long/00001_00_10s.dng has planes of 520x520.'),
        (shrink, 'planes of 500x500 hold no patch of 512x512'),
        (empty, 'short holds no raw files'),
    ],
)
def test_bad_archives_are_one_line_and_nothing_is_written(sid, capsys, spoil, line):
    spoil(sid)
    assert prepare('sid', sid) == 1
    errors = [each for each in capsys.readouterr().err.splitlines() if each.startswith('error: ')]
    assert len(errors) == 1
    assert line in errors[0]
    assert not [path for path in sid.iterdir() if 'lmdb' in path.name]


def test_eld(eld, capsys):
    options = {'name': 'ELD', 'phase': 'test', 'dataroot': str(eld / 'NikonD850'), 'ratio': 200}
    files = ELDDataset(options)
    assert prepare('eld', eld) == 0
    assert 'NikonD850: 60 pairs' in capsys.readouterr().out
    stored = ELDDataset(options)
    assert [pair.name for pair in stored.pairs] == sorted(
        (pair.name for pair in files.pairs), key=lambda n: (len(n), n)
    )
    assert len(PlanesReader(eld / 'eld_lmdb/eld_NikonD850_gt.lmdb').names) == 40 - 10
    for one, other in zip(files, stored, strict=True):
        for kind in ('lq', 'gt', 'ratio', 'gain', 'value_range'):
            np.testing.assert_allclose(one[kind], other[kind], atol=1 / 65535, err_msg=kind)
            assert one[kind].dtype == other[kind].dtype == torch.float32, kind
    assert float(stored[0]['gain']) == pytest.approx(0.415039 * 8, rel=1e-5)  # of the folder's camera


def test_elds_missing_files_are_one_line(eld, capsys):
    for number in (4, 16):
        (eld / f'NikonD850/scene-3/IMG_{number:04d}.dng').unlink()
    assert prepare('eld', eld) == 1
    errors = capsys.readouterr().err.splitlines()[1:]
    assert errors == [
        f'error: {eld}/NikonD850: missing 2 files: {eld}/NikonD850/scene-3/IMG_0004, {eld}/NikonD850/scene-3/IMG_0016; '
        'unpack the archive again.'
    ]
    assert prepare('eld', eld / 'NikonD850') == 1
    assert 'holds no folder of a camera' in capsys.readouterr().err
