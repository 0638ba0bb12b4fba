"""``entropy-sde convert``."""

from __future__ import annotations

import argparse
from typing import Any

from entropy_sde_plugin.cli.arguments import add_verbosity, named_path
from entropy_sde_plugin.utils import console

SDE = ('max_sigma', 'T', 'schedule', 'eps')


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    convert = verbs.add_parser(
        'convert',
        help='convert weights to safetensors, with their settings in the metadata',
        description='Reads a BasicSR checkpoint, a released one, a bare state dict or safetensors, without executing '
        'code in it, and writes safetensors. The settings below are for files without settings; contradicting those of '
        "the file is an error. Settings that are not given are the paper's. --max-sigma, --T, --schedule and --eps are "
        'those of Entropy-SDE.',
    )
    convert.add_argument('input', type=named_path, metavar='INPUT', help='the weights to read')
    convert.add_argument('output', type=named_path, metavar='OUTPUT.safetensors', help='the file to write')
    convert.add_argument('--prediction', help='what the network predicts: noise, x0 or v')
    convert.add_argument('--max-sigma', help='stationary standard deviation of the noise in 8-bit units (paper: 50)')
    convert.add_argument('--T', help='number of diffusion steps (paper: 100)')
    convert.add_argument('--schedule', help='cosine, linear or constant (paper: cosine)')
    convert.add_argument('--eps', help='share of the difference between clean and dark image left at T (paper: 0.005)')
    convert.add_argument(
        '--times',
        type=int,
        nargs='+',
        metavar='T',
        help="times of the sampler's network calls, the noisiest first, that enhance takes by default",
    )
    convert.add_argument('--half', action='store_true', help='store the weights in float16: half the size')
    add_verbosity(convert)
    convert.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    from entropy_sde_plugin.checkpoints.model import load_model, save_model
    from entropy_sde_plugin.checkpoints.weights import settings_line

    model = load_model(options.input, _settings(options))
    save_model(model, options.output, half=options.half)
    console.report(f'{options.output}: {settings_line(model.options.carried())}')


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the given settings, as in a checkpoint."""
    sde = {key: value for key in SDE if (value := getattr(options, key)) is not None}
    sampler = {} if options.times is None else {'times': options.times}
    settings = {'sde': sde, 'prediction': options.prediction, 'sampler': sampler}
    return {key: value for key, value in settings.items() if value not in (None, {})}
