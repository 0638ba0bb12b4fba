"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path

from entropy_sde_plugin.utils.resources import packaged_model


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, a name for :func:`~entropy_sde_plugin.utils.devices.choose_device`."""
    names = 'auto|cpu|cuda|cuda:N|mps|xpu'
    parser.add_argument('--device', default='auto', metavar=names, help='where to compute [%(default)s]')


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, by default the packaged weights."""
    parser.add_argument(
        '--model',
        type=Path,
        default=packaged_model(),
        metavar='FILE',
        help='weights file, .pth or .safetensors [the packaged model]',
    )
