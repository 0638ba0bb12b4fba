"""``entropy-sde export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from entropy_sde_plugin.cli.arguments import add_model, add_verbosity
from entropy_sde_plugin.utils import console


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    export = verbs.add_parser(
        'export',
        help="write a model's network as ONNX (needs the extra 'onnx')",
        description='Writes the network as ONNX. Inputs: x and cond (batch, 3, height, width) and time (batch), '
        "float32, of any size. Output: prediction, shaped as x. The settings are in the file's metadata as JSON.",
    )
    add_model(export)
    export.add_argument('-o', '--output', type=Path, required=True, metavar='FILE.onnx', help='the file to write')
    add_verbosity(export)
    export.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    from entropy_sde_plugin.checkpoints.model import load_model
    from entropy_sde_plugin.checkpoints.onnx import export_onnx

    export_onnx(load_model(options.model), options.output)
    console.report(str(options.output))
