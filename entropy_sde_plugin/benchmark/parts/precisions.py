"""The demonstration's model, trained through BasicSR's trainer under each precision from the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.benchmark.stock_training import NETWORK, run_trainer
from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.evaluation.records import read_metrics
from entropy_sde_plugin.utils.resources import options_folder

CASES: dict[str, dict[str, Any]] = {
    'fp32': {'tf32': False},
    'TF32': {'tf32': True},
    'bf16': {'tf32': True, 'precision': 'bf16'},
    'fp16': {'tf32': True, 'precision': 'fp16'},
}
"""Options of the section ``train``."""

ITERATIONS = 300


def rows(settings: Settings) -> Iterator[Row]:
    """Train under each precision, and score the held-out photographs."""
    cases = ['bf16'] if settings.quick else list(CASES)
    write_demo_databases('datasets')
    yield from attempts(cases, lambda case: _train(case, settings))


def _train(case: str, settings: Settings) -> Row:
    opt = yaml.safe_load((options_folder() / 'demo.yml').read_text(encoding='utf-8'))
    iterations = 1 if settings.quick else ITERATIONS
    opt |= {'name': case, 'num_gpu': int(settings.device == 'cuda')}
    opt['train'] |= CASES[case] | {'total_iter': iterations}
    opt['train']['scheduler']['periods'] = [iterations]
    opt['val']['save_img'] = False
    if settings.quick:
        opt |= {'network_g': NETWORK, 'sampler': {'steps': 1}}
        opt['datasets']['train'] |= {'gt_size': 32, 'batch_size_per_gpu': 1}
    seconds = run_trainer(Path(), opt)
    scores = read_metrics(Path('experiments', case))
    means = {name: sum(float(row[name]) for row in scores) / len(scores) for name in ('psnr', 'ssim')}
    return Row(case, {'PSNR, dB': means['psnr'], 'SSIM': means['ssim'], 'whole run, s': seconds})
