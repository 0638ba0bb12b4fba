"""The options of a run as BasicSR passes them around, with what this package has made of them."""

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

    The ``root_path`` stays as it is first set. P options.py:158, :172 and train.py:94. Symptom: ``python -m
    basicsr.train`` writes experiments/, results/ and tb_logger/ into site-packages, since the pipeline sets
    ``root_path`` to the folder of BasicSR.

    Attributes:
        seed_is_given: Whether ``manual_seed`` was given, or BasicSR drew it.
        locations: Where the options were written; None for options that come from no file.
        checked: The sections as checked structs; None until they are checked. A copy shares them: changing an option
            afterwards does not change them.
        weights: The ``WeightsFile`` to start from, where the checks have read it; the model takes and releases it.
    """

    seed_is_given = True
    locations: Locations | None = None
    checked: Options | None = None
    weights: Any = None

    def __setitem__(self, key: str, value: Any) -> None:
        if key != 'root_path' or key not in self:
            super().__setitem__(key, value)

    def __missing__(self, key: str) -> Any:
        # BasicSR's parser reads some options without asking whether they are there.
        if self.locations is None:
            raise KeyError(key)
        place, near = self.locations.of_missing(key)
        hint = f" Is '{near}' a slip?" if near else ''
        raise InputError(f"{place}: Option '{key}' is missing: add it to the option file.{hint}")

    def __deepcopy__(self, memo: dict[int, Any]) -> RunOptions:
        copied = type(self)(copy.deepcopy(OrderedDict(self), memo))
        vars(copied).update(vars(self))
        return copied


class DatasetSection(OrderedDict[str, Any]):
    """A section of ``datasets`` with its checked options. Copies and pickles are plain dictionaries.

    Args:
        section: The section.
        checked: The same, checked.

    Attributes:
        built: The data set, once it is built.
    """

    def __init__(self, section: Mapping[str, Any], checked: DatasetOptions) -> None:
        super().__init__(section)
        self.checked = checked
        self.built: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (list(self.items()),)
