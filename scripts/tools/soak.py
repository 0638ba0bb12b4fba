"""Watch the demonstration's training over many steps: memory, file descriptors, threads and the time of a step.

    python scripts/tools/soak.py -o soak --steps 2000

The training is BasicSR's own command with two loader workers, twenty validations of two images and as many
checkpoints. Its processes are looked at every second. A row of the table is a tenth of the run, in medians. A quantity
is flat if its growth stays within its tolerance: 1% of the memory, half a descriptor or thread, 10% of a step's time.
The growth is the slope by repeated medians (Siegel 1982) after the first tenth, in which caches fill, times the run's
steps. The exit code is 0 if all are flat, 1 if one grows. The time of a step is the processor time of all processes
between two lines of the log, without validations and checkpoints: other work on the machine changes it little. Linux
only.

The training's log and the samples are in the output folder, and can be read while it runs.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _process_tree import holdings
from scipy.stats import siegelslopes

from entropy_sde_plugin.demo.photographs import EXPOSURES, HELD_OUT, pair_key, write_demo_databases
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.child_process import running
from entropy_sde_plugin.utils.reporting import report_input_errors
from entropy_sde_plugin.utils.resources import options_folder

ITERATION = re.compile(r'\[epoch:.*?iter:\s*([\d,]+),')
"""What BasicSR's log says of an iteration."""


@dataclass(frozen=True)
class Quantity:
    """Something that must not grow.

    Attributes:
        unit: Unit of the table's numbers.
        scale: From what is measured to the unit.
        relative, absolute: Growth that is tolerated over the run: a share of the level, and a number of units.
    """

    unit: str
    scale: float = 1
    relative: float = 0
    absolute: float = 0


QUANTITIES = {
    'memory': Quantity('MB', 1e-6, relative=0.01),
    'descriptors': Quantity('open', absolute=0.5),
    'threads': Quantity('running', absolute=0.5),
    'step': Quantity('ms', 1000, relative=0.1),
}


@dataclass
class Samples:
    """What was seen of a run.

    Attributes:
        steps: The number of steps of the whole run.
        at: For each quantity the steps at which it was seen.
        seen: For each quantity what was seen, in its unit.
    """

    steps: int
    at: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in QUANTITIES})
    seen: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in QUANTITIES})

    def add(self, at: int, /, **values: float) -> None:
        for name, value in values.items():
            self.at[name].append(at)
            self.seen[name].append(value * QUANTITIES[name].scale)

    def tenth(self, name: str, number: int) -> float:
        """Median over a tenth of the run, 0…9; NaN where nothing was seen."""
        at = np.array(self.at[name])
        inside = (at > self.steps * number / 10) & (at <= self.steps * (number + 1) / 10)
        return float(np.median(np.array(self.seen[name])[inside])) if inside.any() else float('nan')

    def growth(self, name: str) -> tuple[float, float]:
        """Level after the first tenth, and growth over as many steps as the run has.

        Raises:
            InputError: Too little was seen.
        """
        at, seen = np.array(self.at[name]), np.array(self.seen[name])
        settled = at > self.steps / 10
        if len(np.unique(at[settled])) < 2:
            raise InputError(f'{name}: fewer than two samples after the first tenth; give --steps more.')
        return float(np.median(seen[settled])), float(siegelslopes(seen[settled], at[settled])[0]) * self.steps


