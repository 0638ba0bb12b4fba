"""A camera is calibrated by the command from frames made by script, and its file is used."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
import rawpy
from scipy import stats

from entropy_sde_plugin import cli
from entropy_sde_plugin.data.datasets import RawPairDataset, SyntheticRawDataset
from entropy_sde_plugin.data.raw_noise import camera
from entropy_sde_plugin.demo.photographs import photograph
from tests.support.pictures import write_png
from tests.support.raw_files import write_dng

SIDES = (768, 640)
ISOS = (400, 3200)
SHAPE = -0.1


def frame(name, iso, photons, rng, gaussian):
    """A mosaic at black level 512, by ELD's figures without their scatter."""
    known = camera(name)
    gain = known.gain_at(iso)
    scale = {kind: np.exp(line.slope * np.log(gain) + line.bias) for kind, line in lines(known).items()}
    light = photons * (1 + 0.5 * np.linspace(0, 1, SIDES[1]))  # the sensor is not lit evenly
    read = scale['gauss'] * rng.standard_normal(SIDES)
    if not gaussian:
        read = scale['tukey'] * stats.tukeylambda.rvs(SHAPE, size=SIDES, random_state=rng)
    rows = scale['row'] * rng.standard_normal((SIDES[0], 1))
    return np.rint(512 + gain * rng.poisson(np.broadcast_to(light, SIDES)) + read + rows).clip(0, 16383)


def lines(known):
    return {'gauss': known.gauss, 'tukey': known.tukey, 'row': known.row}


def write_frames(root, name, *, gaussian, isos=ISOS, darks=4):
    rng = np.random.default_rng(0)
    for iso in isos:
        for number, photons in enumerate((100, 100, 400, 400)):
            write_dng(root / f'flats/{iso}_{number}.dng', frame(name, iso, photons, rng, gaussian), iso=iso)
        for number in range(darks):
            write_dng(root / f'darks/{iso}_{number}.dng', frame(name, iso, 0, rng, gaussian), iso=iso)
    return root


def calibrate(root, *options):
    arguments = ['--flats', str(root / 'flats'), '--darks', str(root / 'darks'), '-o', str(root / 'camera.json')]
    return cli.main(['calibrate', *arguments, *options])


@pytest.fixture(scope='module')
def frames(tmp_path_factory):
    """Small frames of one ISO, to spoil."""
    return write_frames(tmp_path_factory.mktemp('frames'), 'SonyA7S2', gaussian=True, isos=(800,), darks=2)


@pytest.mark.parametrize(('name', 'gaussian'), [('SonyA7S2', True), ('NikonD850', False)])
def test_the_parameters_of_synthetic_frames_are_found_again(tmp_path, capsys, name, gaussian):
    assert calibrate(write_frames(tmp_path, name, gaussian=gaussian)) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ['ISO', '400', '3200', 'Written']
    known, found = camera(name), camera(str(tmp_path / 'camera.json'))
    for iso in (100, *ISOS):
        assert found.gain_at(iso) == pytest.approx(known.gain_at(iso), rel=0.05)
    for kind in ('gauss', 'row') if gaussian else ('tukey', 'row'):
        line, expected = lines(found)[kind], lines(known)[kind]
        for gain in found.gain_range:
            scales = [np.exp(each.slope * np.log(gain) + each.bias) for each in (line, expected)]
            assert scales[0] == pytest.approx(scales[1], rel=0.05), kind
        assert line.slope == pytest.approx(expected.slope, rel=0.05)
        assert line.std < 0.1
    if not gaussian:
        assert found.tukey_shapes == pytest.approx([SHAPE] * 8, abs=0.02)
    assert found.value_range == 16383 - 512


def test_the_file_serves_training_and_pairs(tmp_path, frames, capsys):
    root = shutil.copytree(frames, tmp_path / 'frames')
    assert calibrate(root) == 0
    assert 'of a single ISO' in capsys.readouterr().err
    file = str(root / 'camera.json')
    write_png(tmp_path / 'photographs/a.png', photograph('coffee')[:64, :64])
    opt = {'name': 'raw', 'phase': 'val', 'dataroot_gt': str(tmp_path / 'photographs'), 'gain': 'per_camera'}
    item = SyntheticRawDataset(opt | {'cameras': [file]})[0]
    gain = camera('SonyA7S2').gain_at(800)
    assert float(item['gain']) == pytest.approx(gain, rel=0.05)
    assert float(item['value_range']) == 16383 - 512
    opt = {'name': 'own', 'phase': 'val', 'ratio': 100, 'camera': file}
    pairs = RawPairDataset(opt | {'dataroot_lq': str(root / 'darks'), 'dataroot_gt': str(root / 'darks')})
    assert float(pairs[0]['gain']) == pytest.approx(gain, rel=0.05)


