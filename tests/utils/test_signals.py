"""Signals while Python cannot run a handler."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# A lock that is taken twice: unlike read and sleep, it does not return when a signal comes.
HANGING = """
import ctypes, signal
from entropy_sde_plugin.utils import signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job of a shell ignores
signals.watch()
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
print('hangs', flush=True)
libc.pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize(('first', 'second'), [('SIGTERM', 'SIGTERM'), ('SIGUSR1', 'SIGINT')])
def test_a_second_signal_ends_a_process_that_hangs_in_a_library(first, second):
    first, second = getattr(signal, first), getattr(signal, second)
    with subprocess.Popen([sys.executable, '-c', HANGING], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == 'hangs\n'
            process.send_signal(first)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(second)
            # -second if the first came in the moment between the last two lines, where Python still ran its handler.
            assert process.wait(10) in (128 + second, -second)
        finally:
            process.kill()
