"""Disks that are soon full."""

import shutil
import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def small_disk(folder, size):
    """Mount a file system of ``size`` (e.g. ``'1m'``) at a new folder; skip the test where nobody may mount."""
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(folder)]
    if shutil.which('mount') is None or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip('mounting a file system needs root here; the tests with limited file sizes cover this case')
    try:
        yield folder
    finally:
        subprocess.run(['umount', str(folder)], check=True)
