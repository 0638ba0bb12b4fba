"""Commands on a disk that takes no more: one line that names the file, and nothing half-written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from entropy_sde_plugin.checkpoints import files
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.utils.atomic_file import atomic_file
from entropy_sde_plugin.utils.resources import packaged_model
from tests.support.disks import small_disk
from tests.support.forks import python_m
from tests.support.hostile import materials


def files_in(folder):
    return sorted(path for path in folder.rglob('*') if path.is_file())


# --- the error --------------------------------------------------------------------------------------------------------


def test_a_failed_write_names_the_file(tmp_path, monkeypatch):
    """The system's own error of a write names none."""
    path = tmp_path / 'a.png'
    path.write_bytes(b'old')

    def fsync(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, 'fsync', fsync)
    with pytest.raises(OSError, match='Input/output error') as caught, atomic_file(path) as file:
        file.write(b'new')
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))
    assert path.read_bytes() == b'old'
    assert files_in(tmp_path) == [path]


def test_a_folder_that_is_gone_is_named_by_the_file_in_it(tmp_path):
    path = tmp_path / 'gone' / 'a.png'
    with pytest.raises(FileNotFoundError) as caught, atomic_file(path):
        pass
    assert caught.value.filename == str(path)
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as caught, atomic_file(path):
        pass
    assert caught.value.filename == str(path)


def test_what_else_fails_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_file(tmp_path / 'a.png'):
        Path(tmp_path, 'other').read_bytes()
    assert caught.value.filename == str(tmp_path / 'other')
    assert files_in(tmp_path) == []


# --- commands ---------------------------------------------------------------------------------------------------------


def test_enhancing(tmp_path, capsys):
    (tmp_path / 'small.png').write_bytes(materials.encoded(materials.NAMES[0], 'png'))
    with small_disk(tmp_path / 'disk', '8k') as disk:
        (disk / 'filler').write_bytes(bytes(8192))
        picture = str(tmp_path / 'small.png')
        assert main(['enhance', '-i', picture, '-o', str(disk), '--steps', '1', '--ext', 'tif']) == 1
        assert capsys.readouterr().err.splitlines()[-1] == f"error: '{disk / 'small.tif'}': No space left on device."
        assert files_in(disk) == [disk / 'filler']


def test_converting(tmp_path, capsys):
    with small_disk(tmp_path / 'disk', '64k') as disk:
        target = disk / 'out.safetensors'
        assert main(['convert', str(packaged_model()), str(target)]) == 1
        assert capsys.readouterr().err.splitlines()[-1] == f"error: '{target}': No space left on device."
        assert files_in(disk) == []


def test_exporting(tmp_path, capsys):
    with small_disk(tmp_path / 'disk', '64k') as disk:
        target = disk / 'out.onnx'
        assert main(['export', '-o', str(target)]) == 1
        assert capsys.readouterr().err.splitlines()[-1] == f"error: '{target}': No space left on device."
        assert files_in(disk) == []


def test_a_training_ends_in_one_line_and_its_checkpoints_are_whole(tmp_path):
    """It saves in every iteration until the disk is full; checkpoints, images, records and log lie on it."""
    materials.write_folders(tmp_path)
    opt = materials.training()
    opt['datasets']['train'] |= {key: str(tmp_path / key[-2:]) for key in ('dataroot_lq', 'dataroot_gt')}
    opt['datasets']['val'] |= {key: str(tmp_path / key[-2:]) for key in ('dataroot_lq', 'dataroot_gt')}
    opt['train']['total_iter'] = 500
    opt['logger']['save_checkpoint_freq'] = 1
    with small_disk(tmp_path / 'disk', '1m') as disk:
        file = materials.write_options(disk, opt)
        code, _, err = python_m('basicsr.train', '-opt', file, cwd=disk)
        assert code == 1
        assert 'Traceback' not in err
        expected = [line for line in err.splitlines() if line.startswith('error: ')]
        assert len(expected) == 1
        assert str(disk / 'experiments/run') in expected[0]
        assert 'No space left on device' in expected[0]
        run = disk / 'experiments' / 'run'
        states = sorted(int(path.stem) for path in (run / 'training_states').glob('*.state'))
        assert states
        for iteration in states:
            for path in (run / f'models/net_g_{iteration}.pth', run / f'training_states/{iteration}.state'):
                assert files.damage(path) is None
        assert not list(disk.rglob('*.part'))
