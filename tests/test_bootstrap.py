"""How the plugin gets into a Python that imports BasicSR, and out of the way of any other."""

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from entropy_sde_plugin import _bootstrap
from entropy_sde_plugin.utils.resources import packaged_model
from tests.support.commands import ROOT, python
from tests.support.pictures import write_png


@pytest.fixture
def bare_python(monkeypatch):
    """Put this process back to before BasicSR was imported, as far as finders see."""
    monkeypatch.delitem(sys.modules, 'basicsr')
    monkeypatch.setattr(sys, 'meta_path', [finder for finder in sys.meta_path if not is_ours(finder)])


def is_ours(finder):
    return isinstance(finder, _bootstrap.BasicSRFinder)


# --- the hook in this process -----------------------------------------------------------------------------------------


def test_install_is_idempotent_and_obeys_its_switch(bare_python, monkeypatch):
    monkeypatch.setenv('ENTROPY_SDE_PLUGIN', '0')
    _bootstrap.install()
    assert not any(map(is_ours, sys.meta_path))
    monkeypatch.delenv('ENTROPY_SDE_PLUGIN')
    _bootstrap.install()
    _bootstrap.install()
    assert [is_ours(finder) for finder in sys.meta_path].count(True) == 1


def test_an_editable_basicsr_is_found_behind_sys_path(bare_python, monkeypatch, basicsr_checkout):
    """The finder of an editable installation stands at the end; this one asks for BasicSR itself, too."""
    spec = importlib.util.spec_from_file_location('basicsr', basicsr_checkout / 'basicsr' / '__init__.py')
    true_loader = spec.loader

    class EditableFinder:
        @staticmethod
        def find_spec(fullname, path=None, target=None):
            monkeypatch.setattr(sys, 'meta_path', sys.meta_path[:-1])
            assert importlib.util.find_spec('basicsr') is None
            return spec

    monkeypatch.setattr(sys, 'path', [])
    monkeypatch.setattr(sys, 'meta_path', [importlib.machinery.PathFinder, EditableFinder])
    _bootstrap.install()
    assert importlib.util.find_spec('basicsr') is spec
    assert isinstance(spec.loader, _bootstrap.PluginLoader)
    assert spec.loader.get_filename('basicsr') == true_loader.get_filename('basicsr')
    assert _bootstrap.BasicSRFinder().find_spec('basicsr.train') is None


def test_a_folder_that_is_only_called_basicsr_is_left_alone(bare_python, monkeypatch, tmp_path):
    (tmp_path / 'basicsr').mkdir()
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    _bootstrap.install()
    spec = importlib.util.find_spec('basicsr')
    assert spec is not None
    assert not isinstance(spec.loader, _bootstrap.PluginLoader)


# --- a Python start ---------------------------------------------------------------------------------------------------


def test_a_start_imports_nothing_but_the_bootstrap(tmp_path):
    code = f'import os, sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules); import entropy_sde_plugin'
    code += '; print(sorted(set(sys.modules) - before))'
    _, out, err = python('-S', '-c', code, cwd=tmp_path)
    assert err == ''
    assert set(eval(out)) <= {'__future__', 'entropy_sde_plugin', 'entropy_sde_plugin._bootstrap'}


def test_a_startup_file_without_its_package_says_nothing(tmp_path):
    """As an editable installation leaves it whose checkout has moved."""
    (tmp_path / 'entropy_sde_plugin.pth').write_text((ROOT / 'entropy_sde_plugin.pth').read_text())
    code = f'import site; site.addsitedir({str(tmp_path)!r}); print("alive")'
    assert python('-S', '-c', code, cwd=tmp_path) == (0, 'alive\n', '')


def test_in_place_everywhere(tmp_path):
    """In workers of every start method, and here, where a part of the plugin is the first to import BasicSR."""
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    code, out, err = python(script, cwd=tmp_path, ENTROPY_SDE_PLUGIN='strict')
    assert code == 0, err
    assert json.loads(out) == {
        'here': ['active', 'SourceFileLoader', 'SourceFileLoader', [], True],
        'fork': True,
        'spawn': True,
        'forkserver': True,
    }


SCRIPT = """
import json, multiprocessing, sys

def registered(_=None):
    import basicsr
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY
    wanted = {
        ARCH_REGISTRY: 'ConditionalNAFNet', DATASET_REGISTRY: 'LOLDataset',
        LOSS_REGISTRY: 'SpatialEntropyLoss', MODEL_REGISTRY: 'IRSDEModel',
    }
    return all(name in registry for registry, name in wanted.items())

if __name__ == '__main__':
    found = {}
    for method in ('forkserver', 'spawn'):
        with multiprocessing.get_context(method).Pool(1) as pool:
            found[method] = pool.map(registered, [None])[0]
    from entropy_sde_plugin.losses.spatial_entropy.module import SpatialEntropyLoss
    import basicsr, entropy_sde_plugin
    left = [type(f).__name__ for f in sys.meta_path if 'BasicSR' in type(f).__name__]
    left += [name for name in sys.modules if name == 'torchvision.transforms.functional_tensor']
    loaders = [type(basicsr.__loader__).__name__, type(basicsr.__spec__.loader).__name__]
    found['here'] = [entropy_sde_plugin._state, *loaders, left, registered()]
    with multiprocessing.get_context('fork').Pool(1) as pool:
        found['fork'] = pool.map(registered, [None])[0]
    print(json.dumps(found))
"""


