"""Names that BasicSR puts into paths."""

from __future__ import annotations

from pathlib import PurePath

from entropy_sde_plugin.errors import InputError, quoted

__all__ = ['check_folder_name']

_LONGEST_NAME = 200
"""Maximum length in bytes. File systems allow 255; BasicSR appends a timestamp."""


def check_folder_name(name: object, option: str) -> None:
    """Check a name that BasicSR puts into a path: it makes, renames and fills folders wherever that leads.

    Raises:
        InputError: It is not text that names one folder or file.
    """
    is_one_part = isinstance(name, str) and PurePath(name).name == name and name not in ('', '..') and '\0' not in name
    if not is_one_part or len(str(name).encode()) > _LONGEST_NAME:
        raise InputError(
            f"'{option}' must be able to name a folder, in at most {_LONGEST_NAME} bytes, but is {quoted(name)}.",
            option,
        )
