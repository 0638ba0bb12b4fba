"""What a command says: to a terminal, to a pipe, and when it is asked to be quiet."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios

import pytest

from entropy_sde_plugin.utils import console
from entropy_sde_plugin.utils.console import Progress, quiet, report, tracked


@pytest.fixture
def clock(monkeypatch):
    """Time that the test moves on, in seconds."""
    now = [0.0]
    monkeypatch.setattr(console.time, 'monotonic', lambda: now[0])
    return now


def test_a_pipe_gets_a_plain_line_every_half_minute_and_one_at_the_end(clock, capsys):
    for _ in tracked(range(12), 'images', 'set5'):
        clock[0] += 8
    assert capsys.readouterr().err == (
        'set5: 4 of 12 images in 00:32\nset5: 8 of 12 images in 01:04\nset5: 12 of 12 images in 01:36\n'
    )


def test_the_amount_may_be_learnt_later_and_lines_come_between(clock, capsys):
    with Progress(None, 'iterations', 'training') as progress:
        clock[0] = 40
        progress.update(7, 'l_pix: 0.1')
        progress.say('warning: hot')
        progress.total = 9
    expected = 'training: 7 iterations in 00:40, l_pix: 0.1\nwarning: hot\ntraining: 7 of 9 iterations in 00:40\n'
    assert capsys.readouterr().err == expected


def test_a_terminal_gets_a_bar(monkeypatch):
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack('4H', 24, 80, 0, 0))
    with os.fdopen(writing, 'w') as terminal:
        monkeypatch.setattr(sys, 'stderr', terminal)
        for _ in tracked(range(3), 'images', 'set5'):
            pass
    text = ''
    with contextlib.suppress(OSError):  # the end of what a terminal was sent
        while chunk := os.read(reading, 10_000):
            text += chunk.decode()
    assert '\r' in text
    assert '3/3' in text
    assert 'set5' in text


def test_quiet_leaves_out_reports_and_progress_but_no_warning(capsys):
    with quiet():
        report('done')
        for _ in tracked(range(3), 'images'):
            Progress.say('warning: hot')
            break
        list(tracked(range(3), 'images'))
    report('said')
    assert capsys.readouterr() == ('said\n', 'warning: hot\n')
