"""The metrics of an option file's section ``val.metrics``, for single images and for sets of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from basicsr.metrics import calculate_metric
from numpy.typing import NDArray

from entropy_sde_plugin.data.images import RGBImage
from entropy_sde_plugin.errors import InputError, MetricUnavailableError
from entropy_sde_plugin.metrics.protocol import check_ssim_window
from entropy_sde_plugin.options.arguments import registered
from entropy_sde_plugin.options.validation import needs_truth

__all__ = ['Planes', 'Score', 'Scorer', 'SetMetric']

Score: TypeAlias = 'float | MetricUnavailableError'
"""A metric's value, or why there is none."""


Planes: TypeAlias = 'tuple[NDArray[np.float32], NDArray[np.float32] | None]'
"""Raw planes of a result and of its truth, if there is one, (H, W, 4)."""


class SetMetric(Protocol):
    """A metric of a whole set, as a metric function names it in its attribute ``set_metric``: a class that takes the
    metric's options."""

    def update(self, img: RGBImage, img2: RGBImage | None) -> None:
        """Add a result and its truth: (H, W, 3), uint8, BGR, as BasicSR passes them to its metrics."""
        ...

    def compute(self) -> float:
        """Return the value over all images added."""
        ...


class Scorer:
    """Computes the metrics of a section ``val``; one that fails does not affect the others.

    Args:
        val: The section; its ``metrics`` maps keys to the metrics' options.
    """

    def __init__(self, val: Mapping[str, Any]) -> None:
        self._metrics: dict[str, Mapping[str, Any]] = dict(val.get('metrics') or {})
        self.needs_truth = needs_truth(self._metrics)
        functions = {
            key: registered('metric', metric['type'], f'val.metrics.{key}.type')
            for key, metric in self._metrics.items()
        }
        self._set_metrics = {
            key: function.set_metric for key, function in functions.items() if hasattr(function, 'set_metric')
        }
        self._take_unrounded = {key for key, function in functions.items() if hasattr(function, 'takes_unrounded')}
        self._take_planes = {key for key, function in functions.items() if hasattr(function, 'takes_planes')}

    @property
    def scores_sets(self) -> bool:
        """Whether one of the metrics needs the whole set."""
        return bool(self._set_metrics)

    def of_picture(
        self,
        image: RGBImage,
        truth: RGBImage | None,
        unrounded: NDArray[np.float32] | None = None,
        planes: Planes | None = None,
    ) -> dict[str, Score]:
        """Score one result.

        Args:
            image: The result, (H, W, 3), uint8, BGR.
            truth: What it is compared with, likewise, if there is one.
            unrounded: The result in [0, 1] before it became ``image``, for the metrics that take it; ``image`` itself
                by default.
            planes: The raw planes of both, for the metrics that take them.
        """

        def score(key: str, metric: Mapping[str, Any]) -> Score:
            result, true = image, truth
            if key in self._take_planes:
                if planes is None:
                    raise InputError(f'val.metrics.{key}: {metric["type"]} compares raw planes, not RGB images.')
                result, true = planes
            elif unrounded is not None and key in self._take_unrounded:
                result = unrounded
            pictures = {'img': result} if true is None else {'img': result, 'img2': true}
            return _attempt(lambda: _of_picture(pictures, metric))

        return {key: score(key, metric) for key, metric in self._metrics.items() if key not in self._set_metrics}

    def of_set(self, pairs: Iterable[tuple[RGBImage, RGBImage | None]]) -> dict[str, Score]:
        """Score a set of results and their truths, in its order."""
        pairs = list(pairs)
        return {key: _attempt(lambda key=key: self._over(key, pairs)) for key in self._set_metrics}

    def _over(self, key: str, pairs: Iterable[tuple[RGBImage, RGBImage | None]]) -> float:
        options = {name: value for name, value in self._metrics[key].items() if name not in ('type', 'better')}
        metric: SetMetric = self._set_metrics[key](**options)
        for image, truth in pairs:
            metric.update(image, truth)
        return metric.compute()


def _of_picture(pictures: dict[str, NDArray[Any]], metric: Mapping[str, Any]) -> Any:
    """Compute a metric as BasicSR does, but raise an error where BasicSR returns NaN: if ``crop_border`` leaves nothing
    of the image, or too little for SSIM."""
    border, (height, width) = metric.get('crop_border', 0), pictures['img'].shape[:2]
    if 2 * border >= min(height, width):
        raise MetricUnavailableError(
            f'an image of {width} x {height} pixels is cut away completely by crop_border {border}: lower it.'
        )
    if metric['type'] == 'calculate_ssim':
        check_ssim_window(height - 2 * border, width - 2 * border)
    return calculate_metric(pictures, metric)


def _attempt(compute: Callable[[], Any]) -> Score:
    try:
        return float(compute())
    except MetricUnavailableError as reason:
        return reason
