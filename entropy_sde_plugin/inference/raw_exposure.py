"""How much longer raw images should have been exposed, and the gain that they were taken at."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from entropy_sde_plugin.data.raw_frame import RawFrame
from entropy_sde_plugin.data.raw_noise import camera as calibrated
from entropy_sde_plugin.data.raw_noise import gain_for
from entropy_sde_plugin.data.raw_view import light
from entropy_sde_plugin.diffusion.exposure import check_gain, check_ratio
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.console import report

__all__ = ['HIGHEST_RATIO', 'RawExposure', 'automatic_ratio']

HIGHEST_RATIO = 300.0
"""Highest ratio of the published training, and of what :func:`automatic_ratio` suggests."""

_PERCENTILE = 95
_WANTED = ((0.8 + 0.055) / 1.055) ** 2.4
"""The light of 0.8 in sRGB (IEC 61966-2-1)."""

_BLOCK = 4
"""Values of a plane are averaged in squares of this side: noise would raise the percentile."""


class RawExposure:
    """The exposure ratio and the gain of raw files.

    Args:
        ratio: How many times longer the results are exposed; ``'auto'`` takes the :func:`automatic_ratio` of
            each file, and reports it.
        camera: The camera whose gain at a file's ISO is used: a calibrated camera's name, or a file of
            ``entropy-sde calibrate`` (see :func:`~entropy_sde_plugin.data.raw_noise.camera`).
        gain: K of all files, ADU per photon, in place of the camera's.

    Raises:
        InputError: A ratio or gain out of its range (:func:`~.exposure.check_ratio`, :func:`~.exposure.check_gain`), or
            there is no such camera.

    Example:
        >>> RawExposure(ratio=100, gain=2.0).ratio
        100
    """

    def __init__(
        self, *, ratio: float | Literal['auto'] = 'auto', camera: str | None = None, gain: float | None = None
    ) -> None:
        if not isinstance(ratio, str):
            check_ratio(ratio)
        if gain is not None:
            check_gain(gain)
        self.ratio = ratio
        self.gain = gain
        self.camera = None if camera is None else calibrated(camera)

    def ratio_of(self, frame: RawFrame, name: str) -> float:
        """Return the ratio for a frame; an automatic one is reported under the frame's name.

        Raises:
            InputError: The image needs none.
        """
        if not isinstance(self.ratio, str):
            return self.ratio
        ratio = automatic_ratio(frame)
        report(f'{name}: ratio {ratio:.3g}.')
        return ratio

    def gain_of(self, frame: RawFrame) -> float:
        """Return the gain K for a frame, ADU per photon; see :func:`~entropy_sde_plugin.data.raw_noise.gain_for`."""
        return gain_for(frame.metadata.iso, self.camera) if self.gain is None else self.gain


def automatic_ratio(frame: RawFrame) -> float:
    """Return the ratio that brings the 95th percentile of the developed image's values to 0.8, at most 300.

    Args:
        frame: The short exposure, with sides of at least 4 values of a plane.

    Raises:
        InputError: The image is that bright already.

    Example:
        >>> from entropy_sde_plugin.data.raw_frame import RawMetadata
        >>> metadata = RawMetadata(100, 0.1, np.ones(4, np.float32), np.eye(3, dtype=np.float32))
        >>> dark = RawFrame(np.full((4, 20, 30), 0.01, np.float32), (512,) * 4, 16383, metadata)
        >>> round(automatic_ratio(dark), 1)
        60.4
    """
    means = F.avg_pool2d(torch.from_numpy(frame.planes), _BLOCK)
    gains, matrix = (torch.from_numpy(each) for each in (frame.metadata.white_balance, frame.metadata.matrix))
    bright = float(np.percentile(_developed_light(means, gains, matrix), _PERCENTILE))
    ratio = _WANTED / bright if bright > _WANTED / HIGHEST_RATIO else HIGHEST_RATIO
    if ratio <= 1:
        raise InputError('it is bright enough already; leave it out, or set --ratio.')
    return ratio


def _developed_light(planes: Tensor, gains: Tensor, matrix: Tensor) -> np.ndarray:
    """Linear RGB of a developed image. As in LibRaw the lowest gain is set to 1, where `light` sets green's to 1."""
    return (light(planes[None], gains[None], matrix[None]) * (gains[1] / gains.min())).numpy()
