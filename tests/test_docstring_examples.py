"""The examples in docstrings run. Every class that a package exports, or that the API's pages describe, has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass

import msgspec
import numpy as np
import pytest

from entropy_sde_plugin.data.lmdb import lmdb_writer
from entropy_sde_plugin.data.raw_frame import read_frame
from entropy_sde_plugin.data.raw_lmdb import planes_writer
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.metrics import fid
from tests.support.commands import ROOT
from tests.support.metric_weights import cache, real_weights  # noqa: F401
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
    with lmdb_writer(root / 'datasets/photographs.lmdb') as pictures:
        pictures.put('1', bright)
    frame = read_frame(root / 'datasets/raw/long/a.dng')
    with planes_writer(root / 'datasets/raw.lmdb') as raw_images:
        raw_images.put(frame, frame.planes, source='a.dng')
    return root


@pytest.mark.parametrize('name', MODULES)
def test_the_examples_of_a_module_run(name, folder, monkeypatch, request):
    """FID's features are mean colours: no package carries Inception's weights."""
    if name.startswith('entropy_sde_plugin.demo.page'):
        pytest.importorskip('gradio', reason="the extra is missing: pip install 'entropy-sde-plugin[page]'")
    if name == 'entropy_sde_plugin.losses.perceptual':
        for fixture in ('real_weights', 'cache'):
            request.getfixturevalue(fixture)
    monkeypatch.setattr(fid, '_inception', lambda device: lambda images: [images.mean((2, 3))])
    monkeypatch.chdir(folder)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0


def classes_of(module: str) -> Iterator[type]:
    found = importlib.import_module(module)
    values = (getattr(found, name) for name in getattr(found, '__all__', ()))
    return (value for value in values if inspect.isclass(value))


def exported_classes() -> Iterator[type]:
    for path in PACKAGE.rglob('__init__.py'):
        yield from classes_of('.'.join(path.parent.relative_to(ROOT).parts))


def described_classes() -> Iterator[type]:
    """Yield the classes of the API's pages that do something; of a record the attributes say enough."""
    pages = '\n'.join(page.read_text() for page in (ROOT / 'docs' / 'api').glob('*.md'))
    for module in re.findall(r'^::: (\S+)$', pages, re.MULTILINE):
        for found in classes_of(module):
            is_record = is_dataclass(found) or issubclass(found, tuple | msgspec.Struct)
            if not (is_record or getattr(found, '_is_protocol', False)):
                yield found


CLASSES = {found.__qualname__: found for found in (*exported_classes(), *described_classes())}


@pytest.mark.parametrize('name', sorted(CLASSES))
def test_a_public_class_has_an_example(name):
    assert '>>>' in (CLASSES[name].__doc__ or '')
