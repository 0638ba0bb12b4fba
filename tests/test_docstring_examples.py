"""The examples in docstrings run, and every class that a package exports has one."""

from __future__ import annotations

import doctest
import importlib
import inspect

import numpy as np
import pytest

from entropy_sde_plugin.demo.photographs import photograph
from tests.support.commands import ROOT
from tests.support.pictures import write_png
from tests.support.raw_files import write_dng

PACKAGE = ROOT / 'entropy_sde_plugin'
MODULES = sorted(
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
    for path in PACKAGE.rglob('*.py')
    if '>>>' in path.read_text()
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The working directory that examples of data sets expect."""
    root = tmp_path_factory.mktemp('examples')
    bright = photograph('coffee')[:96, :128]
    for place in ('LOLv1/eval15/{}', 'own/train/{}'):
        for kind, divisor in (('low', 8), ('high', 1)):
            write_png(root / 'datasets' / place.format(kind) / '1.png', bright // divisor)
    write_png(root / 'datasets/NTIRE24/val/input/1.png', bright // 8)
    write_png(root / 'datasets/photographs/1.png', bright)
    for short, long in (
        ('raw/short/a', 'raw/long/a'),
        ('SID/short/10003_00_0.1s', 'SID/long/10003_00_10s'),
        *((f'ELD/SonyA7S2/scene-1/IMG_{n:04d}', f'ELD/SonyA7S2/scene-1/IMG_{n + 2:04d}') for n in (4, 9, 14)),
    ):
        for name, time in ((short, 0.1), (long, 10)):
            write_dng(root / 'datasets' / f'{name}.dng', np.full((32, 40), 600), time=time, iso=200)
    return root


@pytest.mark.parametrize('name', MODULES)
def test_the_examples_of_a_module_run(name, folder, monkeypatch):
    if name.startswith('entropy_sde_plugin.demo.page'):
        pytest.importorskip('gradio', reason="the extra is missing: pip install 'entropy-sde-plugin[page]'")
    monkeypatch.chdir(folder)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0


def exported_classes():
    """Return each exported class once, in an order that every test process finds."""
    found = {}
    for path in sorted(PACKAGE.rglob('__init__.py')):
        package = importlib.import_module('.'.join(path.parent.relative_to(ROOT).parts))
        for name in getattr(package, '__all__', ()):
            value = getattr(package, name)
            if inspect.isclass(value):
                found[value.__qualname__] = value
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize('exported', exported_classes(), ids=lambda exported: exported.__name__)
def test_an_exported_class_has_an_example(exported):
    assert '>>>' in (exported.__doc__ or '')
