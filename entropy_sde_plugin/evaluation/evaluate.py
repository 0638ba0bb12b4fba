"""Scores of any method's images against the ground truth, by the protocol of this package's validation."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from entropy_sde_plugin.data.images import RGBImage
from entropy_sde_plugin.data.sources import ImageSource, Pair, check_sizes, match_pairs
from entropy_sde_plugin.errors import InputError, MetricUnavailableError, printable, suggestion
from entropy_sde_plugin.evaluation.scoring import Score, Scorer
from entropy_sde_plugin.metrics.fid import FrechetInceptionDistance
from entropy_sde_plugin.utils.atomic_file import atomic_file
from entropy_sde_plugin.utils.console import tracked

__all__ = [
    'DEFAULT_METRICS',
    'METRICS',
    'Evaluation',
    'ImageSet',
    'NamedMetric',
    'check_csv',
    'evaluate',
    'format_table',
    'write_csv',
]


class NamedMetric(NamedTuple):
    """A metric with its heading in tables.

    Attributes:
        heading: Its column's heading; the arrow points to better values.
        section: Its entry in a section ``val.metrics``.
        digits: Digits after the decimal point.
        reliable_from: Number of images below which its value is only indicative.
    """

    heading: str
    section: Mapping[str, Any]
    digits: int
    reliable_from: int = 0


METRICS = {
    'psnr': NamedMetric('PSNR, dB ↑', {'type': 'calculate_psnr', 'crop_border': 0}, 2),
    'ssim': NamedMetric('SSIM ↑', {'type': 'calculate_ssim', 'crop_border': 0}, 3),
    'lpips': NamedMetric('LPIPS (alex) ↓', {'type': 'calculate_lpips', 'net': 'alex'}, 3),
    'lpips_vgg': NamedMetric('LPIPS (vgg) ↓', {'type': 'calculate_lpips', 'net': 'vgg'}, 3),
    'lpips_squeeze': NamedMetric('LPIPS (squeeze) ↓', {'type': 'calculate_lpips', 'net': 'squeeze'}, 3),
    'dists': NamedMetric('DISTS ↓', {'type': 'calculate_dists'}, 3),
    'niqe': NamedMetric('NIQE ↓', {'type': 'calculate_niqe', 'crop_border': 0}, 2),
    'fid': NamedMetric('FID ↓', {'type': 'calculate_fid'}, 1, FrechetInceptionDistance.RELIABLE),
    'psnr_gtmean': NamedMetric('PSNR with GT mean, dB ↑', {'type': 'calculate_psnr_gtmean'}, 2),
    'ssim_gtmean': NamedMetric('SSIM with GT mean ↑', {'type': 'calculate_ssim_gtmean'}, 3),
    'psnr_lldiffusion': NamedMetric('PSNR of LLDiffusion, dB ↑', {'type': 'calculate_psnr_lldiffusion'}, 2),
    'ssim_lldiffusion': NamedMetric('SSIM of LLDiffusion ↑', {'type': 'calculate_ssim_lldiffusion'}, 3),
}
"""Name on the command line and in files -> metric."""

DEFAULT_METRICS = ('psnr', 'ssim', 'lpips')


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of images.

    Attributes:
        metrics: Names of the metrics, as in ``METRICS``.
        pictures: Name of the truth -> metric -> value, or why there is none; metrics of whole sets left out.
        whole: The metrics that score the set as a whole.
    """

    metrics: tuple[str, ...]
    pictures: dict[str, dict[str, Score]]
    whole: dict[str, Score]

    def mean(self, metric: str) -> Score:
        """Return a metric's mean over the set; unavailable as soon as it is for one image."""
        if metric in self.whole:
            return self.whole[metric]
        values: list[float] = []
        for name, scores in self.pictures.items():
            score = scores[metric]
            if isinstance(score, MetricUnavailableError):
                return MetricUnavailableError(f'{name}: {score}')
            values.append(score)
        return fmean(values)


class ImageSet(NamedTuple):
    """Images to score.

    Attributes:
        images: The images.
        name_of: Returns the name of an image for that of the truth.
    """

    images: ImageSource
    name_of: Callable[[str], str] = str