def main() -> int:
    report_input_errors()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-o', '--output', type=Path, required=True, help='where everything goes')
    parser.add_argument('--steps', type=int, default=2000)
    parser.add_argument('--force_yml', nargs='+', default=[], metavar='KEY=VALUE', help='further options of the demo')
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the training ends with this script
    folder, pause = options.output, max(options.steps // 20, 1)
    write_demo_databases(folder / 'datasets')
    command = training(folder, options.steps, pause, options.force_yml)
    samples = watch(command, folder, options.steps, pause)
    print()
    flat = [tell(samples, name) for name in QUANTITIES]
    return int(not all(flat))


def training(folder: Path, steps: int, pause: int, overrides: Sequence[str]) -> list[str]:
    """The command: the demonstration, validated on two images and saved every ``pause`` steps."""
    listed = folder / 'validation.txt'
    listed.write_text(''.join(f'{pair_key(name, EXPOSURES[0])}\n' for name in HELD_OUT[:2]))
    overrides = [
        f'train:total_iter={steps}',
        f'train:scheduler:periods=[{steps}]',
        'datasets:train:num_worker_per_gpu=2',
        f'datasets:val:meta_info_file={listed.name}',
        f'val:val_freq={pause}',
        f'logger:save_checkpoint_freq={pause}',
        f'logger:print_freq={max(min(10, pause // 2), 1)}',
        *overrides,
        'name=soak',
    ]
    file = options_folder() / 'demo.yml'
    return [sys.executable, '-m', 'basicsr.train', '-opt', str(file), '--force_yml', *overrides]


def watch(command: Sequence[str], folder: Path, steps: int, pause: int, every: float = 1) -> Samples:
    """Run a training, looking at its processes every ``every`` seconds; print the table as it goes.

    Args:
        command: The training; its output has BasicSR's lines.
        folder: Where it runs, and where ``soak.csv`` goes.
        steps: Length of the training.
        pause: Number of steps after which it does something else.

    Raises:
        InputError: The training failed; its last lines have been shown.
    """
    samples, rows, last = Samples(steps), 0, None
    print('| steps |', ' | '.join(f'{name}, {quantity.unit}' for name, quantity in QUANTITIES.items()), '|')
    print('|---' * (len(QUANTITIES) + 1) + '|', flush=True)
    with (
        running('The training', command, folder) as training,
        sampling(training.process.pid, samples, folder / 'soak.csv', every) as progress,
    ):
        for line in training:
            if not (match := ITERATION.search(line)):
                continue
            now, step = holdings(training.process.pid).seconds, int(match[1].replace(',', ''))
            if last is not None and step <= pause * math.ceil(last[1] / pause):  # no pause between the two lines
                samples.add(step, step=(now - last[0]) / (step - last[1]))
            last, progress.step = (now, step), step
            while rows < 10 * (step - 1) // steps:
                print(row(samples, rows), flush=True)
                rows += 1
    for number in range(rows, 10):
        print(row(samples, number), flush=True)
    return samples


def row(samples: Samples, number: int) -> str:
    cells = ' | '.join(f'{samples.tenth(name, number):.0f}' for name in QUANTITIES)
    return f'| …{samples.steps * (number + 1) // 10} | {cells} |'


def tell(samples: Samples, name: str) -> bool:
    """Say whether a quantity is flat, in words too."""
    quantity = QUANTITIES[name]
    level, growth = samples.growth(name)
    tolerated = quantity.relative * level + quantity.absolute
    flat = growth <= tolerated
    verdict = 'flat' if flat else f'GROWS by {growth:.1f} {quantity.unit}'
    slope = f'{growth:+.2f} over {samples.steps} steps ({growth / samples.steps:+.2g} a step)'
    print(f'{name}: {verdict}; {level:.0f} {quantity.unit}, {slope}; tolerated +{tolerated:.1f}', flush=True)
    return flat


class Progress:
    """The last step that is known to be done."""

    step = 0


@contextmanager
def sampling(process: int, samples: Samples, file: Path, every: float) -> Iterator[Progress]:
    """Look at a process's tree in a thread; what is seen before the first step and after the last is no sample."""
    progress, over = Progress(), threading.Event()

    def look() -> None:
        with file.open('w', encoding='utf-8', newline='') as out:
            table = csv.writer(out)
            table.writerow(['seconds', 'step', 'memory', 'descriptors', 'threads', 'processes'])
            while not over.wait(every):
                step, now = progress.step, holdings(process)
                table.writerow([time.monotonic(), step, now.memory, now.descriptors, now.threads, now.processes])
                out.flush()
                if 0 < step < samples.steps:
                    samples.add(step, memory=now.memory, descriptors=now.descriptors, threads=now.threads)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield progress
    finally:
        over.set()
        thread.join()


if __name__ == '__main__':
    sys.exit(main())
