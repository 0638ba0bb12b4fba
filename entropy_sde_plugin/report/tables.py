"""The tables of a page, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from entropy_sde_plugin.evaluation.evaluate import METRICS
from entropy_sde_plugin.report.log_file import seconds_per_step
from entropy_sde_plugin.report.published import PUBLISHED
from entropy_sde_plugin.report.runs import Metric, Run, ValidationRecord

__all__ = ['Column', 'columns', 'published_rows', 'result_rows', 'run_rows', 'unavailable_notes']

NONE = '–'


class Column(NamedTuple):
    """A metric that runs share, heading and options being the same."""

    heading: str
    options: str


def columns(runs: Sequence[Run]) -> dict[Column, Metric]:
    """The metrics of all runs, in order of first appearance."""
    found: dict[Column, Metric] = {}
    for run in runs:
        for metric in run.metrics.values():
            found.setdefault(Column(metric.heading, metric.options), metric)
    return found


def result_rows(runs: Sequence[Run], metrics: dict[Column, Metric]) -> list[dict[str, Any]]:
    """A row for each run and dataset: the last validation's figures."""
    return [
        {
            'run': run.label,
            'dataset': _data(validation),
            'cells': [_score(run, validation, column) for column in metrics],
            'images': validation.entry['images'],
            'seeds': len(validation.entry['seeds']),
            'steps': run.record['sampler']['steps'],
            'seconds': f'{validation.entry["seconds_per_image"]:.3g}',
        }
        for run in runs
        for validation in run.latest
    ]


def unavailable_notes(runs: Sequence[Run]) -> list[str]:
    """Why figures of ``result_rows`` are n/a."""
    return [
        f'{run.label}, {validation.entry["dataset"]}, {run.metrics[key].heading}: {reason}'
        for run in runs
        for validation in run.latest
        for key, reason in validation.entry['unavailable'].items()
    ]


def published_rows(metrics: dict[Column, Metric]) -> list[dict[str, Any]]:
    """The papers' rows in the same columns, without those that have a figure in none of them."""
    names = {named.heading: name for name, named in METRICS.items()}
    rows = []
    for row in PUBLISHED:
        values = [row.scores.get(names.get(column.heading, '')) for column in metrics]
        if any(value is not None for value in values):
            digits = [metric.digits for metric in metrics.values()]
            cells = [NONE if v is None else f'{v:.{d}f}' for v, d in zip(values, digits, strict=True)]
            rows.append({'run': row.method, 'dataset': row.dataset, 'cells': cells})
    return rows


def run_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The settings and versions that gave the figures: a row for each run."""
    rows = []
    for run in runs:
        versions, last = run.record.get('versions', {}), run.latest[-1].entry if run.latest else {}
        sampler = run.record.get('sampler', {})
        rows.append(
            {
                'run': run.label,
                'iterations': f'{run.steps[-1].iteration:,}' if run.steps else NONE,
                'seconds': NONE if (seconds := seconds_per_step(run.steps)) is None else f'{seconds:.3g}',
                'sampler': f'{sampler["type"]}, {sampler["steps"]} steps' if sampler else NONE,
                'device': run.record.get('device', NONE),
                'processes': last.get('processes', NONE),
                'versions': ', '.join(f'{name} {version}' for name, version in versions.items()) or NONE,
                'weights': last.get('weights_sha256', NONE),
                'data': last.get('data_sha256', NONE),
            }
        )
    return rows


def _data(validation: ValidationRecord) -> str:
    """The data set, with the setting that figures on raw images depend on."""
    entry = validation.entry
    correction = entry['sampler'].get('illumination_correction')
    return entry['dataset'] if correction is None else f'{entry["dataset"]}, illumination_correction: {correction}'


def _score(run: Run, validation: ValidationRecord, column: Column) -> str:
    metric = next((m for m in run.metrics.values() if Column(m.heading, m.options) == column), None)
    if metric is None:
        return NONE
    summary = validation.summary(metric.key)
    if summary is None:
        return 'n/a'
    spread = '' if summary.std is None else f' ± {summary.std:.{metric.digits}f}'
    doubt = ' (indicative)' if validation.entry['images'] < metric.reliable_from else ''
    return f'{summary.mean:.{metric.digits}f}{spread}{doubt}'
