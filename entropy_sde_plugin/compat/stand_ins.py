"""Stand-ins for modules that BasicSR imports and that current libraries no longer have.

Imports neither torch nor BasicSR before ``install_stand_ins`` is called: the bootstrap imports this module first.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ['install_stand_ins']


def install_stand_ins(spec: ModuleSpec) -> Callable[[], None]:
    """Put stand-ins for missing modules into ``sys.modules``.

    Args:
        spec: The spec of the ``basicsr`` package that is about to be executed.

    Returns:
        A function that removes the temporary ones, once BasicSR is imported.
    """
    temporary = {**functional_tensor(), **distutils()}
    sys.modules.update({**temporary, **scipy_filters(), **version(spec)})

    def remove() -> None:
        for name, module in temporary.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]

    return remove


def functional_tensor() -> dict[str, ModuleType]:
    """``torchvision.transforms.functional_tensor``, gone since torchvision 0.17.

    P data/degradations.py:8 (M fixed). Symptom: ``No module named 'torchvision.transforms.functional_tensor'`` from
    any ``import basicsr``.
    """
    name = 'torchvision.transforms.functional_tensor'
    if _importable(name):
        return {}
    functional = importlib.import_module('torchvision.transforms.functional')
    return {name: _module(name, rgb_to_grayscale=functional.rgb_to_grayscale)}


def distutils() -> dict[str, ModuleType]:
    """``distutils.version.LooseVersion``, gone since Python 3.12 unless setuptools brings it back.

    P+M archs/arch_util.py:6. Symptom: ``No module named 'distutils'``.
    """
    if _importable('distutils.version'):
        return {}
    parts = _module('distutils.version', LooseVersion=LooseVersion)
    return {'distutils': _module('distutils', version=parts), 'distutils.version': parts}


def scipy_filters() -> dict[str, ModuleType]:
    """``scipy.ndimage.filters``, a deprecated name that SciPy 2 drops; it stays, since functions ask for it later too.

    P+M metrics/niqe.py:5, data/data_util.py:275. Symptom: ``No module named 'scipy.ndimage.filters'`` from any
    ``import basicsr``.
    """
    name = 'scipy.ndimage.filters'
    if _importable(name):
        return {}
    ndimage = importlib.import_module('scipy.ndimage')
    return {name: _module(name, convolve=ndimage.convolve, gaussian_filter=ndimage.gaussian_filter)}


def version(spec: ModuleSpec) -> dict[str, ModuleType]:
    """``basicsr.version``, which only BasicSR's setup.py writes; it stays, since BasicSR asks for it later too.

    M ``__init__``.py:12, in a bare checkout. Symptom: ``No module named 'basicsr.version'``.
    """
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not folders or any((folder / 'version.py').exists() for folder in folders):
        return {}
    number = _read_version(folders[0].parent / 'VERSION')
    info = tuple(int(part) if part.isdigit() else part for part in number.split('.'))
    name = f'{spec.name}.version'
    return {name: _module(name, __version__=number, __gitsha__='unknown', version_info=info)}


class LooseVersion:
    """As much of distutils' class as BasicSR uses: comparison of version numbers, digits as numbers."""

    def __init__(self, number: str) -> None:
        self.version = [int(part) for part in re.findall(r'\d+', number.partition('+')[0])]

    def __ge__(self, other: LooseVersion) -> bool:
        return self.version >= other.version


def _read_version(file: Path) -> str:
    return file.read_text(encoding='utf-8').strip() if file.is_file() else 'unknown'


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        return False
    return True


def _module(name: str, **attributes: Any) -> ModuleType:
    module = ModuleType(name, 'Stand-in of entropy_sde_plugin.')
    vars(module).update(attributes)
    return module
