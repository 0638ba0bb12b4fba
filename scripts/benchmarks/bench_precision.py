"""The training step under the options of `train:` that are for speed, and whether they train to the same quality.

    python scripts/benchmarks/bench_precision.py
    python scripts/benchmarks/bench_precision.py --train 300 -o precision

The first times a step of the demonstration's training on a batch in memory, all cases in turns in one run; the fastest
of each counts, since other work only adds time. With `--train N`, the demonstration is then trained for N iterations
under each case, from the same seed, and the held-out photographs say how far each came. On a CPU: how fast
`fp16` and `tf32` are needs a GPU and is not measured here.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch

from entropy_sde_plugin.benchmark.timing import fastest
from entropy_sde_plugin.benchmark.training_steps import (
    TRAININGS,
    batch_of,
    model_in_training,
    step,
    training_options,
)
from entropy_sde_plugin.demo import run as demo
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.reporting import report_input_errors

CASES: dict[str, dict[str, Any]] = {
    'fp32': {'channels_last': False},
    'bf16': {'channels_last': False, 'precision': 'bf16'},
    'channels_last': {},
    'bf16, channels_last': {'precision': 'bf16'},
    'compile': {'channels_last': False, 'compile': True},
    'bf16, channels_last, compile': {'precision': 'bf16', 'compile': True},
}
"""What is measured, by the options of the section ``train`` that differ from the demonstration's."""


def main() -> None:
    report_input_errors()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES), metavar='CASE', help=', '.join(CASES))
    parser.add_argument('--repeats', type=int, default=10, help='timed steps of a case, 0 for none [%(default)s]')
    parser.add_argument('--train', type=int, metavar='N', help='iterations of a training under each case')
    parser.add_argument('-o', '--output', type=Path, help='where the trainings go')
    options = parser.parse_args()
    if options.train is not None and options.output is None:
        raise InputError('--train: say with -o where the trainings go.')
    if options.repeats:
        print(time_steps(options.cases, options.repeats))
    if options.train is not None:
        scores = {
            case: trained(options.output / case.replace(', ', '_'), CASES[case], options.train)
            for case in options.cases
        }
        print(f'\n{options.train} iterations of the demonstration\n\n| case | PSNR, dB | SSIM |\n|---|---|---|')
        for case, score in scores.items():
            print(f'| {case} | {score.psnr:.2f} | {score.ssim:.3f} |')


def time_steps(cases: list[str], repeats: int) -> str:
    """The table of the steps' times."""
    opt = training_options(TRAININGS['demo'])
    dataset = opt['datasets']['train']
    batch = batch_of(dataset['batch_size_per_gpu'], dataset['gt_size'])
    models = {case: model_in_training(opt, **CASES[case]) for case in cases}
    for model in models.values():
        step(model, batch)  # compiles
    best = fastest({case: partial(step, model, batch) for case, model in models.items()}, repeats)
    lines = [f'CPU, {torch.get_num_threads()} threads, best of {repeats}', '', '| case | step, ms | times faster |']
    lines += ['|---|---|---|']
    lines += [f'| {case} | {1000 * best[case]:.0f} | {best[cases[0]] / best[case]:.2f} |' for case in cases]
    return '\n'.join(lines)


def trained(folder: Path, case: dict[str, Any], iterations: int) -> demo.Score:
    """Run the demonstration; its own score."""
    overrides = [f'train:total_iter={iterations}', f'train:scheduler:periods=[{iterations}]']
    overrides += [f'train:{option}={str(value).lower()}' for option, value in case.items()]
    return demo.run(folder, overrides)[-1]


if __name__ == '__main__':
    main()