def evaluate(
    sets: Mapping[str, ImageSet], truth: ImageSource, metrics: Sequence[str] = DEFAULT_METRICS
) -> dict[str, Evaluation]:
    """Score sets of images against the true ones; nothing is resized, and all are paired before the first is scored.

    Args:
        sets: The sets, by the names of their methods.
        truth: The ground truth.
        metrics: Names from ``METRICS``.

    Returns:
        The scores of each set.

    Raises:
        InputError: No such metric; one line for each image without a partner, unreadable or of another size.
    """
    for name in metrics:
        if name not in METRICS:
            raise InputError(f"There is no metric '{name}'. {suggestion(name, METRICS)}")
    pairs = {method: _checked_pairs(images, truth, name_of) for method, (images, name_of) in sets.items()}
    return {method: _scored(sets[method].images, truth, pairs[method], metrics) for method in sets}


def _checked_pairs(result: ImageSource, truth: ImageSource, name_of: Callable[[str], str]) -> list[Pair]:
    pairs = match_pairs(result, truth, name_of)
    check_sizes(result, truth, pairs)
    return pairs


def _scored(result: ImageSource, truth: ImageSource, pairs: Sequence[Pair], metrics: Sequence[str]) -> Evaluation:
    scorer = Scorer({'metrics': {name: METRICS[name].section for name in metrics}})
    scores: dict[str, dict[str, Score]] = {}
    kept: list[tuple[RGBImage, RGBImage]] = []
    for made, true in tracked(pairs, 'images', printable(str(result.path))):
        assert true is not None  # every result has been paired
        pictures = (_bgr(result.image(made)), _bgr(truth.image(true)))
        scores[true] = scorer.of_picture(*pictures)
        if scorer.scores_sets:
            kept.append(pictures)
    return Evaluation(tuple(metrics), scores, scorer.of_set(kept))


def format_table(evaluations: Mapping[str, Evaluation]) -> str:
    """Means as a Markdown table, a row for each method. What is unavailable is n/a; the reason follows below, with what
    is indicative only.

    Args:
        evaluations: Name of the method -> its scores, all by the same metrics.
    """
    metrics = next(iter(evaluations.values())).metrics
    lines = [_row(['method', *(METRICS[name].heading for name in metrics)]), '|' + '---|' * (1 + len(metrics))]
    notes: dict[str, None] = {}
    for method, evaluation in evaluations.items():
        cells = [method]
        for name in metrics:
            heading, _, digits, reliable_from = METRICS[name]
            mean = evaluation.mean(name)
            if isinstance(mean, MetricUnavailableError):
                notes[f'n/a, {heading[:-2]}: {mean}'] = None
                cells.append('n/a')
                continue
            cells.append(f'{mean:.{digits}f}')
            if (count := len(evaluation.pictures)) < reliable_from:
                notes[f'{heading[:-2]} over {count} images is only indicative: it needs {reliable_from}.'] = None
        lines.append(_row(cells))
    if notes:
        lines += ['', *notes]
    return '\n'.join(lines) + '\n'


def check_csv(path: Path) -> None:
    """Check that :func:`write_csv` would not replace a file of another kind.

    Raises:
        InputError: It would.
    """
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(b'image,')):
        raise InputError(f'{path}: this is another kind of table; choose another folder with -o.')


def write_csv(path: Path, evaluation: Evaluation) -> None:
    """Write a row for each image: ``image``, then the metrics by name, full precision, n/a where there is no value.

    Metrics of the whole set have a last row of their own, whose ``image`` is empty.

    Raises:
        InputError: A file of that name is there and is another kind of table.
    """
    check_csv(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['image', *evaluation.metrics])
    whole = {'': evaluation.whole} if evaluation.whole else {}
    for name, scores in (evaluation.pictures | whole).items():
        writer.writerow([name, *(_cell(scores.get(metric)) for metric in evaluation.metrics)])
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


def _bgr(image: RGBImage) -> RGBImage:
    return np.ascontiguousarray(image[..., ::-1])


def _row(cells: Iterable[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _cell(score: Score | None) -> str:
    if score is None:
        return ''
    return 'n/a' if isinstance(score, MetricUnavailableError) else repr(score)
