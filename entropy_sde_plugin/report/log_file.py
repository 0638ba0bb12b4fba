"""Training curves from the log files of BasicSR's trainer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from entropy_sde_plugin.utils.paths import regular

__all__ = ['Step', 'read_steps', 'seconds_per_step']


@dataclass(frozen=True)
class Step:
    """One line of the log.

    Attributes:
        iteration: Iteration of the training.
        learning_rate: Learning rate of the first parameter group.
        seconds: Time of an iteration, a mean over the last ones; data loading included.
        losses: Name to value, e.g. ``l_pix``.
    """

    iteration: int
    learning_rate: float
    seconds: float
    losses: dict[str, float]


_NUMBER = r'[-+]?(?:\d+(?:\.\d*)?(?:e[-+]?\d+)?|nan|inf)'
_LINE = re.compile(
    rf'\[epoch:\s*\d+, iter:\s*(?P<iteration>\d[\d,]*), lr:\((?P<rate>{_NUMBER}),.*?'
    rf'time \(data\): (?P<seconds>{_NUMBER}) \({_NUMBER}\)\] (?P<losses>.*)'
)
_LOSS = re.compile(rf'(l_\w+): ({_NUMBER})(?!\S)')


def read_steps(folder: Path) -> list[Step]:
    """Read what ``train_*.log`` in an experiment's folder say, in the order of the iterations.

    A resumed training has several logs; where they meet in an iteration, the later one counts.
    """
    steps: dict[int, Step] = {}
    for path in sorted(folder.glob('train_*.log'), key=lambda path: path.name[-len('20260101_000000.log') :]):
        for match in _LINE.finditer(regular(path).read_text(encoding='utf-8', errors='replace')):
            iteration = int(match['iteration'].replace(',', ''))
            losses = {name: float(value) for name, value in _LOSS.findall(match['losses'])}
            steps[iteration] = Step(iteration, float(match['rate']), float(match['seconds']), losses)
    return [steps[iteration] for iteration in sorted(steps)]


def seconds_per_step(steps: Sequence[Step]) -> float | None:
    """The median over the log's lines; None without any."""
    return median(step.seconds for step in steps) if steps else None
