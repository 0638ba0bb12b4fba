"""How threads wait is settled before PyTorch is imported, which is when OpenMP reads it."""

from __future__ import annotations

import json

import pytest

from entropy_sde_plugin.utils.waiting import POLICY
from tests.support.commands import python

PROGRAM = """
import json, os, sys

class Witness:
    def find_spec(self, name, path=None, target=None):
        if name == 'torch':
            policy = {key: os.environ.get(key) for key in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')}
            print(json.dumps(policy), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Witness())
sys.argv = sys.argv[1:]
"""

COMMAND = """
from entropy_sde_plugin.cli import main
main(['convert', 'a', 'b'])
"""


@pytest.fixture(autouse=True)
def no_choice(monkeypatch):
    """An environment without the variables, which this process, too, has set."""
    for name in POLICY:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('program', [COMMAND, 'import basicsr', 'import entropy_sde_plugin.train as t; t.main()'])
def test_threads_sleep_while_they_wait(tmp_path, program):
    code, out, err = python('-c', PROGRAM + program, cwd=tmp_path)
    assert code == 0, err
    assert json.loads(out) == POLICY


def test_what_the_user_chose_stays(tmp_path):
    _, out, _ = python('-c', PROGRAM + COMMAND, cwd=tmp_path, OMP_WAIT_POLICY='ACTIVE')
    assert json.loads(out) == {'OMP_WAIT_POLICY': 'ACTIVE', 'GOMP_SPINCOUNT': None}
