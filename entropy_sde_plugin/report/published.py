"""The papers' own figures, shown beside those of runs."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ['PUBLISHED', 'SOURCES', 'PublishedRow']

SOURCES = 'arXiv 2404.09735 and 2307.14659'


class PublishedRow(NamedTuple):
    """A method on a dataset; the metrics by their names in ``evaluation.evaluate.METRICS``."""

    dataset: str
    method: str
    scores: dict[str, float]


def _entropy_sde(dataset: str, method: str, *scores: float) -> PublishedRow:
    """A row of Entropy-SDE's tables: PSNR in dB, SSIM, LPIPS (AlexNet), DISTS, FID, NIQE."""
    names = ('psnr', 'ssim', 'lpips', 'dists', 'fid', 'niqe')
    return PublishedRow(dataset, method, dict(zip(names, scores, strict=False)))


def _lldiffusion(dataset: str, *scores: float) -> PublishedRow:
    """A row of LLDiffusion's tables: PSNR in dB and SSIM as its release computes them, LPIPS (AlexNet)."""
    names = ('psnr_lldiffusion', 'ssim_lldiffusion', 'lpips')
    return PublishedRow(dataset, 'LLDiffusion', dict(zip(names, scores, strict=False)))


PUBLISHED = (
    _entropy_sde('LOL-v1', 'L1 baseline', 23.21, 0.826, 0.114, 0.109, 51.99, 4.67),
    _entropy_sde('LOL-v1', 'Entropy-SDE', 24.05, 0.848, 0.081, 0.071, 37.20, 4.40),
    _entropy_sde('LOL-v2-real', 'L1 baseline', 18.54, 0.812, 0.151, 0.136, 51.99, 3.98),
    _entropy_sde('LOL-v2-real', 'Entropy-SDE', 21.31, 0.832, 0.120, 0.119, 49.61, 4.09),
    _entropy_sde('NTIRE 2024 test', 'Entropy-SDE', 22.04, 0.8141, 0.1084),
    _lldiffusion('LOL-v1', 24.65, 0.843, 0.075),
    _lldiffusion('LOL-v2-real', 23.16, 0.842),
    _lldiffusion('LOL-v2-synthetic', 25.99, 0.948),
    _lldiffusion('VE-LOL', 31.77, 0.902, 0.040),
)
"""Rows of the papers' tables."""
