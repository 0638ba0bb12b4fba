"""The name of an image within its data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entropy_sde_plugin.data.folders import name_below
from entropy_sde_plugin.errors import printable

__all__ = ['picture_key']


def picture_key(path: str, section: Mapping[str, Any]) -> str:
    """Return the name of an image whose data set, such as BasicSR's, gives none: its path in the set, without suffix.

    Bytes that are not UTF-8 are escaped, as in our own sets.

    Args:
        path: The item's ``lq_path``; of a database in BasicSR's sets, the key alone.
        section: The data set's options.

    Example:
        >>> section = {'dataroot_lq': 'pairs/low'}
        >>> picture_key('pairs/low/trip/00001.png', section), picture_key('elsewhere/00001.png', section)
        ('trip/00001', '00001')
        >>> picture_key('trip/00001', {'dataroot_lq': 'low.lmdb'})
        'trip/00001'
    """
    folder, place = section.get('dataroot_lq'), Path(path)
    if folder is not None and folder.endswith('.lmdb'):
        return printable(path)
    if folder is not None and place.is_relative_to(folder):
        return name_below(place, folder)
    return printable(place.stem)
