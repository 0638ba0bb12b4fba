"""``entropy-sde export``."""

from __future__ import annotations

import argparse
from typing import Any

from entropy_sde_plugin.cli.arguments import add_model, add_path, add_verbosity
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils import console

DESCRIPTION = """Writes the network as ONNX. Inputs: x and cond (batch, 3, height, width) and time (batch),
float32, of any size. Output: prediction, shaped as x.

With --pipeline the file goes from a dark image to a bright one, with the sampler's steps in it. Inputs: image (batch,
height, width, 3), RGB, and noise (draws, batch, 3, height, width), standard normal. Output: result, as image.

The settings are in the file's metadata as JSON."""

_PIPELINE_OPTIONS = ('sampler', 'steps', 'samples')


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    export = verbs.add_parser(
        'export',
        help="write a model's network, or network and sampler, as ONNX (needs the extra 'onnx')",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(export)
    add_path(export, '-o', '--output', required=True, metavar='FILE.onnx', help='the file to write')
    export.add_argument('--pipeline', action='store_true', help='write network and sampler: from image to image')
    export.add_argument('--sampler', metavar='NAME', help='of a pipeline, e.g. posterior or ddim [posterior]')
    export.add_argument(
        '--steps', type=int, metavar='N', help="network calls of a pipeline [the model's own number, else 8]"
    )
    export.add_argument(
        '--samples',
        choices=('uint8', 'float32'),
        help='type of the images of a pipeline: 0…255, or 0…1 [uint8]',
    )
    add_verbosity(export)
    export.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    from entropy_sde_plugin.checkpoints.model import load_model
    from entropy_sde_plugin.checkpoints.onnx import export_onnx

    given = {name: value for name in _PIPELINE_OPTIONS if (value := getattr(options, name)) is not None}
    if given and not options.pipeline:
        raise InputError(f'--{next(iter(given))} is for a pipeline only: add --pipeline, or leave it out.')
    model = load_model(options.model)
    if not options.pipeline:
        export_onnx(model, options.output)
        console.report(str(options.output))
        return
    from entropy_sde_plugin.inference.onnx_pipeline import export_pipeline

    draws = export_pipeline(model, options.output, **given)
    console.report(f'{options.output}: noise has the shape ({draws}, batch, 3, height, width)')
