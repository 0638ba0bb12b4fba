"""Names that BasicSR uses in paths."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath

from entropy_sde_plugin.errors import InputError, quoted

__all__ = ['check_folder_name']

_LONGEST_NAME = 200
"""Maximum length in bytes. File systems allow 255; BasicSR appends a timestamp."""


def check_folder_name(name: object, option: str) -> None:
    """Check a name that BasicSR uses in a path: it would create folders wherever the path leads.

    Raises:
        InputError: It is not the name of a single folder or file.
    """
    is_one_part = isinstance(name, str) and PurePath(name).name == name and name not in ('', '..') and '\0' not in name
    try:
        size = len(os.fsencode(str(name)))
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise InputError(
            f"'{option}' has characters that file names cannot have under this locale ({encoding}): set "
            f'LC_ALL=C.UTF-8, or choose another name than {quoted(name)}.',
            option,
        ) from None
    if not is_one_part or size > _LONGEST_NAME:
        raise InputError(
            f"'{option}' must be a folder name of at most {_LONGEST_NAME} bytes, but is {quoted(name)}.",
            option,
        )
