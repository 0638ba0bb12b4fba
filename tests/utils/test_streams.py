"""Standard streams: closed, unread, full; each in a process of its own, as a shell would start it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from entropy_sde_plugin.utils import streams
streams.secure()
streams.secure()
print('out', flush=True)
print('error', file=sys.stderr)
file = open('file', 'w')
os.write(2, b'from a library')
file.write('content')
"""


@pytest.mark.parametrize('streams', ['', '>&-', '2>&-', '<&- >&- 2>&-', '| true', '2>&1 | true', '2>&1 >&- | true'])
def test_a_program_runs_to_its_end_and_its_files_hold_what_it_wrote(tmp_path, streams):
    shell = f'set -o pipefail; "$0" -c "$1" {streams}'
    finished = subprocess.run(
        ['bash', '-c', shell, sys.executable, PROGRAM], cwd=tmp_path, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / 'file').read_text() == 'content'
    assert 'Traceback' not in finished.stderr
    assert 'Exception ignored' not in finished.stderr
    if not streams:
        assert (finished.stdout, finished.stderr) == ('out\n', 'error\nfrom a library')


def test_other_faults_are_still_errors(tmp_path):
    finished = subprocess.run(
        ['bash', '-c', '"$0" -c "$1" > /dev/full', sys.executable, PROGRAM],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert finished.returncode != 0
    assert 'No space left on device' in finished.stderr


@pytest.mark.parametrize(
    'encoding', ['ascii', 'latin-1', 'cp1252', 'utf-8', 'ascii:backslashreplace', 'ascii:surrogateescape']
)
def test_characters_that_do_not_fit_are_replaced(encoding):
    program = r"from entropy_sde_plugin.utils import streams; streams.secure(); print('PSNR \u2191 \u591c \udce9')"
    environment = {**os.environ, 'PYTHONIOENCODING': encoding}
    finished = subprocess.run([sys.executable, '-c', program], capture_output=True, env=environment)
    expected = {
        'utf-8': 'PSNR \u2191 \u591c ?\n'.encode(),
        'ascii:backslashreplace': rb'PSNR \u2191 \u591c \udce9' + b'\n',
    }
    assert finished.stdout == expected.get(encoding, b'PSNR ? ? ?\n'), finished.stderr


def test_every_help_can_be_read_in_ascii():
    program = """
from entropy_sde_plugin.cli import VERBS, main
for arguments in ([], *([verb.replace('_', '-')] for verb in VERBS)):
    try:
        main([*arguments, '--help'])
    except SystemExit as ending:
        assert ending.code == 0
"""
    environment = {**os.environ, 'PYTHONIOENCODING': 'ascii'}
    finished = subprocess.run([sys.executable, '-c', program], capture_output=True, env=environment, text=True)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count('usage: entropy-sde') >= 9
