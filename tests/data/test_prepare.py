"""The preparing commands, run as users run them, on trees that are right and trees that are wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from basicsr.data.paired_image_dataset import PairedImageDataset

from entropy_sde_plugin import cli
from tests.support.commands import ROOT
from tests.support.pictures import write_png


@pytest.fixture
def archive(tmp_path, bright):
    """A tree like that of LOL-v1."""
    root = tmp_path / 'LOLv1'
    numbers = dict(zip(('1', '2', '3', '4'), bright.values(), strict=True))
    for number, picture in numbers.items():
        split = 'eval15' if number == '4' else 'our485'
        write_png(root / split / 'low' / f'{number}.png', picture // 8)
        write_png(root / split / 'high' / f'{number}.png', picture)
    return root


def main(name, arguments):
    """Run the verb in this process."""
    return cli.main(['prepare', name.replace('_', '-'), *arguments])


def run(dataset, *arguments, limit=None):
    def limit_files():
        if limit is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, '-B', '-m', 'entropy_sde_plugin.cli', 'prepare', dataset, *map(str, arguments)]
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, preexec_fn=limit_files)


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*'))


def test_the_command_writes_databases_that_basicsr_reads(archive, bright):
    done = run('lolv1', archive)
    assert done.returncode == 0, done.stderr
    assert 'LOL-v1 train: 3 of 3 images' in done.stderr
    out = archive / 'lolv1_lmdb'
    assert done.stdout.splitlines() == [
        'train: 3 images (the published split has 485)',
        'test: 1 images (the published split has 15)',
        f'Written to {out}; option files find it by "dataroot: {archive}".',
    ]
    assert sorted(path.name for path in out.iterdir()) == [
        f'lolv1_{split}_{kind}.lmdb' for split in ('test', 'train') for kind in ('gt', 'lq')
    ]
    roots = {f'dataroot_{kind}': str(out / f'lolv1_train_{kind}.lmdb') for kind in ('lq', 'gt')}
    dataset = PairedImageDataset({**roots, 'io_backend': {'type': 'lmdb'}, 'phase': 'val', 'scale': 1})
    assert [dataset[i]['gt_path'] for i in range(len(dataset))] == ['1', '2', '3']
    assert dataset[0]['gt'].shape == (3, 200, 240)


@pytest.mark.parametrize('dataset', ['lolv1', 'lolv2-real', 'lolv2-syn', 'velol', 'ntire24'])
def test_help_says_where_the_archive_is_available(dataset):
    done = run(dataset, '--help')
    assert done.returncode == 0
    assert 'https://' in done.stdout
    assert 'cannot download it' in done.stdout


def test_keys_of_lolv2_real_are_what_the_names_share(tmp_path, bright, capsys):
    for split, number in (('Train', '00001'), ('Test', '00690')):
        write_png(tmp_path / f'Real_captured/{split}/Low/low{number}.png', bright['coffee'])
        write_png(tmp_path / f'Real_captured/{split}/Normal/normal{number}.png', bright['coffee'])
    assert main('lolv2_real', [str(tmp_path)]) == 0
    for kind in ('lq', 'gt'):
        meta = tmp_path / f'lolv2_real_lmdb/lolv2_real_test_{kind}.lmdb/meta_info.txt'
        assert meta.read_text() == '00690.png (200,240,3) 1\n'
    capsys.readouterr()


def test_writing_twice(archive, capsys):
    assert main('lolv1', [str(archive), '--out', str(archive / 'out')]) == 0
    before = (archive / 'out/lolv1_train_gt.lmdb/data.mdb').read_bytes()
    capsys.readouterr()
    assert main('lolv1', [str(archive), '--out', str(archive / 'out')]) == 1
    assert 'exists already: remove it, or overwrite it (--overwrite' in capsys.readouterr().err
    assert main('lolv1', [str(archive), '--out', str(archive / 'out'), '--overwrite']) == 0
    assert (archive / 'out/lolv1_train_gt.lmdb/data.mdb').read_bytes() == before


def test_one_split_of_an_incomplete_download(archive, capsys):
    for path in (archive / 'eval15').rglob('*.png'):
        path.unlink()
    (archive / 'eval15/low').rmdir()
    assert main('lolv1', [str(archive)]) == 1
    captured = capsys.readouterr().err
    assert 'holds no test split of LOL-v1: looked for' in captured
    assert main('lolv1', [str(archive), '--splits', 'train']) == 0
    assert len(list((archive / 'lolv1_lmdb').iterdir())) == 2


def spoil_headers(root, bright):
    for kind in ('low', 'high'):
        (root / 'our485' / kind / '1.png').write_bytes(b'no image')


def spoil_pixels(root, bright):
    path = root / 'our485/low/1.png'
    path.write_bytes(path.read_bytes()[:-2000])


def remove_partners(root, bright):
    (root / 'our485/low/1.png').unlink()
    (root / 'eval15/high/4.png').unlink()
    write_png(root / 'eval15/high/5.png', bright['coffee'])


def change_size(root, bright):
    write_png(root / 'our485/high/2.png', bright['coffee'][:, 1:])


def repeat_name(root, bright):
    for kind in ('low', 'high'):
        write_png(root / 'our485' / kind / '1.jpg', bright['coffee'])


def name_badly(root, bright):
    for kind in ('low', 'high'):
        for name in ('a.1', 'a.2', 'ä', 'two words'):
            write_png(root / 'our485' / kind / f'{name}.png', bright['coffee'])


@pytest.mark.parametrize(
    ('spoil', 'lines'),
    [
        (spoil_headers, [f'our485/{kind}/1.png: not a readable image' for kind in ('low', 'high')]),
        (spoil_pixels, ['our485/low/1.png: not a readable image']),
        (
            remove_partners,
            [
                "our485/high/1.png: its partner '1' is not in",
                "eval15/high/5.png: its partner '5' is not in",
                'eval15/low/4.png: no partner in',
            ],
        ),
        (change_size, ['our485/low/2.png is 240x200, but']),
        (repeat_name, [f'our485/{kind}: 1.jpg and 1.png share a name' for kind in ('low', 'high')]),
        (
            name_badly,
            [
                "our485/high: key 'a.1' has a dot",
                "our485/high: key 'a.2' has a dot",
                "our485/high: key 'two words' has white space",
                "our485/high: key 'ä' has characters outside ASCII",
            ],
        ),
    ],
)
def test_every_offender_is_listed_and_nothing_is_written(archive, bright, capsys, spoil, lines):
    spoil(archive, bright)
    before = below(archive)
    assert main('lolv1', [str(archive)]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == len(lines)
    for error, line in zip(errors, lines, strict=True):
        assert line in error
    assert below(archive) == before


def test_offenders_of_every_kind_are_listed_together(archive, bright, capsys):
    for spoil in (remove_partners, change_size, repeat_name, name_badly):
        spoil(archive, bright)
    cut_off = archive / 'our485/low/3.png'
    cut_off.write_bytes(cut_off.read_bytes()[:-2000])
    before = below(archive)
    assert main('lolv1', [str(archive)]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    wanted = [
        'our485/high: 1.jpg and 1.png share a name',
        'our485/high: key',
        'our485/high: key',
        'our485/high: key',
        'our485/high: key',
        'our485/low/2.png is 240x200, but',
        "eval15/high/5.png: its partner '5' is not in",
        'eval15/low/4.png: no partner in',
        'our485/low/3.png: not a readable image',
    ]
    assert len(errors) == len(wanted)
    for error, line in zip(errors, wanted, strict=True):
        assert line in error
    assert below(archive) == before


def test_unreadable_images_of_all_splits_are_listed_together(archive, capsys):
    broken = [
        archive / name for name in ('our485/low/1.png', 'our485/high/1.png', 'our485/low/3.png', 'eval15/low/4.png')
    ]
    for path in broken:
        path.write_bytes(path.read_bytes()[:-2000])
    assert main('lolv1', [str(archive)]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert [line.split(': ')[1] for line in errors] == [str(path) for path in broken]


def test_a_place_that_cannot_be_written(archive, capsys):
    (archive / 'file').write_text('in the way')
    assert main('lolv1', [str(archive), '--out', str(archive / 'file' / 'out')]) == 1
    assert 'cannot be written (Not a directory)' in capsys.readouterr().err


def test_a_missing_folder(tmp_path, capsys):
    assert main('lolv1', [str(tmp_path / 'nowhere')]) == 1
    assert 'our485/low with our485/high or Train/input with Train/target' in capsys.readouterr().err
    assert below(tmp_path) == []


def test_ctrl_c(archive, capsys, monkeypatch):
    """The interruption is a stand-in; `test_lmdb_store.test_ctrl_c_leaves_nothing` sends a true signal."""

    def interrupted(pairs, *options):
        yield pairs[0]
        raise KeyboardInterrupt

    monkeypatch.setattr('entropy_sde_plugin.cli.prepare.tracked', interrupted)
    before = below(archive)
    assert main('lolv1', [str(archive)]) == 130
    assert 'Nothing was written' in capsys.readouterr().err
    assert below(archive) == before


@pytest.mark.skipif(sys.platform == 'win32', reason='limits the size of files as POSIX does')
def test_a_full_disk(archive):
    """A limit on the size of files stands in for the disk: writing fails in the same place."""
    before = below(archive)
    done = run('lolv1', archive, limit=100_000)
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert done.stderr.count('error: ') == 1  # the training split; the other is small
    assert 'could not be written' in done.stderr
    assert below(archive) == before
