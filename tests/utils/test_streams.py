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


LOST = 'error: standard output cannot be written (No space left on device): some of it is lost.\n'


def with_a_full(stream, *command):
    """Run a command, a stream of which is a full disk."""
    shell = ['bash', '-c', f'"$@" {stream}> /dev/full', 'bash', *command]
    return subprocess.run(shell, capture_output=True, text=True)


@pytest.mark.parametrize(
    'arguments', [['--help'], ['--version'], ['--print-completion', 'bash'], ['convert', '--help']]
)
def test_a_full_disk_is_one_line(arguments):
    finished = with_a_full('', sys.executable, '-m', 'entropy_sde_plugin.cli', *arguments)
    assert (finished.returncode, finished.stderr) == (1, LOST)


def test_what_is_still_in_a_buffer_on_a_full_disk_is_one_line_too():
    program = "from entropy_sde_plugin.utils import streams; streams.secure(); print('lost')"
    assert with_a_full('', sys.executable, '-c', program).stderr == LOST


def test_a_full_standard_error_stops_nothing():
    program = (
        'import sys; from entropy_sde_plugin.utils import streams; streams.secure()\n'
        "print('lost', file=sys.stderr, flush=True); print('done')"
    )
    finished = with_a_full('2', sys.executable, '-c', program)
    assert (finished.returncode, finished.stdout) == (0, 'done\n')


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
