"""BasicSR as the tests meet it: the one installed beside the plugin, and a bare checkout."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

# Two workers share the cores: threads that wait for each other would cost more than they bring.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import entropy_sde_plugin
from entropy_sde_plugin.utils.signals import SIGNALS
from tests.support.kept import kept_folder

entropy_sde_plugin.register()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what a test wrote of names that are not UTF-8: pytest-xdist can send reports in UTF-8 only."""
    report = yield
    report.sections = [(title, text.encode(errors='backslashreplace').decode()) for title, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def own_signals() -> Generator[None, None, None]:
    """Leave the signals as they were: a process that later tests fork would catch SIGTERM, and never end."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def one_run(monkeypatch, tmp_path):
    """A run of its own in this process: in a folder, with a fresh excepthook, leaving no seeds and no run behind."""
    from entropy_sde_plugin.training import run
    from entropy_sde_plugin.utils import random_state

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, '_current', None)
    monkeypatch.setattr(sys, 'excepthook', sys.__excepthook__)
    with random_state.preserved():
        yield


@pytest.fixture
def log(caplog):
    """The records of BasicSR's logger, which does not propagate."""
    from basicsr.utils import get_root_logger

    logger = get_root_logger()
    caplog.set_level('INFO', logger.name)
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope='session')
def basicsr_checkout(tmp_path_factory, pytestconfig):
    """A folder like a clone of BasicSR: ``basicsr/`` without the ``version.py`` that only its setup.py writes."""
    checkout = tmp_path_factory.mktemp('BasicSR')
    if sys.version_info >= (3, 13):  # pip prepares what it downloads, and the sdist cannot be prepared here
        import basicsr

        shutil.copytree(Path(basicsr.__file__).parent, checkout / 'basicsr')
        (checkout / 'VERSION').write_text(basicsr.__version__)
    else:
        with tarfile.open(_sdist(kept_folder(pytestconfig, tmp_path_factory, 'basicsr'))) as archive:
            members = [member for member in archive.getmembers() if '/' in member.name]
            for member in members:
                member.name = member.name.partition('/')[2]
            archive.extractall(checkout, members, filter='data')
    (checkout / 'basicsr' / 'version.py').unlink(missing_ok=True)
    return checkout


def _sdist(cache: Path) -> Path:
    sdist = cache / 'basicsr-1.4.2.tar.gz'
    if not sdist.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--no-build-isolation']
            command += ['--no-binary=basicsr', 'basicsr==1.4.2']
            subprocess.run(command, cwd=folder, check=True)
            (Path(folder) / sdist.name).replace(sdist)
    return sdist
