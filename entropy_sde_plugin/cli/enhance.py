"""``entropy-sde enhance``."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_sde_plugin.cli.arguments import add_device, add_model, add_path, add_sources, add_verbosity
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils import console

if TYPE_CHECKING:
    from entropy_sde_plugin.inference.jobs import LeftOut

DESCRIPTION = """Brightens JPEG, PNG, WebP, TIFF, BMP and AVIF images, HEIC images (extra 'heif') and camera
raw files (extra 'raw'). Transparency, colour profile, EXIF and XMP are kept; an input is never
overwritten. With --model exposure, raw files are brightened as raw images and then developed."""

EXAMPLE = """examples:
  entropy-sde enhance -i photos -o bright --compare
  entropy-sde enhance -i night.dng -o bright --model exposure

Folders are read with all their subfolders. Images that are already in the output folder are skipped, so that an
interrupted command can be repeated. Several processes share the images:
  torchrun --nproc_per_node=4 -m entropy_sde_plugin.cli enhance -i photos -o bright
"""

_ENHANCER_OPTIONS = (
    'device',
    'precision',
    'sampler',
    'steps',
    'brightness',
    'strength',
    'tile',
    'stride',
    'compile',
    'ratio',
    'camera',
    'gain',
)
"""Those that are given reach the enhancer, which has the defaults and knows which suit its model."""


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    parser = verbs.add_parser(
        'enhance',
        help='brighten images: files and whole folders',
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_sources(parser, '-i', '--input', metavar='IMAGE_OR_FOLDER', description='images to enhance')
    add_path(parser, '-o', '--output', required=True, metavar='FOLDER', help='output folder')
    add_model(parser)
    add('--sampler', metavar='NAME', help='sampler of the diffusion, e.g. posterior or ddim [posterior]')
    add('--steps', type=int, metavar='N', help="network calls per image [the model's own number, else 8]")
    add(
        '--brightness',
        type=_brightness,
        metavar='auto|model|keep|0.05…0.95',
        help="mean brightness of the result; model: the model's choice, auto: that choice, corrected, keep: the "
        "input's [auto]",
    )
    add('--strength', type=float, metavar='0…1', help='share of the result; the rest is the input [1]')
    add(
        '--tile',
        type=_tile,
        metavar='auto|N|0',
        help='side of the tiles in pixels; 0: the whole image at once [auto]',
    )
    add('--stride', type=int, metavar='N', help='average patches of --tile pixels at this distance, if the model can')
    add(
        '--ratio',
        type=_ratio,
        metavar='auto|N',
        help='raw images: how many times longer the result is exposed; auto: what makes it bright, at most 300 [auto]',
    )
    add(
        '--camera',
        metavar='NAME|FILE.json',
        help="raw images: calibrated camera, or a file of 'entropy-sde calibrate'; its gain at the file's ISO holds",
    )
    add('--gain', type=float, metavar='K', help="raw images: ADU per photon, in place of the camera's")
    add('--seed', type=_seed, default=0, metavar='N', help='seed of the noise [%(default)s]')
    add_device(parser)
    add(
        '--precision',
        choices=('auto', 'fp32', 'bf16', 'fp16'),
        help='precision of the network [auto]',
    )
    add(
        '--compile',
        action='store_true',
        default=None,
        help='compile the network first: worth it for many images of one size',
    )
    add('--suffix', default='', metavar='TEXT', help='text appended to the names, before the extension [none]')
    add(
        '--ext',
        default='auto',
        metavar='auto|jpg|png|webp|tif|dng',
        help="format of the output; auto: the input's, and PNG for BMP, AVIF, HEIC and raw; 16 bits are rounded to 8 "
        'for jpg and webp; dng: of raw images [%(default)s]',
    )
    add('--compare', action='store_true', help='also write a before | after image of each')
    add('--overwrite', action='store_true', help='enhance images again that are already in the output folder')
    add_verbosity(parser)
    parser.set_defaults(run=run)


def _tile(text: str) -> int | str:
    if text == 'auto':
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is neither auto nor a number of pixels")


def _brightness(text: str) -> str | float:
    from entropy_sde_plugin.diffusion.brightness import HIGHEST, LOWEST

    if text in ('auto', 'model', 'keep'):
        return text
    with contextlib.suppress(ValueError):
        if LOWEST <= float(text) <= HIGHEST:
            return float(text)
    raise argparse.ArgumentTypeError(f"'{text}' is neither auto, model, keep nor a number from {LOWEST} to {HIGHEST}")


def _ratio(text: str) -> str | float:
    if text == 'auto':
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither auto nor a number above 1") from None


def _seed(text: str) -> int:
    if text.isdecimal() and int(text) < 2**63:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 2^63 - 1")


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    from entropy_sde_plugin.inference.jobs import LeftOut
    from entropy_sde_plugin.inference.run import enhance_files

    left_out = LeftOut()
    counts = enhance_files(
        options.input,
        options.output,
        options.model,
        suffix=options.suffix,
        extension=options.ext,
        compare=options.compare,
        left_out=left_out,
        seed=options.seed,
        overwrite=options.overwrite,
        **{name: value for name in _ENHANCER_OPTIONS if (value := getattr(options, name)) is not None},
    )
    if counts is not None:
        _report(options.output, left_out, *counts)


def _report(output: Path, left_out: LeftOut, enhanced: int, present: int, skipped: int) -> None:
    from entropy_sde_plugin.data.folders import listed

    line = f'{output}: {enhanced} {"image" if enhanced == 1 else "images"} enhanced'
    if present:
        line += f', {present} were there already (--overwrite enhances them again)'
    console.report(f'{line}.')
    if left_out.others:
        console.report(f'Ignored (not images): {listed(left_out.others)}')
    if left_out.not_raw:
        console.report(f'Ignored (not raw files, and the model restores nothing else): {listed(left_out.not_raw)}')
    if skipped:
        raise InputError(f'{skipped} of {enhanced + present + skipped} images were skipped; see the errors above.')
