"""A run, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entropy_sde_plugin.errors import InputError, printable, quoted
from entropy_sde_plugin.evaluation.evaluate import METRICS, NamedMetric
from entropy_sde_plugin.evaluation.records import METRICS_FILE, UNAVAILABLE, read_metrics, read_run
from entropy_sde_plugin.evaluation.validator import Summary
from entropy_sde_plugin.report.log_file import Step, read_steps

__all__ = ['Metric', 'Run', 'ValidationRecord', 'read_runs']


@dataclass(frozen=True)
class Metric:
    """A metric of a run: two runs share a column where type and options are the same.

    Attributes:
        key: Its key in ``val.metrics``.
        heading: Its heading, with an arrow towards better values.
        digits: Digits after the decimal point.
        options: Its options, shown under the heading.
        higher_is_better: Which way the arrow points.
        reliable_from: Number of images below which its value is only indicative.
    """

    key: str
    heading: str
    digits: int
    options: str
    higher_is_better: bool
    reliable_from: int = 0

    @classmethod
    def read(cls, key: str, section: Mapping[str, Any]) -> Metric:
        """Read it from its entry in ``val.metrics``."""
        options = {name: value for name, value in section.items() if name not in ('type', 'better')}
        for named in METRICS.values():
            if _same(named, section):
                return cls(key, named.heading, named.digits, '', '↑' in named.heading, named.reliable_from)
        higher = section.get('better', 'higher') == 'higher'
        text = ', '.join(f'{name}: {value}' for name, value in options.items())
        return cls(key, f'{key} {"↑" if higher else "↓"}', 4, text, higher)


@dataclass(frozen=True)
class ValidationRecord:
    """One validation: its entry in ``run.json`` and its rows in ``metrics.csv``."""

    entry: dict[str, Any]
    rows: list[dict[str, str]]

    def summary(self, key: str) -> Summary | None:
        """Mean and deviation of a metric; None where it could not run or was not asked for."""
        values: dict[str, list[float]] = {}
        for row in self.rows:
            if (cell := row.get(key, '')) == UNAVAILABLE:
                return None
            if cell:
                values.setdefault(row['seed'], []).append(_number(cell, key))
        return Summary.of(values.values()) if values else None

    def pictures(self, key: str) -> list[tuple[float, str]]:
        """A metric's (value, image) under the first seed, lowest first; empty for metrics of the whole set."""
        first = str(self.entry['seeds'][0])
        return sorted(
            (_number(row[key], key), row['image'])
            for row in self.rows
            if row['seed'] == first and row['image'] and row.get(key, '') not in ('', UNAVAILABLE)
        )


@dataclass(frozen=True)
class Run:
    """A training or a test, read from its folder.

    Attributes:
        label: Its name, unique on the page.
        folder: Its folder.
        record: Content of ``run.json``; empty for a training that has not validated.
        steps: Lines of the training's log.
        validations: In the order of their iterations.
        metrics: Metrics of the options, by key.
    """

    label: str
    folder: Path
    record: dict[str, Any]
    steps: list[Step]
    validations: list[ValidationRecord]
    metrics: dict[str, Metric]

    @property
    def latest(self) -> list[ValidationRecord]:
        """The last validation of every dataset."""
        return list({validation.entry['dataset']: validation for validation in self.validations}.values())


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read the folders of runs.

    Raises:
        InputError: A folder is not that of a run, or given twice.
    """
    runs: list[Run] = []
    for folder in folders:
        is_folder = folder.is_dir()
        record, steps = (read_run(folder), read_steps(folder)) if is_folder else ({}, [])
        if not record and not steps:
            fault = 'holds neither run.json nor the log of a training' if is_folder else 'is not a folder'
            raise InputError(
                f"'{folder}' {fault}: give the folder of an experiment or of a test's results (experiments/NAME, "
                'results/NAME).'
            )
        if any(run.folder.resolve() == folder.resolve() for run in runs):
            raise InputError(f"'{folder}' is given twice.")
        runs.append(
            Run(_label(folder, record, runs), folder, record, steps, _validations(folder, record), _metrics(record))
        )
    return runs


def _label(folder: Path, record: Mapping[str, Any], others: Sequence[Run]) -> str:
    name = printable(record.get('name', folder.resolve().name))
    return printable(str(folder)) if name in {run.label for run in others} else name


def _validations(folder: Path, record: Mapping[str, Any]) -> list[ValidationRecord]:
    rows: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in read_metrics(folder):
        rows.setdefault((row['iteration'], row['dataset']), []).append(row)
    entries = sorted(record.get('validations', []), key=lambda entry: entry['iteration'] or 0)
    return [
        ValidationRecord(
            entry, rows.get((str('' if entry['iteration'] is None else entry['iteration']), entry['dataset']), [])
        )
        for entry in entries
    ]


def _number(cell: str, key: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise InputError(f"{METRICS_FILE}: {quoted(cell)} under '{key}' is not a number; move the file away.") from None


def _metrics(record: Mapping[str, Any]) -> dict[str, Metric]:
    sections = ((record.get('options') or {}).get('val') or {}).get('metrics') or {}
    return {key: Metric.read(key, section) for key, section in sections.items()}


def _same(named: NamedMetric, section: Mapping[str, Any]) -> bool:
    """Whether a section asks for a metric of the field's convention, spelt out or by default."""
    conventions = {'crop_border': 0, 'test_y_channel': False, 'input_order': 'HWC'}
    given = {name: value for name, value in section.items() if name != 'better' and conventions.get(name, '') != value}
    return given == {name: value for name, value in named.section.items() if conventions.get(name, '') != value}
