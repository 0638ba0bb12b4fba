"""Commands that this process runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.child_process import SHOWN, running


def python(program):
    return [sys.executable, '-c', program]


def test_the_output_is_read_as_it_comes(tmp_path):
    program = "import os, sys; print(os.getcwd()); print('Ä', file=sys.stderr, flush=True)"
    with running('The check', python(program), tmp_path) as child:
        assert list(child) == [f'{tmp_path}\n', 'Ä\n']


def test_a_failure_shows_the_last_lines(tmp_path, capsys):
    program = 'print(*range(100), sep="\\n"); raise SystemExit(3)'
    with (
        pytest.raises(InputError, match=r'^The check stopped with exit code 3; its last lines are above\.$'),
        running('The check', python(program), tmp_path) as child,
    ):
        assert len(list(child)) == 100
    assert capsys.readouterr().err.split() == [str(line) for line in range(100 - SHOWN, 100)]


def test_it_does_not_outlive_a_command_that_is_ended(tmp_path):
    """As ``entropy-sde demo`` is by a batch system: SIGTERM to the command alone, not to its group."""
    program = """
import sys
from pathlib import Path
from entropy_sde_plugin.utils import signals
from entropy_sde_plugin.utils.child_process import running
signals.exit_on_sigterm()
program = 'import time; print("up", flush=True); time.sleep(100)'
with running('The check', [sys.executable, '-c', program], Path()) as child:
    for line in child:
        print(child.process.pid, flush=True)
"""
    with subprocess.Popen(python(program), cwd=tmp_path, stdout=subprocess.PIPE, text=True) as command:
        pid = int(command.stdout.readline())
        os.kill(command.pid, signal.SIGTERM)
        assert command.wait(30) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
