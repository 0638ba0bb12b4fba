"""The options of a run: BasicSR's dictionary, with the checked structs of this package."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entropy_sde_plugin.errors import InputError

if TYPE_CHECKING:
    from entropy_sde_plugin.data.options import DatasetOptions
    from entropy_sde_plugin.options.check import Options
    from entropy_sde_plugin.options.locations import Locations

__all__ = ['DatasetSection', 'RunOptions']


class RunOptions(OrderedDict[str, Any]):
    """All sections of an option file.

    The ``root_path`` keeps its first value. P options.py:158, :172 and train.py:94. Symptom: ``python -m
    basicsr.train`` writes experiments/, results/ and tb_logger/ into site-packages, since the pipeline sets
    ``root_path`` to the folder of BasicSR.

    Attributes:
        seed_is_given: Whether ``manual_seed`` was given; otherwise BasicSR draws it.
        locations: Where each option was given; None if the options do not come from a file.
        checked: The sections as checked structs; None until they are checked. Copies share them, and later changes of
            an option do not change them.
        weights: The ``WeightsFile`` to start from, if the checks have read it; the model uses and releases it.
        teacher: The ``Model`` to learn from, if there is one.
    """

    seed_is_given = True
    locations: Locations | None = None
    checked: Options | None = None
    weights: Any = None
    teacher: Any = None

    def __setitem__(self, key: str, value: Any) -> None:
        if key != 'root_path' or key not in self:
            super().__setitem__(key, value)

    def __missing__(self, key: str) -> Any:
        # BasicSR's parser reads some options without checking that they exist.
        if self.locations is None:
            raise KeyError(key)
        place, near = self.locations.of_missing(key)
        hint = f" Is '{near}' a misspelling?" if near else ''
        raise InputError(f"{place}: Option '{key}' is missing: add it to the option file.{hint}")

    def __deepcopy__(self, memo: dict[int, Any]) -> RunOptions:
        copied = type(self)(copy.deepcopy(OrderedDict(self), memo))
        vars(copied).update(vars(self))
        return copied


class DatasetSection(OrderedDict[str, Any]):
    """A section of ``datasets`` with its checked options. Copies and pickles are plain dictionaries.

    Args:
        section: The section.
        checked: Its options as a checked struct.

    Attributes:
        built: The data set, once it is built.
    """

    def __init__(self, section: Mapping[str, Any], checked: DatasetOptions) -> None:
        super().__init__(section)
        self.checked = checked
        self.built: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (list(self.items()),)
