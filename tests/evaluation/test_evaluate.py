"""``entropy-sde evaluate``: anybody's images, our protocol."""

import csv
import io
import os
import sys
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import PIL.Image
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from entropy_sde_plugin.cli import main
from entropy_sde_plugin.data.sources import ImageFolder
from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.evaluation.evaluate import METRICS
from entropy_sde_plugin.metrics import perceptual
from tests.support.pictures import write_png

NAMES = ('coffee', 'astronaut', 'china')


@pytest.fixture
def sets(tmp_path):
    """Pieces of photographs: ``truth``, the same darkened in ``low``, and those lifted by a gain in ``result``."""
    for name in NAMES:
        bright = photograph(name)[:104, :200]
        dark = darken(bright, exposure=0.2, rng=np.random.default_rng(0))
        lifted = np.clip(dark * 2.0, 0, 255).astype(np.uint8)
        for kind, picture in (('truth', bright), ('low', dark), ('result', lifted)):
            write_png(tmp_path / kind / f'{name}.png', picture)
    return tmp_path


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def download(*_, **__):
        raise URLError('no internet')

    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    perceptual._lpips.cache_clear()


def evaluate(folder, *options):
    return main(['evaluate', '--result', str(folder / 'result'), '--truth', str(folder / 'truth'), *options])


def rows(path):
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def psnrs(folder, kind):
    images = [[ImageFolder(folder / k).image(name) for k in ('truth', kind)] for name in sorted(NAMES)]
    return [peak_signal_noise_ratio(truth, picture, data_range=255) for truth, picture in images]


def test_table_and_rows(sets, capsys):
    out = sets / 'scores' / 'mine'
    assert evaluate(sets, '--low', str(sets / 'low'), '--metrics', 'psnr', 'psnr_gtmean', '-o', str(out)) == 0
    head, _, low, result = capsys.readouterr().out.splitlines()[:4]
    assert head == '| method | PSNR, dB ↑ | PSNR with GT mean, dB ↑ |'
    for line, kind, file in ((low, 'low', 'metrics_low.csv'), (result, 'result', 'metrics.csv')):
        assert line.startswith(f'| {kind} | {np.mean(psnrs(sets, kind)):.2f} | ')
        table = rows(out / file)
        assert list(table[0]) == ['image', 'psnr', 'psnr_gtmean']
        assert [row['image'] for row in table] == sorted(NAMES)
        assert [float(row['psnr']) for row in table] == pytest.approx(psnrs(sets, kind), rel=1e-9)


def test_names_that_differ_by_a_prefix_on_each_side(sets, capsys):
    for kind, template in (('truth', 'normal{}'), ('low', 'low{}'), ('result', 'low{}_run')):
        for name in NAMES:
            (sets / kind / f'{name}.png').rename(sets / kind / f'{template.format(name)}.png')
    options = ('--low', str(sets / 'low'), '--metrics', 'psnr', '--names', 'normal{}', 'low{}', '--suffix', '_run')
    assert evaluate(sets, *options) == 0
    assert '| result | ' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        evaluate(sets, '--names', 'normal', 'low{}')
    assert "'normal' must contain {} once" in capsys.readouterr().err


def test_names_are_compared_before_anything_is_scored(sets, capsys, monkeypatch):
    def score(*_):
        pytest.fail('it was scored')

    (sets / 'result' / 'coffee.png').rename(sets / 'result' / 'tea.png')
    monkeypatch.setattr('entropy_sde_plugin.evaluation.scoring.Scorer.of_picture', score)
    assert evaluate(sets, '--low', str(sets / 'low'), '--metrics', 'psnr') == 1
    assert 'tea.png' in capsys.readouterr().err


def test_names_that_are_not_utf_8(sets):
    for kind in ('truth', 'result'):
        (sets / kind / 'coffee.png').rename(sets / kind / os.fsdecode(b'caf\xe9.png'))
    folder = sets / os.fsdecode(b'\xe9')
    for _ in range(2):  # the second replaces the first
        assert evaluate(sets, '--metrics', 'psnr', '-o', str(folder)) == 0
    assert [row['image'] for row in rows(folder / 'metrics.csv')] == ['astronaut', 'caf%E9', 'china']


