"""What enhancing and training cost beside other work, and whether waiting without spinning slows a quiet machine.

    python scripts/benchmarks/bench_busy.py

``entropy-sde enhance`` of a 600x400 image, the start of the program included, and steps of the demonstration's training
without it. Each runs alone and beside as many busy processes as there are cores, which this script starts. Core-seconds
are those of all threads, user and system; the median of the runs counts. Seconds mean something only if the machine
does nothing else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from entropy_sde_plugin.utils.waiting import POLICY

WAITING = {
    "spinning, OpenMP's default": {'GOMP_SPINCOUNT': '300000'},
    'spinning for a short time, as the commands set it': POLICY,
    'sleeping at once': {'OMP_WAIT_POLICY': 'PASSIVE', 'GOMP_SPINCOUNT': '0'},
}
"""Ways to wait, and the environment of each."""

Cost = tuple[float, float]
"""Seconds and core-seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--steps', type=int, default=10, help='training steps of a run [%(default)s]')
    parser.add_argument('--train', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(*training_cost(options.steps))
        return
    print(f'{os.cpu_count()} cores, median of {options.runs} runs\n')
    print('| task | threads wait by | quiet: s | core-s | busy: s | core-s | busy / quiet, core-s |')
    print('|---|---|---|---|---|---|---|')
    for task, cost in (
        ('enhance', enhance),
        (f'{options.steps} training steps', lambda env: train(env, options.steps)),
    ):
        quiet = costs_by_turns(cost, options.runs)
        with busy_machine():
            busy = costs_by_turns(cost, options.runs)
        for name in WAITING:
            (s, core), (busy_s, busy_core) = quiet[name], busy[name]
            ratio = busy_core / core
            print(
                f'| {task} | {name} | {s:.2f} | {core:.2f} | {busy_s:.2f} | {busy_core:.2f} | {ratio:.2f} |', flush=True
            )


def costs_by_turns(cost: Callable[[dict[str, str]], Cost], runs: int) -> dict[str, Cost]:
    """Measure each way to wait ``runs`` times, by turns: what changes on the machine meanwhile reaches all alike."""
    measured: dict[str, list[Cost]] = {name: [] for name in WAITING}
    for _ in range(runs):
        for name, environment in WAITING.items():
            measured[name].append(cost(environment))
    return {
        name: (median(seconds for seconds, _ in costs), median(core for _, core in costs))
        for name, costs in measured.items()
    }


@contextmanager
def busy_machine() -> Iterator[None]:
    """Keep every core busy for the block."""
    others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in others:
        process.start()
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.join()


def spin() -> None:
    while True:
        pass


def enhance(environment: dict[str, str]) -> Cost:
    """Enhance a dark photograph of 600x400 pixels by the command."""
    from entropy_sde_plugin.data.images import encode_png
    from entropy_sde_plugin.demo.photographs import photograph

    with tempfile.TemporaryDirectory() as folder:
        dark = Path(folder, 'dark.png')
        dark.write_bytes(encode_png(photograph('coffee')[:400, :600] // 8))
        before, start = children_seconds(), time.perf_counter()
        command = [sys.executable, '-m', 'entropy_sde_plugin.cli', 'enhance', '-i', str(dark), '-o', f'{folder}/out']
        subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)
        return time.perf_counter() - start, children_seconds() - before


def train(environment: dict[str, str], steps: int) -> Cost:
    """Take training steps in a process of their own."""
    command = [sys.executable, __file__, '--train', '--steps', str(steps)]
    made = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True)
    seconds, core_seconds = map(float, made.stdout.splitlines()[-1].split())
    return seconds, core_seconds


def training_cost(steps: int) -> Cost:
    from entropy_sde_plugin.benchmark.training_steps import (
        TRAININGS,
        batch_of,
        model_in_training,
        step,
        training_options,
    )

    opt = training_options(TRAININGS['demo'])
    model = model_in_training(opt)
    batch = batch_of(*(opt['datasets']['train'][key] for key in ('batch_size_per_gpu', 'gt_size')))
    step(model, batch)
    start, core_start = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step(model, batch)
    return time.perf_counter() - start, time.process_time() - core_start


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == '__main__':
    main()
