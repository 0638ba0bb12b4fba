"""A real browser, headless and without network."""

import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--enable-logging=stderr',
    '--host-resolver-rules=MAP * ~NOTFOUND',
]


def chromium(page: Path, profile: Path, *arguments: str) -> tuple[str, list[str]]:
    """Open a page; return its document once it has loaded, and what it said on the console."""
    program = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if program is None:
        pytest.skip('no Chromium here: apt-get install chromium')
    command = [program, *FLAGS, f'--user-data-dir={profile}']
    command += ['--virtual-time-budget=5000', *arguments, '--dump-dom', page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if 'CONSOLE' in line]