def saturated(root):
    mosaic = np.random.default_rng(0).normal(16000, 300, SIDES).clip(0, 16383)
    write_dng(root / 'flats/800_0.dng', mosaic, iso=800)


def black_clipped(root):
    write_dng(root / 'darks/800_0.dng', np.random.default_rng(0).normal(0, 3, SIDES).clip(0), iso=800)


def another_iso(root):
    write_dng(root / 'darks/800_0.dng', np.random.default_rng(0).normal(512, 3, SIDES), iso=1600)


def another_size(root):
    write_dng(root / 'darks/800_0.dng', np.random.default_rng(0).normal(512, 3, (640, 640)), iso=800)


def another_level(root):
    write_dng(root / 'darks/800_0.dng', np.random.default_rng(0).normal(512, 3, SIDES), iso=800, white=4095)


def unsteady(root):
    write_dng(root / 'flats/800_0.dng', np.random.default_rng(0).normal(800, 30, SIDES), iso=800)


def without_iso(root):
    write_dng(root / 'flats/800_0.dng', np.random.default_rng(0).normal(800, 30, SIDES))


def cut_off(root):
    path = root / 'flats/800_0.dng'
    path.write_bytes(path.read_bytes()[:90000])


def too_few(root):
    for number in range(1, 4):
        (root / f'flats/800_{number}.dng').unlink()


def copied(root):
    shutil.copy(root / 'flats/800_0.dng', root / 'flats/again.dng')


def pipe(root):
    os.mkfifo(root / 'darks/a.dng')


def none(root):
    for path in (root / 'darks').iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ('spoil', 'line'),
    [
        (saturated, r'flats/800_0\.dng: \d+% of the pixels of a colour have the greatest value: expose it shorter'),
        (black_clipped, r'darks/800_0\.dng: \d+% .* the least value: the camera clips its noise at black'),
        (another_size, r'darks/800_0\.dng and .*flats/800_0\.dng differ in size, black or white level'),
        (another_level, r'darks/800_0\.dng and .*flats/800_0\.dng differ in size, black or white level'),
        (unsteady, r'ISO 800: no other flat frame is as bright as 2 files: .*800_0\.dng.*; take two of each exposure'),
        (without_iso, r'flats/800_0\.dng does not state its ISO: give it with --iso'),
        (cut_off, r'flats/800_0\.dng: not a raw file that LibRaw reads'),
        (too_few, r'ISO 800: there are 1 flat frames; take two at least'),
        (copied, r'flats/800_0\.dng and .*flats/again\.dng hold the same frame; remove one'),
        (pipe, r'darks/a\.dng: cannot be read \(it is a pipe, not a file\)'),
        (none, r'darks holds no raw files'),
    ],
)
def test_frames_that_cannot_be_used_are_one_line(tmp_path, frames, capsys, spoil, line):
    root = shutil.copytree(frames, tmp_path / 'frames')
    spoil(root)
    assert calibrate(root) == 1
    errors = [each for each in capsys.readouterr().err.splitlines() if each.startswith('error: ')]
    assert len(errors) == 1
    assert re.search(line, errors[0]), errors
    assert not (root / 'camera.json').exists()


def test_an_iso_without_frames_of_the_other_kind_is_named(tmp_path, frames, capsys):
    root = shutil.copytree(frames, tmp_path / 'frames')
    another_iso(root)
    assert calibrate(root) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors == [
        'error: ISO 800: there are 1 dark frames; take two at least.',
        'error: ISO 1600: there are 0 flat frames; take two at least.',
        'error: ISO 1600: there are 1 dark frames; take two at least.',
    ]


def test_files_without_an_iso_take_the_given_one(tmp_path, frames, capsys):
    root = shutil.copytree(frames, tmp_path / 'frames')
    for path in root.glob('*/*.dng'):
        with rawpy.imread(str(path)) as raw:
            write_dng(path, raw.raw_image_visible.copy())
    assert calibrate(root, '--iso', '1000') == 0
    assert json.loads((root / 'camera.json').read_text())['gains'][0][0] == 1000
