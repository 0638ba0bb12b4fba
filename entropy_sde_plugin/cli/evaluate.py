"""``entropy-sde evaluate``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_sde_plugin import register
from entropy_sde_plugin.cli.arguments import add_device, add_path, add_verbosity
from entropy_sde_plugin.utils import console

if TYPE_CHECKING:
    from entropy_sde_plugin.evaluation.evaluate import Evaluation


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    evaluate = verbs.add_parser(
        'evaluate',
        help="score any method's images against the ground truth, like this package's validation",
        description='Pairs the images of two folders (or LMDB databases) by name and scores them. Nothing is '
        'resized, and only the metrics named …_gtmean correct the brightness.',
    )
    add_path(evaluate, '--result', required=True, metavar='FOLDER', help="the method's results")
    add_path(evaluate, '--truth', required=True, metavar='FOLDER', help='the ground truth')
    add_path(evaluate, '--low', metavar='FOLDER', help='the dark inputs, scored for comparison')
    evaluate.add_argument('--suffix', default='', metavar='TEXT', help="suffix of the results' names, e.g. _test_lolv1")
    evaluate.add_argument(
        '--names',
        type=_template,
        nargs=2,
        default=('{}', '{}'),
        metavar=('TRUTH', 'OTHERS'),
        help="file names of the truth and of the other images, with {} for their common part, e.g. 'normal{}' 'low{}'",
    )
    evaluate.add_argument(
        '--metrics',
        nargs='+',
        action='extend',
        metavar='NAME',
        help='psnr, ssim, lpips, lpips_vgg, lpips_squeeze, dists, niqe, fid, psnr_gtmean, ssim_gtmean, '
        'psnr_lldiffusion, ssim_lldiffusion [psnr ssim lpips]',
    )
    add_path(
        evaluate,
        '-o',
        '--output',
        metavar='FOLDER',
        help='folder for metrics.csv (and metrics_low.csv), with a row per image',
    )
    add_device(evaluate)
    add_verbosity(evaluate)
    evaluate.set_defaults(run=run)


def _template(text: str) -> str:
    if text.count('{}') != 1:
        raise argparse.ArgumentTypeError(f"'{text}' must contain {{}} once")
    return text


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    register()
    from entropy_sde_plugin.data.sources import by_templates, open_source
    from entropy_sde_plugin.evaluation.evaluate import DEFAULT_METRICS, ImageSet, evaluate, format_table
    from entropy_sde_plugin.metrics.backbones import evaluating_on
    from entropy_sde_plugin.utils.devices import choose_device

    if options.output is not None:
        _check_output(options.output)
    metrics = options.metrics or DEFAULT_METRICS
    truth = open_source(options.truth)
    gt_template, lq_template = options.names
    sets = {}
    if options.low is not None:
        sets['low'] = ImageSet(open_source(options.low), by_templates(gt_template, lq_template))
    sets['result'] = ImageSet(open_source(options.result), by_templates(gt_template, lq_template + options.suffix))
    with evaluating_on(choose_device(options.device)):
        evaluations = evaluate(sets, truth, metrics)
    files = []
    try:
        if options.output is not None:
            files = _write(options.output, evaluations)
    finally:  # also on a full disk
        print(format_table(evaluations), end='')
    for file in files:
        console.report(f'A row for each image: {file}')


_FILES = {'result': 'metrics.csv', 'low': 'metrics_low.csv'}


def _check_output(folder: Path) -> None:
    """Check, before anything is scored, that a folder can be made, and that no other tables are in it."""
    from entropy_sde_plugin.evaluation.evaluate import check_csv
    from entropy_sde_plugin.utils.atomic_file import check_output_folder

    check_output_folder(folder)
    for name in _FILES.values():
        check_csv(folder / name)


def _write(folder: Path, evaluations: Mapping[str, Evaluation]) -> list[Path]:
    from entropy_sde_plugin.evaluation.evaluate import write_csv

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / _FILES[kind] for kind in evaluations]
    for file, evaluation in zip(files, evaluations.values(), strict=True):
        write_csv(file, evaluation)
    return files
