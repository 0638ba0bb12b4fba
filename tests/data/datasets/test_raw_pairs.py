"""Pairs of raw files in the layouts of SID, of ELD and of one's own, made by script: DNG in place of ARW."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from entropy_sde_plugin.data.datasets import ELDDataset, RawPairDataset, SIDDataset
from entropy_sde_plugin.data.raw_noise import cameras
from entropy_sde_plugin.data.raw_packing import pack_bayer
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN
from tests.support.raw_files import write_dng

SYNTHETIC = GOLDEN / 'raw' / 'synthetic'
RGGB = np.array([[0, 1], [3, 2]])


def sid(phase='train', **options):
    crops = {'gt_size': 32} if phase == 'train' else {}
    return SIDDataset({'name': 'SID', 'phase': phase, 'dataroot': str(SYNTHETIC), **crops, **options})


def test_sid_gives_the_values_of_the_release(monkeypatch):
    """Its means of the whole frame and its gain, from the golden values of the synthetic files."""
    monkeypatch.setattr('entropy_sde_plugin.data.raw_files._SID_SPLITS', {'test': '0'})
    whole = {round(float(item['ratio'])): item for item in sid('test')}
    assert sorted(whole) == [100, 250]
    for ratio, mean in ((100, 0.224479), (250, 0.228982)):
        assert whole[ratio]['lq'].mean().item() == pytest.approx(mean, abs=2e-6)
        assert whole[ratio]['gt'].mean().item() == pytest.approx(0.224034, abs=2e-6)
        assert whole[ratio]['gain'].item() == pytest.approx(1.502657, abs=1e-6)
    np.testing.assert_allclose(whole[100]['gt'].flatten()[:3], [0.101380, 0.109886, 0.118329], atol=1e-6)


def test_sid_splits_lists_and_ratios(tmp_path):
    assert [pair.ratio for pair in sid(ratio=250).pairs] == [pytest.approx(250)]
    with pytest.raises(InputError, match='holds no pairs'):
        sid('val')
    listed = tmp_path / 'list.txt'
    listed.write_text('./Sony/short/00001_00_0.1s.dng ./Sony/long/00001_00_10s.dng ISO1600 F8\n')
    assert [pair.name for pair in sid('test', pair_list=str(listed)).pairs] == ['00001_00_0.1s']
    listed.write_text('./Sony/short/00001_00_0.2s.dng ./Sony/long/00001_00_10s.dng\n')
    with pytest.raises(InputError, match=r'list\.txt: missing 1 file: .*short/00001_00_0\.2s\.dng; unpack'):
        sid('test', pair_list=str(listed))


def test_training_cuts_and_turns_both_alike(tmp_path):
    rng = np.random.default_rng(0)
    mosaic = rng.integers(600, 10000, (64, 80), dtype=np.uint16)
    for folder in ('lq', 'gt'):
        write_dng(tmp_path / folder / 'a.dng', mosaic, white=10000)
    options = {'dataroot_lq': str(tmp_path / 'lq'), 'dataroot_gt': str(tmp_path / 'gt'), 'ratio': 2, 'gain': 1.5}
    pairs = RawPairDataset({'name': 'own', 'phase': 'train', 'gt_size': 16, **options})
    planes = pack_bayer(mosaic, RGGB, [512] * 4, 10000)
    seen = set()
    for index in range(12):
        item = pairs[0] if index == 0 else RawPairDataset(pairs.opt | {'seed': index})[0]
        assert item['lq'].shape == (4, 16, 16)
        torch.testing.assert_close(item['lq'], (2 * item['gt']).clamp(0, 1))
        assert np.isin(item['gt'].numpy(), planes).all()
        seen.add(item['gt'].numpy().tobytes())
    assert len(seen) == 12
    assert (pairs[0]['ratio'], pairs[0]['gain']) == (2, 1.5)


def test_ones_own_pairs_tell_their_exposure(tmp_path):
    write_dng(tmp_path / 'lq' / 'a.dng', np.full((40, 60), 612), time=0.1, iso=800)
    write_dng(tmp_path / 'gt' / 'a.dng', np.full((40, 60), 8512), time=4, iso=1600)
    options = {'name': 'own', 'phase': 'val', 'dataroot_lq': str(tmp_path / 'lq'), 'dataroot_gt': str(tmp_path / 'gt')}
    item = RawPairDataset(options | {'centre_crop': 8, 'camera': 'SonyA7S2'})[0]
    assert item['ratio'].item() == pytest.approx(80)
    assert item['gain'].item() == pytest.approx(0.7513285)  # of ISO 800, SonyA7S2
    assert item['lq'].shape == (4, 8, 8)
    assert item['lq'].mean().item() == pytest.approx(100 * 80 / (16383 - 512))
    assert list(RawPairDataset(options).sizes()) == [(20, 30)]


def test_ones_own_mosaics_begin_with_red(tmp_path):
    """A gradient along the rows: in BGGR, blue would lie above red."""
    mosaic = 600 + 100 * np.indices((40, 60))[0]
    for folder in ('lq', 'gt'):
        write_dng(tmp_path / folder / 'a.dng', mosaic, pattern='BGGR', time=1)
    options = {'dataroot_lq': str(tmp_path / 'lq'), 'dataroot_gt': str(tmp_path / 'gt'), 'ratio': 2, 'gain': 1.0}
    pairs = RawPairDataset({'name': 'own', 'phase': 'val', **options})
    red, _, blue, _ = pairs[0]['gt'].numpy()
    np.testing.assert_allclose(blue - red, 100 / (16383 - 512), atol=1e-6)
    assert list(pairs.sizes()) == [red.shape] == [(19, 29)]


def test_subfolders_are_read_and_what_else_there_is_is_named(tmp_path, capsys):
    for folder in ('lq', 'gt'):
        for name in ('a', 'b'):
            write_dng(tmp_path / folder / name / '1.dng', np.full((40, 60), 612))
    (tmp_path / 'lq' / 'notes.txt').touch()
    (tmp_path / 'lq' / 'a' / 'preview.jpg').touch()
    options = {'name': 'own', 'phase': 'val', 'ratio': 2, 'gain': 1}
    roots = {f'dataroot_{kind}': str(tmp_path / kind) for kind in ('lq', 'gt')}
    assert [pair.name for pair in RawPairDataset(options | roots).pairs] == ['a/1', 'b/1']
    said = capsys.readouterr().err
    assert f'ignored in {tmp_path}/lq (not raw files): 2 files: notes.txt, a/preview.jpg' in said
    assert 'themselves' not in said
    RawPairDataset(options | roots | {'dataroot_lq': str(tmp_path / 'lq' / '..' / 'gt')})
    assert 'its images are compared with themselves' in capsys.readouterr().err
    (tmp_path / 'gt' / 'a' / '1.NEF').touch()
    with pytest.raises(InputError, match=r"'dataroot_gt': .*1\.NEF and 1\.dng share a name"):
        RawPairDataset(options | roots)


def test_values_below_black_are_kept_on_request(tmp_path):
    for folder in ('lq', 'gt'):
        write_dng(tmp_path / folder / 'a.dng', np.full((40, 60), 502))
    options = {'name': 'own', 'phase': 'val', 'ratio': 100, 'gain': 1}
    options |= {'dataroot_lq': str(tmp_path / 'lq'), 'dataroot_gt': str(tmp_path / 'gt')}
    assert RawPairDataset(options)[0]['lq'].max() == 0
    kept = RawPairDataset(options | {'keep_negative': True})[0]
    assert kept['lq'].mean().item() == pytest.approx(-1000 / (16383 - 512))
    assert kept['gt'].min() == 0


def test_eld_takes_the_reference_next_to_each_input(tmp_path):
    for scene in (1, 10, 2):
        for number in range(1, 17):
            time = 10 if number in (1, 6, 11, 16) else 0.1 if number in (4, 9, 14) else 0.05
            write_dng(tmp_path / f'scene-{scene}' / f'IMG_{number:04d}.dng', np.full((24, 24), 600), time=time, iso=800)
    pairs = ELDDataset({'name': 'ELD', 'phase': 'test', 'dataroot': str(tmp_path), 'ratio': 200}).pairs
    assert [pair.name for pair in pairs[::3]] == ['scene-1_IMG_0005', 'scene-2_IMG_0005', 'scene-10_IMG_0005']
    assert [Path(pair.long.where).name for pair in pairs[:3]] == ['IMG_0006.dng', 'IMG_0011.dng', 'IMG_0016.dng']
    assert {pair.ratio for pair in pairs} == {200}
    (tmp_path / 'scene-2' / 'IMG_0010.dng').unlink()
    with pytest.raises(InputError, match=r'missing 1 file: .*scene-2/IMG_0010; unpack'):
        ELDDataset({'name': 'ELD', 'phase': 'test', 'dataroot': str(tmp_path), 'ratio': 200})


def test_short_exposures_alone(tmp_path):
    write_dng(tmp_path / 'lq' / 'a.dng', np.full((40, 60), 612), gains=(2.0, 1.0, 1.5))
    options = {'name': 'own', 'phase': 'test', 'dataroot_lq': str(tmp_path / 'lq'), 'gain': 1.5}
    images = RawPairDataset(options | {'ratio': 50})
    assert not images.options.has_truth
    item = images[0]
    assert item.keys() == {'lq', 'ratio', 'gain', 'value_range', 'white_balance', 'matrix', 'key', 'lq_path'}
    torch.testing.assert_close(item['lq'], torch.full((4, 20, 30), 50 * 100 / (16383 - 512)))
    torch.testing.assert_close(item['white_balance'] / item['white_balance'][1], torch.tensor([2, 1, 1.5, 1]))
    with pytest.raises(InputError, match="'ratio' is missing: without long exposures"):
        RawPairDataset(options)
    with pytest.raises(InputError, match="'dataroot_gt', the folder of the long exposures, is missing"):
        RawPairDataset(options | {'phase': 'train', 'gt_size': 8, 'ratio': 50})


def test_what_is_missing_is_named(tmp_path):
    write_dng(tmp_path / 'lq' / 'a.dng', np.full((24, 24), 600))
    write_dng(tmp_path / 'gt' / 'a.dng', np.full((24, 24), 600))
    options = {'name': 'own', 'phase': 'val', 'dataroot_lq': str(tmp_path / 'lq'), 'dataroot_gt': str(tmp_path / 'gt')}
    with pytest.raises(InputError, match="give 'ratio'"):
        RawPairDataset(options)
    write_dng(tmp_path / 'lq' / 'b.dng', np.full((24, 24), 600))
    with pytest.raises(InputError, match=r'lq/b\.dng: no partner in .*gt\.'):
        RawPairDataset(options)
    with pytest.raises(InputError, match='is not a folder that can be read'):
        RawPairDataset(options | {'dataroot_lq': str(tmp_path / 'none')})
    with pytest.raises(InputError, match="'io_backend' must be of type disk"):
        RawPairDataset(options | {'io_backend': {'type': 'lmdb'}})


@pytest.mark.parametrize(
    ('options', 'gain', 'warning'),
    [
        ({'camera': 'SonyA7S2'}, 1, 'without an ISO'),
        ({}, 1, 'no camera is named'),
        ({'gain': 2.5}, 2.5, ''),
    ],
)
def test_a_gain_that_nothing_tells_is_1_with_a_warning(tmp_path, capsys, options, gain, warning):
    """DNG files without an ISO; the warning comes once."""
    cameras._warn_once.cache_clear()
    for folder in ('lq', 'gt'):
        write_dng(tmp_path / folder / 'a.dng', np.full((24, 24), 600))
    opt = {'name': 'own', 'phase': 'val', 'ratio': 100, **options}
    pairs = RawPairDataset(opt | {'dataroot_lq': str(tmp_path / 'lq'), 'dataroot_gt': str(tmp_path / 'gt')})
    assert [float(pairs[0]['gain']), float(pairs[0]['gain'])] == [gain, gain]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == bool(warning)
    assert all(warning in line for line in lines)


def test_files_that_cannot_be_pairs_are_named_before_any_is_decoded(tmp_path):
    bad = {'linear': np.full((24, 24, 3), 600), 'other_size': np.full((24, 48), 600), 'small': np.full((22, 22), 600)}
    for folder in ('lq', 'gt'):
        for name, mosaic in bad.items():
            is_good = folder == 'gt' and name != 'small'
            write_dng(tmp_path / folder / f'{name}.dng', np.full((24, 24), 600) if is_good else mosaic)
    options = {'name': 'own', 'phase': 'train', 'gt_size': 12, 'ratio': 2, 'gain': 1}
    options |= {f'dataroot_{kind}': str(tmp_path / kind) for kind in ('lq', 'gt')}
    with pytest.raises(InputError) as error:
        RawPairDataset(options)
    lq, gt = tmp_path / 'lq', tmp_path / 'gt'
    assert sorted(error.value.faults) == sorted([
        f'{lq}/linear.dng: a linear raw file, whose colours are mixed already; only Bayer mosaics can be restored as '
        'raw images.',
        f'{lq}/other_size.dng has planes of 24x12, but {gt}/other_size.dng has planes of 12x12.',
        *(f'{kind}/small.dng: crops of 12 (gt_size) do not fit into planes of 11x11.' for kind in (lq, gt)),
    ])  # fmt: skip


def test_partners_of_different_names(tmp_path):
    for folder, name in (('lq', 'low'), ('gt', 'normal')):
        write_dng(tmp_path / folder / 'a' / f'{name}1.dng', np.full((24, 24), 600))
    options = {'name': 'own', 'phase': 'val', 'ratio': 2, 'gain': 1}
    options |= {f'dataroot_{kind}': str(tmp_path / kind) for kind in ('lq', 'gt')}
    (pair,) = RawPairDataset(options | {'filename_tmpl': 'low{}', 'filename_tmpl_gt': 'normal{}'}).pairs
    assert (pair.name, Path(pair.long.where).name) == ('a/low1', 'normal1.dng')
    with pytest.raises(InputError, match='filename_tmpl and filename_tmpl_gt say how'):
        RawPairDataset(options)
    with pytest.raises(InputError, match=r"'filename_tmpl' must contain \{\} once"):
        RawPairDataset(options | {'filename_tmpl': 'low'})


def test_names_are_printable(tmp_path):
    odd = os.fsdecode(b'caf\xe9\n')
    for folder in ('lq', 'gt'):
        write_dng(tmp_path / folder / odd / f'{odd}.dng', np.full((24, 24), 600))
    options = {'name': 'own', 'phase': 'val', 'ratio': 2, 'gain': 1, 'dataroot_lq': str(tmp_path / 'lq')}
    for images in (RawPairDataset(options), RawPairDataset(options | {'dataroot_gt': str(tmp_path / 'gt')})):
        assert images[0]['key'] == 'caf%E9%0A/caf%E9%0A'
        assert Path(images[0]['lq_path']).is_file()


def test_the_range_of_values_is_the_files_own_or_that_of_the_release(tmp_path, monkeypatch):
    monkeypatch.setattr('entropy_sde_plugin.data.raw_files._SID_SPLITS', {'test': '0'})
    assert [float(item['value_range']) for item in sid('test')] == [15583, 15583]
    assert float(sid('test', value_range=None)[0]['value_range']) == 16383 - 512
    for folder in ('lq', 'gt'):
        write_dng(tmp_path / folder / 'a.dng', np.full((24, 24), 600), black=(500, 510, 520, 530), white=4095)
    opt = {'name': 'own', 'phase': 'val', 'ratio': 100, 'gain': 1}
    pairs = RawPairDataset(opt | {'dataroot_lq': str(tmp_path / 'lq'), 'dataroot_gt': str(tmp_path / 'gt')})
    assert float(pairs[0]['value_range']) == 4095 - 515
