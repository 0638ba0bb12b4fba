"""Any module may be imported first, in any order, and the lower layers do without BasicSR.

Every case is a fork of one process that has imported the libraries, but neither BasicSR nor this package. Strict mode
lets a failing registration raise.
"""

from __future__ import annotations

import importlib.util
import json
import random

from tests.support.commands import ROOT, python

PACKAGE = ROOT / 'entropy_sde_plugin'
NEEDS_PAGE = {'entropy_sde_plugin.demo.page', 'entropy_sde_plugin.demo.page_guard'}
WITHOUT_BASICSR = (
    *('errors', 'utils', 'diffusion', 'networks', 'losses', 'metrics', 'data', 'options', 'checkpoints', 'inference'),
    'demo.photographs',
)
ORDERS = 20
SEED = 2024

FORKS = """
import contextlib, importlib, json, os, sys
cases, blocked = json.load(open(sys.argv[1]))

def foreign():
    ours = ('basicsr', 'entropy_sde_plugin', '__main__')
    return [name for name in list(sys.modules) if name.split('.')[0] not in ours]
def fork(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def load(names):
    if blocked:
        sys.modules['basicsr'] = None
    for name in names:
        importlib.import_module(name)
    if not blocked and 'basicsr' in sys.modules:
        from basicsr.utils.registry import MODEL_REGISTRY
        assert 'IRSDEModel' in MODEL_REGISTRY

def scout():
    for names in cases:
        load(names)
    with open(sys.argv[1] + '.libraries', 'w') as file:
        json.dump(foreign(), file)

# What all cases import of other packages is imported once, here.
if not fork(scout):
    print(json.dumps(cases))
    sys.exit()
for name in json.load(open(sys.argv[1] + '.libraries')):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
assert 'basicsr' not in sys.modules and 'entropy_sde_plugin.errors' not in sys.modules
print(json.dumps([names for names in cases if not fork(lambda: load(names))]))
"""


def modules() -> list[str]:
    names = []
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        names.append('.'.join(parts[:-1] if parts[-1] == '__init__' else parts))
    has_page = importlib.util.find_spec('gradio') is not None  # an extra
    return [name for name in names if has_page or name not in NEEDS_PAGE]


def fork_and_import(cases, cwd, *, blocked=False):
    """Import each list of modules in a fork; return those that failed, and what they said."""
    file = cwd / 'cases.json'
    file.write_text(json.dumps([cases, blocked]))
    code, out, err = python('-c', FORKS, file, cwd=cwd, ENTROPY_SDE_PLUGIN='strict')
    assert code == 0, err
    return json.loads(out.splitlines()[-1]), err


def test_every_module_may_be_the_first(tmp_path):
    failed, err = fork_and_import([[name] for name in modules()], tmp_path)
    assert not failed, err


def test_all_modules_in_random_orders(tmp_path):
    rng = random.Random(SEED)
    orders = [rng.sample(modules(), len(modules())) for _ in range(ORDERS)]
    failed, err = fork_and_import(orders, tmp_path)
    assert not failed, f'{err}\nthe first order that failed: {failed[0]}'


def test_lower_layers_import_without_basicsr(tmp_path):
    prefixes = [f'entropy_sde_plugin.{layer}' for layer in WITHOUT_BASICSR]
    cases = [[name for name in modules() if f'{name}.'.startswith(f'{prefix}.')] for prefix in prefixes]
    assert all(cases)
    failed, err = fork_and_import(cases, tmp_path, blocked=True)
    assert not failed, err


def test_few_modules_lie_loose_at_the_top():
    loose = sorted(path.name for path in PACKAGE.glob('*.py'))
    assert len(loose) <= 6, loose


def test_modules_are_small():
    long = [str(path.relative_to(ROOT)) for path in PACKAGE.rglob('*.py') if len(path.read_text().splitlines()) > 400]
    assert not long
