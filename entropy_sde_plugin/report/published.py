"""The paper's own figures, shown beside those of runs."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ['PUBLISHED', 'SOURCE', 'PublishedRow']

SOURCE = 'arXiv 2404.09735'


class PublishedRow(NamedTuple):
    """A method on a dataset; the metrics by their names in ``evaluation.evaluate.METRICS``."""

    dataset: str
    method: str
    scores: dict[str, float]


def _row(dataset: str, method: str, *scores: float) -> PublishedRow:
    return PublishedRow(
        dataset, method, dict(zip(('psnr', 'ssim', 'lpips', 'dists', 'fid', 'niqe'), scores, strict=False))
    )


PUBLISHED = (
    _row('LOL-v1', 'L1 baseline', 23.21, 0.826, 0.114, 0.109, 51.99, 4.67),
    _row('LOL-v1', 'Entropy-SDE', 24.05, 0.848, 0.081, 0.071, 37.20, 4.40),
    _row('LOL-v2-real', 'L1 baseline', 18.54, 0.812, 0.151, 0.136, 51.99, 3.98),
    _row('LOL-v2-real', 'Entropy-SDE', 21.31, 0.832, 0.120, 0.119, 49.61, 4.09),
    _row('NTIRE 2024 test', 'Entropy-SDE', 22.04, 0.8141, 0.1084),
)
"""Tables of the paper: PSNR in dB, SSIM, LPIPS (AlexNet), DISTS, FID, NIQE."""
