"""``entropy-sde calibrate``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_sde_plugin.cli.arguments import add_path, add_sources, add_verbosity
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils import console

if TYPE_CHECKING:
    from entropy_sde_plugin.data.raw_noise.calibration import ISONoise

DESCRIPTION = """Measures the noise of your camera from raw files (extra 'raw') and writes it for data sets of raw
images: the gain K at each ISO, read noise, row noise, and how they depend on K."""

EPILOG = """Take, at each of two ISO values or more,
  flat frames: an evenly lit white wall or sheet, out of focus, in a steady light; two or more of one exposure,
    better of several exposures from dark to bright, none of them overexposed
  dark frames: with the lens capped, at a short exposure; two or more, better ten
Of a folder, the raw files in it are taken. ISO values are read from the files.

example:
  entropy-sde calibrate --flats flats --darks darks -o camera.json
"""


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    parser = verbs.add_parser(
        'calibrate',
        help="measure the noise of a camera from raw files, flat and dark frames (needs the extra 'raw')",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    for kind in ('flat', 'dark'):
        add_sources(parser, f'--{kind}s', metavar='FILE_OR_FOLDER', description=f'{kind} frames')
    add_path(parser, '-o', '--output', required=True, metavar='FILE.json', help='the file to write')
    add('--iso', type=_iso, metavar='N', help='ISO of files that do not state it')
    add_verbosity(parser)
    parser.set_defaults(run=run)


def _iso(text: str) -> float:
    if text.isdecimal() and int(text) > 0:
        return float(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    import msgspec

    from entropy_sde_plugin.data.calibrate import calibrate
    from entropy_sde_plugin.utils.atomic_file import output_path, write_file
    from entropy_sde_plugin.utils.distributed import warn

    output = output_path(options.output, '.json')
    camera, measured = calibrate(
        _files(options.flats),
        _files(options.darks),
        iso=options.iso,
        progress=lambda paths: console.tracked(paths, 'raw files'),
    )
    write_file(output, msgspec.json.format(msgspec.json.encode(camera), indent=1) + b'\n')
    for line in _table(measured):
        console.report(line)
    if len(measured) == 1:
        warn('frames of a single ISO do not show how the noise depends on the gain.')
    console.report(f"Written to {output}; options 'camera' and 'cameras' of the raw data sets take this file.")


def _files(paths: Sequence[Path]) -> list[Path]:
    from entropy_sde_plugin.data.raw_files import raw_files

    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"'{path}': there is no such file or folder.")
        files += raw_files(path).values() if path.is_dir() else [path]
    return files


def _table(measured: Sequence[ISONoise]) -> list[str]:
    """What was measured, in ADU; noise is the mean over the dark frames."""
    lines = ['    ISO   K (ADU/photon)   Gaussian   Tukey scale   shape    rows']
    for each in measured:
        values = [(dark.gauss_std, dark.tukey_scale, dark.tukey_shape, dark.row_std) for dark in each.darks]
        gauss, scale, shape, row = (sum(column) / len(values) for column in zip(*values, strict=True))
        lines.append(f'{each.iso:7g}{each.gain:17.4g}{gauss:11.3g}{scale:14.3g}{shape:8.2f}{row:8.3g}')
    return lines
