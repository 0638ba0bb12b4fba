"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from entropy_sde_plugin.errors import nearest
from entropy_sde_plugin.utils.resources import PACKAGED_MODELS, packaged_model


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add ``-q`` and ``-v``."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument('-q', '--quiet', action='store_true', help='print no progress and no report of the work')
    choice.add_argument('-v', '--verbose', action='store_true', help='print more, such as the seconds of each image')


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, a name for :func:`~entropy_sde_plugin.utils.devices.choose_device`."""
    names = 'auto|cpu|cuda|cuda:N|mps|xpu'
    parser.add_argument('--device', default='auto', metavar=names, help='where to compute [%(default)s]')


class Once(argparse.Action):
    """Stores a value and refuses a second one, which argparse would put in the place of the first without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Store the value of one occurrence of the option."""
        if getattr(namespace, self.dest) is not self.default:
            raise argparse.ArgumentError(self, 'is given twice, and takes one value')
        setattr(namespace, self.dest, values)


def add_path(parser: argparse.ArgumentParser, *flags: str, metavar: str, **settings: Any) -> None:
    """Add an option that names one file or folder."""
    parser.add_argument(*flags, type=named_path, action=Once, metavar=metavar, **settings)


def add_sources(parser: argparse.ArgumentParser, *flags: str, metavar: str, description: str) -> None:
    """Add a required list of files and folders to read; given in several pieces, it is all of them."""
    parser.add_argument(
        *flags, type=named_path, nargs='+', action='extend', required=True, metavar=metavar, help=description
    )


def named_path(text: str) -> Path:
    """Read an argument that names a file or folder. An empty one, as of a shell's unset variable, is refused: Python
    would take it for the working directory."""
    if not text:
        raise argparse.ArgumentTypeError('the path is empty')
    return Path(text)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, by default the packaged weights for RGB images."""
    parser.add_argument(
        '--model',
        type=model_path,
        action=Once,
        default=packaged_model(),
        metavar='FILE|lowlight|exposure',
        help='weights file, .pth or .safetensors, or a packaged model: lowlight, or exposure for raw images [lowlight]',
    )


def model_path(text: str) -> Path:
    """Read a model's file, or the name of a packaged model."""
    if text in PACKAGED_MODELS:
        return packaged_model(text)
    path = named_path(text)
    if not path.suffix and not path.exists() and (name := nearest(text, PACKAGED_MODELS)):
        raise argparse.ArgumentTypeError(f"there is no '{text}'; did you mean '{name}'?")
    return path
