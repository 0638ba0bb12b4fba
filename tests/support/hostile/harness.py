"""Cases, how they are run, and what counts as a defect."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

Build = Callable[[Path, np.random.Generator], 'Trial']
"""(An empty folder, a generator) -> what is malformed in the folder, and the command that meets it."""

CANARY = 'code_was_run'
"""File that malformed input would create if code in it were run."""

TIMEOUT = 60
"""Seconds after which a command counts as hanging."""

MEMORY = 12 << 30
"""Bytes of address space for a command: what asks for more fails in it alone."""

OUTPUTS = ('experiments', 'results', 'tb_logger', 'out')
"""What commands may create in the folder that they run in."""

_NOISE = re.compile(r'libpng|Corrupt JPEG|Premature end|TIFF\w*:|\[ ?WARN|\[ERROR|Warning:|\bat 0x[0-9a-f]{6}')
"""What decoders and libraries print on their own, beside our line."""


class Trial(NamedTuple):
    """A malformed input that lies in the working directory, and the command that meets it.

    Attributes:
        command: The verb, ``train``, ``test`` or one of ``entropy-sde``'s, and its arguments.
        culprits: The line must hold each of them: a file, a key, an option.
        may_pass: Whether nobody can tell that something is wrong, as where a bit of a colour is flipped.
    """

    command: tuple[str, ...]
    culprits: tuple[str, ...]
    may_pass: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        family, name: The case.
        code: Exit code; minus the signal's number where one ended the command; none where it hung.
        errors: What it wrote to standard error.
        defects: What it should have done otherwise, a phrase each.
        seconds: How long it took.
    """

    family: str
    name: str
    code: int | None
    errors: str
    defects: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return f'{self.family}: {self.name}: exit code {self.code}; {"; ".join(self.defects)}\n{self.errors[-2000:]}'


def meet(family: str, name: str, build: Build, folder: Path, seed: int, *, fork: bool = True) -> Outcome:
    """Build a case in a folder, run its command there and judge it.

    Args:
        family: Name of its family.
        name: Its own name.
        build: Builds it.
        folder: An empty folder.
        seed: Decides where the file is damaged.
        fork: Run in a fork of this process, which has imported everything, instead of a fresh Python.
    """
    place = folder / 'case'
    place.mkdir(parents=True)
    trial = build(place, np.random.default_rng([seed, *f'{family} {name}'.encode()]))
    before = dict(_fingerprints(place))
    start = time.monotonic()
    with (folder / 'stdout').open('wb') as out, (folder / 'stderr').open('wb') as err:
        process = _forked(trial.command, place, out.fileno(), err.fileno()) if fork else None
        code = _wait(process) if process else _spawned(trial.command, place, out, err)
    errors = (folder / 'stderr').read_text(encoding='utf-8', errors='replace')
    defects = tuple(_defects(trial, code, errors, before, place))
    return Outcome(family, name, code, errors, defects, time.monotonic() - start)


def _fingerprints(place: Path) -> Iterator[tuple[str, str]]:
    for folder, folders, files in os.walk(place):
        for name in [*folders, *files]:
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                content = str(path.readlink()) if path.is_symlink() else 'no file'
            else:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            yield str(path.relative_to(place)), content


def _defects(trial: Trial, code: int | None, errors: str, before: dict[str, str], place: Path) -> Iterator[str]:
    if code is None:
        yield f'hung for {TIMEOUT} s'
    elif code < 0:
        yield f'ended by signal {-code}'
    if 'Traceback' in errors:
        yield 'a traceback'
    lines = [line for line in errors.replace('\r', '\n').splitlines() if line.strip()]
    reports = [line for line in lines if re.match(r'error: |skipped: ', line)]
    if code == 0 and not trial.may_pass:
        yield 'passed as if nothing were wrong'
    if code not in (0, None):
        yield from _faults_of_lines(trial, lines, reports)
    after = dict(_fingerprints(place))
    changed = [name for name, content in before.items() if after.get(name) != content]
    if changed:
        yield f'changed {changed}'
    left = [name for name in after if name not in before and not name.startswith(OUTPUTS)]
    left += [name for name in after if name.endswith('.part')]
    if left:
        yield f'left {left}'
    if list(place.rglob(CANARY)):
        yield 'ran code'


def _faults_of_lines(trial: Trial, lines: list[str], reports: list[str]) -> Iterator[str]:
    skipped = [line for line in reports if line.startswith('skipped: ')]
    if len(reports) != 1 + len(skipped) or len(skipped) > 1:
        yield f'{len(reports)} lines where one belongs'
    if not reports or lines[-1] != reports[-1]:
        yield 'does not end with its line'
    for culprit in trial.culprits:
        if reports and culprit not in reports[0]:
            yield f'the line does not name {culprit}'
    if reports and len(reports[0]) > 1500:
        yield f'a line of {len(reports[0])} characters'
    noise = [line for line in lines if _NOISE.search(line)]
    if noise:
        yield f'noise: {noise[0][:200]}'


# --- running ----------------------------------------------------------------------------------------------------------


def run_here(command: tuple[str, ...]) -> int | None:
    """Run a command in this process."""
    verb, *arguments = command
    if verb not in ('train', 'test'):
        from entropy_sde_plugin.cli import main

        return main(command)
    from importlib import import_module

    sys.argv = [verb, *arguments]
    return import_module(f'entropy_sde_plugin.{verb}').main()


def _forked(command: tuple[str, ...], place: Path, out: int, err: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        os.chdir(place)
        os.dup2(out, 1)
        os.dup2(err, 2)
        # As of a Python of its own, once its streams are secured (utils.streams).
        sys.stdout = os.fdopen(1, 'w', buffering=1, errors='replace')
        sys.stderr = os.fdopen(2, 'w', buffering=1, errors='backslashreplace')
        sys.excepthook = sys.__excepthook__
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        try:
            code = run_here(command) or 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _wait(child: int) -> int | None:
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _spawned(command: tuple[str, ...], place: Path, out, err) -> int | None:
    verb, *arguments = command
    module = [f'basicsr.{verb}', *arguments] if verb in ('train', 'test') else ['entropy_sde_plugin.cli', *command]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': ''}
    try:
        done = subprocess.run(
            [sys.executable, '-m', *module], cwd=place, env=environment, stdout=out, stderr=err, timeout=2 * TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode


def import_everything() -> None:
    """Import what the commands import, so that a fork starts in milliseconds."""
    import basicsr.test
    import basicsr.train

    from entropy_sde_plugin.evaluation import evaluate
    from entropy_sde_plugin.inference import enhancer, folder

    assert all((basicsr.test, basicsr.train, evaluate, enhancer, folder))
