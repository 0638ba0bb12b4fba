"""One self-contained HTML page about runs: curves, tables, images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from entropy_sde_plugin.report import tables
from entropy_sde_plugin.report.charts import COLOURS, Line, line_chart
from entropy_sde_plugin.report.pictures import (
    CROP,
    Sample,
    crop,
    read_result,
    read_samples,
    thumbnail,
    window_of_detail,
)
from entropy_sde_plugin.report.published import SOURCES
from entropy_sde_plugin.report.runs import Run, ValidationRecord, read_runs
from entropy_sde_plugin.utils.atomic_file import atomic_file, output_path

__all__ = ['write_report']

SHOWN = 6
"""Images of a dataset in the grid."""
EXTREMES = 3
"""Worst and best images of each metric."""


def write_report(folders: Sequence[Path], output: Path) -> None:
    """Write a page about trainings and tests; completely or not at all.

    It needs no other files and no network. Losses, learning rate and time of a step come from BasicSR's log;
    figures, settings and versions from ``metrics.csv`` and ``run.json``; images from ``visualization/`` and the
    datasets.

    Args:
        folders: ``experiments/NAME`` or ``results/NAME``.
        output: The file to create or replace; its folder exists.

    Raises:
        InputError: A folder is not that of a run, or the output does not end in .html.
        OSError: The page could not be written.
    """
    output_path(output, '.html')
    runs = read_runs(folders)
    metrics = tables.columns(runs)
    environment = Environment(
        loader=PackageLoader('entropy_sde_plugin.report', '.'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template('page.html.j2').render(
        runs=[{'label': run.label, 'colour': colour} for run, colour in _coloured(runs)],
        columns=list(metrics),
        results=tables.result_rows(runs, metrics),
        unavailable=tables.unavailable_notes(runs),
        published=tables.published_rows(metrics),
        sources=SOURCES,
        made=tables.run_rows(runs),
        charts=_training_charts(runs) + _validation_charts(runs),
        galleries=[_gallery(group) for group in _groups(runs)],
        crop=CROP,
    )
    with atomic_file(output) as file:
        file.write(page.encode(errors='backslashreplace'))  # names of folders may not be UTF-8


def _coloured(runs: Sequence[Run]) -> list[tuple[Run, str]]:
    return [(run, COLOURS[index % len(COLOURS)]) for index, run in enumerate(runs)]


# --- curves -----------------------------------------------------------------------------------------------------------


def _training_charts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    losses = dict.fromkeys(name for run in runs for step in run.steps for name in step.losses)
    charts = [
        _chart(
            f'Loss {name}',
            'running mean over the log; the single values are faint',
            [
                Line(run.label, colour, [(s.iteration, s.losses[name]) for s in run.steps if name in s.losses])
                for run, colour in _coloured(runs)
            ],
            logarithmic=True,
        )
        for name in losses
    ]
    rates = [
        Line(run.label, colour, [(step.iteration, step.learning_rate) for step in run.steps])
        for run, colour in _coloured(runs)
    ]
    times = [
        Line(run.label, colour, [(step.iteration, step.seconds) for step in run.steps])
        for run, colour in _coloured(runs)
    ]
    charts += [_chart('Learning rate', '', rates), _chart('Time per step, seconds', 'data loading included', times)]
    return [chart for chart in charts if chart['svg']]


def _validation_charts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A chart for each metric and dataset that was validated more than once."""
    charts = []
    datasets = dict.fromkeys(v.entry['dataset'] for run in runs for v in run.validations)
    for dataset in datasets:
        for column in tables.columns(runs):
            lines = [
                _validation_line(run, colour, dataset, metric.key)
                for run, colour in _coloured(runs)
                for metric in run.metrics.values()
                if tables.Column(metric.heading, metric.options) == column
            ]
            if any(len(line.points) > 1 for line in lines):
                charts.append(_chart(column.heading, f'{dataset} {column.options}'.strip(), lines))
    return charts


def _validation_line(run: Run, colour: str, dataset: str, key: str) -> Line:
    summaries = [
        (v.entry['iteration'], summary)
        for v in run.validations
        if v.entry['dataset'] == dataset and v.entry['iteration'] is not None and (summary := v.summary(key))
    ]
    spread = [summary.std or 0.0 for _, summary in summaries]
    return Line(run.label, colour, [(at, summary.mean) for at, summary in summaries], spread, marked=True)