def test_pictures_and_weights_need_no_basicsr(tmp_path):
    """Importing it takes longer than PyTorch; where it is missing, they work all the same."""
    write_png(tmp_path / 'dark.png', np.full((16, 16, 3), 20, np.uint8))
    code = "import sys; sys.modules['basicsr'] = None; from entropy_sde_plugin.cli import main; main(sys.argv[1:])"
    for verb in (
        ['enhance', '-i', 'dark.png', '-o', 'bright', '--steps', '1'],
        ['convert', packaged_model(), 'a.safetensors'],
    ):
        returned, _, err = python('-c', code, *verb, cwd=tmp_path)
        assert returned == 0, err
    assert (tmp_path / 'bright' / 'dark.png').exists()
    assert (tmp_path / 'a.safetensors').exists()


def test_a_broken_plugin_leaves_basicsr_alive(tmp_path):
    code = (
        "import sys; sys.modules['entropy_sde_plugin.registrations'] = None; import basicsr; print(basicsr.__version__)"
    )
    code, out, err = python('-c', code, cwd=tmp_path)
    assert (code, out) == (0, '1.4.2\n'), err
    assert err.count('RuntimeWarning: entropy_sde_plugin is not active (ModuleNotFoundError') == 1


def test_in_strict_mode_a_broken_plugin_raises(monkeypatch):
    monkeypatch.setenv('ENTROPY_SDE_PLUGIN', 'strict')
    with pytest.raises(ValueError, match='broken'), _bootstrap.PluginErrorsAsWarnings():
        raise ValueError('broken')


def test_without_basicsr_one_line_says_how_to_get_it(tmp_path):
    """An environment with the plugin alone: the first use says what is missing."""
    code, out, err = python('-S', '-m', 'entropy_sde_plugin.train', cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert (code, out) == (1, '')
    assert err.startswith('error: BasicSR is not installed.')
    assert err.count('\n') == 1


# --- packages ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def wheels(tmp_path_factory):
    """A wheel and an editable wheel, built where no compiler works, from the files that git would give a clone."""
    source = tmp_path_factory.mktemp('source')
    listed = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    folder = tmp_path_factory.mktemp('wheels')
    for kind, hook in (('normal', 'build_wheel'), ('editable', 'build_editable')):
        (folder / kind).mkdir()
        build = f'import setuptools.build_meta as backend; backend.{hook}({str(folder / kind)!r})'
        code, _, err = python('-c', build, cwd=source, CC='false', CXX='false')
        assert code == 0, err
    return next((folder / 'normal').glob('*.whl')), next((folder / 'editable').glob('*.whl'))


def test_what_a_wheel_holds(wheels):
    assert re.fullmatch(r'entropy_sde_plugin-[\d.]+-py3-none-\w+\.whl', wheels[0].name)  # for every Python
    names, editable = (zipfile.ZipFile(wheel).namelist() for wheel in wheels)
    assert 'entropy_sde_plugin.pth' in names
    assert 'entropy_sde_plugin.pth' in editable
    options = {path.name for path in (ROOT / 'options').glob('*.yml')}
    assert {name.rpartition('/')[2] for name in names if '/options_files/' in name} == options
    assert 'entropy_sde_plugin/demo/photographs/astronaut.jpg' in names
    assert 'entropy_sde_plugin/demo/photographs/ATTRIBUTION.md' in names
    assert 'entropy_sde_plugin/pretrained/lowlight_small.safetensors' in names
    assert 'entropy_sde_plugin/pretrained/MODEL_CARD.md' in names
    assert not [name for name in names if name.startswith(('tests/', 'options/', 'scripts/'))]


def test_uninstalling_leaves_nothing(wheels, tmp_path):
    environment = tmp_path / 'environment'
    python('-m', 'venv', '--without-pip', environment, cwd=tmp_path)
    interpreter = environment / 'bin' / 'python'
    before = files_of(environment)
    assert interpreter in before
    pip = ('-m', 'pip', '-q', '--python', interpreter)
    hooked = 'import sys; print(any("BasicSR" in type(finder).__name__ for finder in sys.meta_path))'
    for wheel in wheels:
        assert python(*pip, 'install', '--no-deps', wheel, cwd=tmp_path)[0] == 0
        assert subprocess.run([interpreter, '-c', hooked], capture_output=True, text=True).stdout == 'True\n'
        assert python(*pip, 'uninstall', '-y', 'entropy-sde-plugin', cwd=tmp_path)[0] == 0
        assert files_of(environment) == before


def files_of(environment):
    return sorted(path for path in environment.rglob('*') if path.is_file())
