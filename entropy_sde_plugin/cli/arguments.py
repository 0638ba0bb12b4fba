"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path

from entropy_sde_plugin.utils.resources import packaged_model


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, a name for :func:`~entropy_sde_plugin.utils.devices.choose_device`."""
    names = 'auto|cpu|cuda|cuda:N|mps|xpu'
    parser.add_argument('--device', default='auto', metavar=names, help='where to compute [%(default)s]')


def named_path(text: str) -> Path:
    """Read an argument that names a file or folder. An empty one, as of a shell's unset variable, is refused: Python
    would take it for the working directory."""
    if not text:
        raise argparse.ArgumentTypeError('the path is empty')
    return Path(text)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, by default the packaged weights."""
    parser.add_argument(
        '--model',
        type=Path,
        default=packaged_model(),
        metavar='FILE',
        help='weights file, .pth or .safetensors [the packaged model]',
    )
