"""Files of a run, whole or not there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.atomic_file import (
    WriteError,
    atomic_file,
    check_output_folder,
    output_path,
    write_file,
)
from tests.support.disks import small_disk


def test_a_folder_is_made_and_a_file_replaced(tmp_path):
    path = tmp_path / 'visualization' / 'coffee' / 'coffee_2.png'
    write_file(path, b'old')
    write_file(path, b'new')
    assert path.read_bytes() == b'new'
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_what_stood_there(tmp_path):
    with small_disk(tmp_path / 'disk', '64k') as disk:
        path = disk / 'metrics.csv'
        write_file(path, b'old')
        with pytest.raises(
            WriteError, match=r"metrics\.csv' could not be written: No space left on device\."
        ) as caught:
            write_file(path, bytes(1 << 17))
        assert '\n' not in str(caught.value)
        assert path.read_bytes() == b'old'
        assert [entry.name for entry in disk.iterdir()] == ['metrics.csv']


def test_a_folder_in_the_way_is_reported(tmp_path):
    (tmp_path / 'run.json').mkdir()
    with pytest.raises(WriteError, match=r"run\.json' could not be written: Is a directory"):
        write_file(tmp_path / 'run.json', b'{}')


def test_a_read_only_disk_is_known_before_the_work_and_names_the_file(tmp_path):
    """Such a disk refuses the removal of the temporary file too, which must not hide the first error."""
    with small_disk(tmp_path / 'disk', '64k') as disk:
        subprocess.run(['mount', '-o', 'remount,ro', str(disk)], check=True)
        with pytest.raises(OSError, match='Read-only file system') as caught, atomic_file(disk / 'a.html'):
            pass
        assert caught.value.filename == str(disk / 'a.html')
        message = rf"'{disk}': no file can be written there \(Read-only file system\)"
        with pytest.raises(InputError, match=message):
            output_path(disk / 'a.html', '.html')
        with pytest.raises(InputError, match=message):
            check_output_folder(disk / 'new' / 'deep')


def test_an_output_folder_that_cannot_be_made_is_known_before_the_work(tmp_path):
    (tmp_path / 'file').touch()
    (tmp_path / 'dangling').symlink_to('nowhere')
    (tmp_path / 'loop').symlink_to('loop')
    for name in ('file', 'file/out', 'dangling', 'loop', 'loop/out'):
        with pytest.raises(InputError, match=rf"'{tmp_path}/{Path(name).parts[0]}' is not a folder"):
            check_output_folder(tmp_path / name)
    with pytest.raises(InputError, match="'/proc': no file can be written there"):
        check_output_folder(Path('/proc/out'))
    check_output_folder(tmp_path / 'new' / 'deep')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['dangling', 'file', 'loop']
