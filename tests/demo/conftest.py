"""The demonstration's databases, written once."""

from __future__ import annotations

import pytest

from entropy_sde_plugin.demo.photographs import write_demo_databases


@pytest.fixture(scope='session')
def demo_databases(tmp_path_factory):
    return write_demo_databases(tmp_path_factory.mktemp('demo') / 'databases', seed=0)
