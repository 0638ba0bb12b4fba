"""Files of a run, whole or not there."""

from __future__ import annotations

import pytest

from entropy_sde_plugin.utils.atomic_file import WriteError, write_file
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