def test_rows_are_written_before_anything_is_printed(sets, monkeypatch):
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(io.BytesIO(), encoding='ascii'))
    with pytest.raises(UnicodeEncodeError):
        evaluate(sets, '--metrics', 'psnr', '-o', str(sets / 'scores'))
    assert len(rows(sets / 'scores' / 'metrics.csv')) == len(NAMES)


def test_turned_photographs_are_compared_upright(tmp_path, capsys):
    """Dark TIFF stored lying, with a tag, and an upright truth of the size that it has when it is read."""
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    upright = photograph('coffee')[:96, :64]
    for kind, picture, options in (('result', np.rot90(upright), {'exif': turned}), ('truth', upright, {})):
        (tmp_path / kind).mkdir()
        PIL.Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / kind / 'a.tif', **options)
    assert evaluate(tmp_path, '--metrics', 'psnr') == 0
    assert '| result | inf |' in capsys.readouterr().out
    PIL.Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(tmp_path / 'truth' / 'a.tif')
    assert evaluate(tmp_path, '--metrics', 'psnr') == 1
    assert 'result/a.tif is 64x96, but' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--result', '--truth', '--low', '-o'])
def test_an_empty_path_is_not_the_working_directory(sets, monkeypatch, capsys, option):
    monkeypatch.chdir(sets / 'truth')
    with pytest.raises(SystemExit) as caught:
        evaluate(sets, '--metrics', 'psnr', option, '')
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith('the path is empty')


def test_what_cannot_be_had_is_said(sets, offline, capsys):
    """LPIPS has no weights, NIQE no room on one of the images: the rest goes on, and no mean is made of a part."""
    for kind in ('truth', 'result'):
        write_png(sets / kind / 'tiny.png', photograph('coffee')[:50, :50])
    assert evaluate(sets, '--metrics', 'lpips', 'niqe', 'psnr', '-o', str(sets)) == 0
    table, reasons = capsys.readouterr().out.split('\n\n')
    assert table.splitlines()[2] == '| result | n/a | n/a | inf |'  # the small one is its own truth
    lpips, niqe = reasons.splitlines()[:2]
    assert lpips.startswith('n/a, LPIPS (alex): astronaut: alexnet-owt-7be5be79.pth cannot be downloaded')
    assert str(sets / 'hub' / 'checkpoints' / 'alexnet-owt-7be5be79.pth') in lpips
    assert niqe.startswith('n/a, NIQE: tiny: NIQE needs two blocks of 96x96 pixels')
    cells = {row['image']: (row['lpips'], row['niqe'], row['psnr']) for row in rows(sets / 'metrics.csv')}
    assert cells['tiny'] == ('n/a', 'n/a', 'inf')
    assert cells['coffee'][0] == 'n/a'
    assert 0 < float(cells['coffee'][1]) < 100


def test_a_metric_of_the_set_has_a_row_of_its_own(sets, monkeypatch, capsys):
    from entropy_sde_plugin.metrics import fid

    monkeypatch.setattr(fid, '_pool_features', lambda picture: picture.mean((0, 1)))
    assert evaluate(sets, '--metrics', 'fid', 'psnr', '-o', str(sets)) == 0
    means = [
        np.array([ImageFolder(sets / kind).image(name).mean((0, 1)) for name in sorted(NAMES)])
        for kind in ('result', 'truth')
    ]
    distance = fid.frechet_distance(*means)
    table, note = capsys.readouterr().out.split('\n\n')
    assert f'| result | {distance:.1f} |' in table
    assert note.startswith('FID over 3 images is only indicative: it needs 2048.\n')
    *pictures, whole = rows(sets / 'metrics.csv')
    assert all(row['fid'] == '' and row['psnr'] for row in pictures)
    assert (whole['image'], whole['psnr']) == ('', '')
    assert float(whole['fid']) == pytest.approx(distance)


