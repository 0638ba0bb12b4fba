"""How the processes of a run meet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils import distributed


@pytest.mark.parametrize(('rank', 'size'), [('2', '2'), ('5', '2'), ('x', '2'), ('0', '0')])
def test_a_rank_that_no_process_can_have_is_not_waited_for(monkeypatch, rank, size):
    monkeypatch.setattr(distributed, 'MEETING', timedelta(seconds=1))
    for name, value in {'RANK': rank, 'WORLD_SIZE': size, 'MASTER_ADDR': 'localhost', 'MASTER_PORT': '1'}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=rf'^environment: RANK={rank} and WORLD_SIZE={size} are inconsistent'):
        distributed.meet('gloo')