def _chart(title: str, about: str, lines: Sequence[Line], logarithmic: bool = False) -> dict[str, Any]:
    svg = line_chart(lines, f'{title} over the iterations', logarithmic)
    scale = 'logarithmic' if logarithmic else ''
    return {'title': title, 'about': '; '.join(filter(None, (about, scale))), 'svg': Markup(svg)}


# --- images -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Runs whose last validation met the same images."""

    dataset: str
    members: list[tuple[Run, ValidationRecord]]


def _groups(runs: Iterable[Run]) -> list[_Group]:
    groups: dict[tuple[str, str], _Group] = {}
    for run in runs:
        for validation in run.latest:
            entry = validation.entry
            group = groups.setdefault((entry['dataset'], entry['data_sha256']), _Group(entry['dataset'], []))
            group.members.append((run, validation))
    return list(groups.values())


def _gallery(group: _Group) -> dict[str, Any]:
    """The grid of crops and the worst and best images of a dataset, and what kept them from being shown."""
    names = list(dict.fromkeys(row['image'] for row in group.members[0][1].rows if row['image']))
    shown = [names[round(at)] for at in np.linspace(0, len(names) - 1, min(SHOWN, len(names)))]
    extremes = [_extremes(run, validation) for run, validation in group.members]
    wanted = {*shown, *(name for lists in extremes for entry in lists for _, name, _ in entry['pictures'])}
    note, samples = '', {}
    try:
        samples = read_samples(group.members[0][0], group.dataset, wanted)
    except Exception as error:
        note = f'Input and truth are not shown, since the data could not be read: {error}'
    rows = [_comparison(name, group, samples.get(name)) for name in shown]
    if not any(cell for row in rows for cell in row['after']):
        note = f'{note} The runs kept no images (val.save_img: false).'.strip()
    return {
        'dataset': group.dataset,
        'runs': [run.label for run, _ in group.members],
        'note': note,
        'rows': [row for row in rows if row['before'] or any(row['after'])],
        'extremes': [
            {'run': run.label, 'metrics': [_thumbnails(entry, run, validation, samples) for entry in lists]}
            for (run, validation), lists in zip(group.members, extremes, strict=True)
        ],
    }


def _comparison(name: str, group: _Group, sample: Sample | None) -> dict[str, Any]:
    """One row of the grid: the same window of the input, of every run's result, and of the truth."""
    results = [read_result(run, validation, name) for run, validation in group.members]
    known = [
        picture for picture in (sample and sample.truth, *results, sample and sample.before) if picture is not None
    ]
    if not known:
        return {'name': name, 'before': '', 'after': ['' for _ in results], 'truth': ''}
    window = window_of_detail(known[0])

    def cut(picture: Any) -> str:
        return '' if picture is None else crop(picture, window, known[0])

    return {
        'name': name,
        'before': cut(sample and sample.before),
        'after': [cut(result) for result in results],
        'truth': cut(sample and sample.truth),
    }


def _extremes(run: Run, validation: ValidationRecord) -> list[dict[str, Any]]:
    """For each metric of images the worst and the best ones: (value, name, whether it is among the best)."""
    entries = []
    for metric in run.metrics.values():
        pictures = validation.pictures(metric.key)
        if len(pictures) < 2:
            continue
        worst_first = pictures if metric.higher_is_better else pictures[::-1]
        count = min(EXTREMES, len(pictures) // 2)
        chosen = [(*p, False) for p in worst_first[:count]] + [(*p, True) for p in worst_first[: -count - 1 : -1]]
        entries.append({'heading': metric.heading, 'digits': metric.digits, 'pictures': chosen})
    return entries


def _thumbnails(
    entry: dict[str, Any], run: Run, validation: ValidationRecord, samples: dict[str, Sample]
) -> dict[str, Any]:
    figures: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for value, name, is_best in entry['pictures']:
        sample, result = samples.get(name), read_result(run, validation, name)
        pictures = (sample and sample.before, result, sample and sample.truth)
        figures[is_best].append(
            {
                'name': name,
                'value': f'{value:.{entry["digits"]}f}',
                'pictures': [thumbnail(picture) for picture in pictures if picture is not None],
            }
        )
    return {'heading': entry['heading'], 'worst': figures[False], 'best': figures[True]}