def test_names_with_a_suffix(sets, capsys):
    """BasicSR's test saves ``<name>_<run>.png``."""
    expected = np.mean(psnrs(sets, 'result'))
    for path in list((sets / 'result').iterdir()):
        path.rename(path.with_name(f'{path.stem}_my_run.png'))
    assert evaluate(sets, '--metrics', 'psnr', '--suffix', '_my_run') == 0
    assert f'| result | {expected:.2f} |' in capsys.readouterr().out


def test_missing_partners_are_all_listed(sets, capsys):
    (sets / 'result' / 'coffee.png').unlink()
    (sets / 'truth' / 'china.png').unlink()
    assert evaluate(sets, '--metrics', 'psnr', '-o', str(sets / 'out')) == 1
    error = capsys.readouterr().err
    assert f"{sets / 'truth' / 'coffee.png'}: its partner 'coffee' is not in {sets / 'result'}." in error
    assert f'{sets / "result" / "china.png"}: no partner in {sets / "truth"}.' in error
    assert not (sets / 'out').exists()


def test_sizes_are_never_mended(sets, capsys):
    write_png(sets / 'result' / 'coffee.png', photograph('coffee')[:52, :100])
    assert evaluate(sets, '--metrics', 'psnr') == 1
    output = capsys.readouterr()
    assert 'coffee.png is 100x52, but' in output.err
    assert 'coffee.png is 200x104.' in output.err
    assert output.out == ''


def test_unreadable_pictures_are_named(sets, capsys):
    whole = (sets / 'result' / 'coffee.png').read_bytes()
    (sets / 'result' / 'coffee.png').write_bytes(whole[: len(whole) // 2])
    (sets / 'result' / 'china.png').write_bytes(b'no image')
    assert evaluate(sets, '--metrics', 'psnr', '-o', str(sets / 'out')) == 1
    assert 'china.png: not a readable image' in capsys.readouterr().err
    assert not (sets / 'out').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--metrics', 'lpisp'], "There is no metric 'lpisp'. Did you mean 'lpips'?"),
        (['--metrics', 'psnr', '--low', 'nowhere'], "'nowhere' is not a folder."),
    ],
)
def test_bad_options(options, message, sets, capsys):
    assert evaluate(sets, *options) == 1
    assert f'error: {message}' in capsys.readouterr().err


def test_a_training_record_is_not_overwritten(sets, capsys):
    """The validation of an experiment leaves a file of the same name, with other columns."""
    (sets / 'metrics.csv').write_text('iteration,dataset,seed,image,psnr,seconds\n')
    assert evaluate(sets, '--metrics', 'psnr', '-o', str(sets)) == 1
    out, err = capsys.readouterr()
    assert err.endswith('metrics.csv: this is another kind of table; choose another folder with -o.\n')
    assert '3 images' not in err + out  # it is seen before anything is scored
    assert (sets / 'metrics.csv').read_text().startswith('iteration,')
    (sets / 'metrics.csv').unlink()
    os.mkfifo(sets / 'metrics.csv')  # reading it would wait for a writer
    assert evaluate(sets, '--metrics', 'psnr', '-o', str(sets)) == 1
    assert 'another kind of table' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['', 'below'])
def test_an_output_that_cannot_be_a_folder(name, sets, capsys):
    (sets / 'file').touch()
    assert evaluate(sets, '--metrics', 'psnr', '-o', str(sets / 'file' / name)) == 1
    assert capsys.readouterr() == (
        '',
        f"error: '{sets}/file' is not a folder; choose another output folder.\n",
    )


def test_the_scores_are_printed_though_their_file_cannot_be_written(sets, monkeypatch, capsys):
    """The disk's fault is a mock."""
    monkeypatch.setattr('entropy_sde_plugin.evaluation.evaluate.atomic_file', Mock(side_effect=OSError(28, 'full')))
    assert evaluate(sets, '--metrics', 'psnr', '-o', str(sets / 'out')) == 1
    out, err = capsys.readouterr()
    assert '| result |' in out
    assert err.endswith('error: [Errno 28] full\n')


def test_help_lists_the_metrics(capsys):
    with pytest.raises(SystemExit):
        main(['evaluate', '--help'])
    listed = capsys.readouterr().out.rpartition('NAME [NAME ...]')[2]
    assert listed.split('[')[0].replace(',', ' ').split() == list(METRICS)
