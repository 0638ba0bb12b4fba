"""Modules lent to BasicSR's import."""

import importlib
import sys
from importlib.machinery import ModuleSpec

import pytest

from entropy_sde_plugin.compat import stand_ins


@pytest.fixture
def without(monkeypatch):
    """Make modules unimportable, as they are under newer libraries."""

    def hide(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_what_is_there_is_not_lent(without):
    name = 'scipy.ndimage.filters'
    importlib.import_module(name)
    assert stand_ins.scipy_filters() == {}
    without(name)
    lent = stand_ins.scipy_filters()[name]
    scipy = importlib.import_module('scipy.ndimage')
    assert (lent.convolve, lent.gaussian_filter) == (scipy.convolve, scipy.gaussian_filter)


def test_functional_tensor_under_current_torchvision(without):
    without('torchvision.transforms.functional_tensor')
    (lent,) = stand_ins.functional_tensor().values()
    assert lent.rgb_to_grayscale is importlib.import_module('torchvision.transforms.functional').rgb_to_grayscale


@pytest.mark.parametrize(
    ('old', 'new'), [('0.9.0', '0.29.1+cpu'), ('0.9.0', '0.9.0'), ('0.9.1', '1.0'), ('1.2', '1.10')]
)
def test_loose_version_without_setuptools(without, old, new):
    without('distutils', 'distutils.version')
    loose = stand_ins.distutils()['distutils.version'].LooseVersion
    assert loose(new) >= loose(old)
    assert (loose(old) >= loose(new)) == (old == new)


def test_the_version_of_a_bare_checkout(basicsr_checkout):
    spec = ModuleSpec('basicsr', None, is_package=True)
    spec.submodule_search_locations = [str(basicsr_checkout / 'basicsr')]
    (module,) = stand_ins.version(spec).values()
    assert (module.__name__, module.__version__, module.version_info) == ('basicsr.version', '1.4.2', (1, 4, 2))
    (basicsr_checkout / 'basicsr' / 'version.py').touch()
    try:
        assert stand_ins.version(spec) == {}
    finally:
        (basicsr_checkout / 'basicsr' / 'version.py').unlink()


def test_an_error_of_another_kind_is_not_hidden(without):
    """A missing torchvision is for BasicSR to report, not for a stand-in to paper over."""
    without('torchvision', 'torchvision.transforms', 'torchvision.transforms.functional')
    without('torchvision.transforms.functional_tensor')
    with pytest.raises(ModuleNotFoundError):
        stand_ins.functional_tensor()
