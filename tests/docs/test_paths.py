"""The architecture page names what exists."""

from __future__ import annotations

import re

import pytest

from tests.support.commands import ROOT

PAGE = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')
PACKAGE = ROOT / 'entropy_sde_plugin'


def named():
    """Files and folders in backquotes, without placeholders such as ``<name>``."""
    return sorted(set(re.findall(r'`([\w.]+/[\w./]*|\w+\.py)`', PAGE)))


@pytest.mark.parametrize('path', named())
def test_files_and_folders_exist(path):
    assert (PACKAGE / path).exists() or (ROOT / path).exists()


def test_the_table_of_packages_lists_all_of_them():
    table = PAGE[PAGE.index('## Packages') : PAGE.index('## The seams')]
    packages = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    first_cells = ' '.join(re.findall(r'^\| (`.*?) \|', table, re.MULTILINE))
    assert packages - set(re.findall(r'`(\w+)`', first_cells)) == set()
