"""Fixes for the text files that BasicSR reads and writes in the locale's encoding: UTF-8 everywhere."""

from __future__ import annotations

import codecs
import logging
import sys
import time
from pathlib import Path
from typing import Any

import basicsr.utils.logger
import basicsr.utils.options
from basicsr.utils.dist_util import master_only

from entropy_sde_plugin.compat.patching import is_ours, replace
from entropy_sde_plugin.utils.atomic_file import write_file

__all__ = ['patch_copy_opt_file', 'patch_get_root_logger']


def patch_copy_opt_file() -> None:
    """Copy the option file as it is, with the command before it.

    P+M options.py:182. Symptom: under a locale that is not UTF-8 a comment in Chinese becomes other characters, or
    ends the run once its folder was made.
    """
    original = basicsr.utils.options.copy_opt_file
    if is_ours(original):
        return

    @master_only  # the folder may not be there yet for the others
    def copy_opt_file(opt_file: str, experiments_root: str) -> None:
        head = f'# GENERATE TIME: {time.asctime()}\n# CMD:\n# {" ".join(sys.argv)}\n\n'
        content = Path(opt_file).read_bytes().removeprefix(codecs.BOM_UTF8)
        write_file(Path(experiments_root, Path(opt_file).name), head.encode(errors='backslashreplace') + content)

    replace(original, copy_opt_file)


def patch_get_root_logger() -> None:
    """Write the log as UTF-8, with escapes for bytes that are not.

    P+M logger.py:180. Symptom: under another locale, or with a file name that is not UTF-8, lines are missing in the
    log, each with ``--- Logging error ---`` and a traceback.
    """
    original = basicsr.utils.logger.get_root_logger
    if is_ours(original):
        return

    def get_root_logger(*args: Any, **kwargs: Any) -> logging.Logger:
        logger = original(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler) and handler.errors != 'backslashreplace':
                handler.encoding, handler.errors = 'utf-8', 'backslashreplace'
                if handler.stream is not None:  # opened with the first message otherwise
                    handler.stream.reconfigure(encoding=handler.encoding, errors=handler.errors)
        return logger

    replace(original, get_root_logger)
