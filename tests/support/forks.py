"""``python -m`` in forks of a process that has imported PyTorch and BasicSR: a command without its seconds of imports.

It ends as any process does, with its hooks and exit code. What a start itself does, torchrun, and options of the
interpreter need `tests.support.commands.python`.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.commands import ROOT, TIMEOUT

IMPORTED = ('basicsr.train', 'basicsr.test', 'entropy_sde_plugin.cli', 'torch.utils.tensorboard')
"""With all that they import."""

SERVER = 'from tests.support.forks import serve, take_over; take_over(**serve())'


def python_m(module, *arguments, cwd, processes=1, last=(), **environment):
    """Run a module as a command; return exit code, standard output and standard error, as `commands.python` does.

    Several processes meet as those of torchrun do, and as soon as one fails the others are ended. Their output is one;
    the exit code is that of the first that fails. ``last`` holds environment variables of the last process alone.
    """
    server = _server()
    environments = [ranked | environment for ranked in _ranks(processes)]
    environments[-1] |= dict(last)
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ('out', 'err')]
        request = {
            'arguments': [module, *map(str, arguments)],
            'cwd': str(cwd),
            'streams': [str(path) for path in streams],
            'environments': environments,
        }
        server.stdin.write(json.dumps(request).encode() + b'\n')
        children = json.loads(server.stdout.readline())
        try:
            if not select.select([server.stdout], [], [], TIMEOUT)[0]:
                raise TimeoutError(f'{module} takes more than {TIMEOUT} seconds.')
        except BaseException:
            for child in children:
                os.killpg(child, signal.SIGKILL)
            server.stdout.readline()
            raise
        codes = json.loads(server.stdout.readline())
        return next(filter(None, codes), 0), *(path.read_text() for path in streams)


def _ranks(processes):
    if processes == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        meeting = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(free.getsockname()[1])}
    meeting['TORCHELASTIC_RUN_ID'] = 'tests'
    return [meeting | {'RANK': f'{k}', 'LOCAL_RANK': f'{k}', 'WORLD_SIZE': f'{processes}'} for k in range(processes)]


@functools.cache
def _server():
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'bufsize': 0}
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    return subprocess.Popen([sys.executable, '-c', SERVER], cwd=ROOT, env=environment, start_new_session=True, **pipes)


def serve():
    """Fork for each line of standard input. A fork returns what it is asked to be; the server ends with its input."""
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        children = []
        for environment in request.pop('environments'):
            child = os.fork()
            if child == 0:
                return request | {'environment': environment}
            children.append(child)
        print(children, flush=True)
        print(list(_ends(children)), flush=True)
    sys.exit()


def _ends(children):
    """Yield the exit codes in the order of the ends; a failure ends the others, as torchrun ends them."""
    running = set(children)
    while running:
        child, status = os.wait()
        running.remove(child)
        code = os.waitstatus_to_exitcode(status)
        yield code
        if code:
            for other in running:
                os.killpg(other, signal.SIGTERM)


def take_over(arguments, cwd, streams, environment):
    """Become the process of a command."""
    os.setsid()
    os.chdir(cwd)
    os.environ.update(environment)
    for number, path in enumerate([os.devnull, *streams]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    sys.argv = arguments
    sys.path[0] = cwd
    runpy.run_module(arguments[0], run_name='__main__', alter_sys=True)
