"""Folders of databases, whole or not there."""

from __future__ import annotations

import errno
import os

import pytest

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.atomic_folder import atomic_folder


def test_a_disk_that_fails_at_the_end_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    """The failing disk is a mock."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with (
        pytest.raises(InputError, match=r"gt\.lmdb' cannot be written \(No space left on device\)\.$"),
        atomic_folder(tmp_path / 'gt.lmdb') as part,
    ):
        (part / 'data.mdb').write_bytes(b'pixels')
    assert list(tmp_path.iterdir()) == []
