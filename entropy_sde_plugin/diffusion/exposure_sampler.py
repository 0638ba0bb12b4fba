"""The sampler of ExposureDiffusion: network calls from the short exposure to the clean picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from entropy_sde_plugin.diffusion.exposure import Counts, ExposureProcess, matched_to_truth, photon_counts
from entropy_sde_plugin.diffusion.process import CLEAN
from entropy_sde_plugin.errors import InputError

__all__ = ['ExposureDenoiser', 'IlluminationCorrection', 'NetworkCall', 'network_calls', 'restore']

IlluminationCorrection = Literal['in_loop', 'final', 'none']
"""Where a prediction's brightness is set to that of the truth: after each network call and once more at the end, as in
all published figures; at the end alone; or nowhere, which is all that is possible without the truth."""

Parts = TypeVar('Parts')

_MULTIPLE = 16
"""Of the sides that the U-Net takes."""


class ExposureDenoiser(Generic[Parts]):
    """A network read as an estimator of the clean image.

    Args:
        network: (planes) -> (picture, parts of it).
        process: The process that knows what a photon is.
        photon_plane: The planes include the state in photons.
        concat_origin: The planes include the short exposure.

    Example:
        >>> denoise = ExposureDenoiser(lambda planes: (planes[:, :4], None), ExposureProcess(100, 1.0))
        >>> denoise(torch.zeros(1, 4, 16, 16), torch.zeros(1, 4, 16, 16), torch.tensor(1.0))[0].shape
        torch.Size([1, 4, 16, 16])
    """

    def __init__(
        self,
        network: Callable[[Tensor], tuple[Tensor, Parts]],
        process: ExposureProcess,
        *,
        photon_plane: bool = True,
        concat_origin: bool = False,
    ) -> None:
        self.network = network
        self.process = process
        self.photon_plane = photon_plane
        self.concat_origin = concat_origin

    def __call__(self, state: Tensor, short: Tensor, exposure: Tensor) -> tuple[Tensor, Parts]:
        """Return the image (B, 4, H, W), and what else the network gives."""
        planes = [state]
        if self.photon_plane:
            planes.append(self.process.photon_plane(state, exposure))
        if self.concat_origin:
            planes.append(short)
        return self.network(torch.cat(planes, dim=1))


@dataclass(frozen=True)
class NetworkCall(Generic[Parts]):
    """One call of the network on the way.

    Attributes:
        state: What the network saw, (B, 4, H, W).
        predicted: Its image.
        picture: The same at the brightness of the truth, where that is corrected.
        parts: What else the network gave.
    """

    state: Tensor
    predicted: Tensor
    picture: Tensor
    parts: Parts


def network_calls(
    denoiser: ExposureDenoiser[Parts], short: Tensor, times: Sequence[Any], counts: Counts, truth: Tensor | None = None
) -> Iterator[NetworkCall[Parts]]:
    """Call the network at each exposure, and lengthen the exposure by what it predicts.

    Every state starts again from the short exposure, as in the release; the paper adds to the previous state.

    Args:
        denoiser: Estimates the clean image.
        short: The short exposure, (B, 4, H, W), brightened to the reference.
        times: Exposures and ``CLEAN`` (see :meth:`.ExposureProcess.time_grid` and ``draw_times``).
        counts: Draws photon counts.
        truth: The clean image, whose brightness each prediction is to take; None for what is predicted.
    """
    state = short
    for exposure, to in pairwise(times):
        predicted, parts = denoiser(state, short, exposure)
        picture = predicted if truth is None else matched_to_truth(predicted, truth)
        yield NetworkCall(state, predicted, picture, parts)
        if to is not CLEAN:
            state = denoiser.process.lengthen(short, picture, to, counts)


def restore(
    denoiser: ExposureDenoiser[Any],
    short: Tensor,
    times: Sequence[Any],
    *,
    generator: torch.Generator | Sequence[torch.Generator],
    truth: Tensor | None = None,
    illumination_correction: IlluminationCorrection = 'none',
) -> Tensor:
    """Restore short exposures of any size.

    Args:
        denoiser: Estimates the clean image.
        short: The short exposures, (B, 4, H, W), brightened to the reference, sides of at least 10.
        times: Exposures and ``CLEAN``.
        generator: Source of the photon counts, or one for each image.
        truth: The clean images, shaped as ``short``; only for a correction.
        illumination_correction: See :data:`IlluminationCorrection`.

    Returns:
        The clean images, shaped as ``short``.

    Raises:
        InputError: A correction without the truth, or sides too small to be padded.

    Example:
        >>> process = ExposureProcess(ratio=100, gain=1.0)
        >>> denoiser = ExposureDenoiser(lambda planes: (planes[:, :4].clamp(0, 1), None), process)
        >>> generator = torch.Generator().manual_seed(0)
        >>> restore(denoiser, torch.rand(1, 4, 20, 30), process.time_grid(3), generator=generator).shape
        torch.Size([1, 4, 20, 30])
    """
    if illumination_correction != 'none' and truth is None:
        raise InputError(
            f"The illumination correction '{illumination_correction}' needs the ground truth: use "
            "'none' where there is none.",
            option='illumination_correction',
        )
    padded = padded_to_multiple(short)
    in_loop = padded_to_multiple(truth) if truth is not None and illumination_correction == 'in_loop' else None
    *_, last = network_calls(denoiser, padded, times, photon_counts(generator), in_loop)
    picture = unpadded(last.picture, short)
    return picture if truth is None or illumination_correction == 'none' else matched_to_truth(picture, truth)


def padded_to_multiple(images: Tensor) -> Tensor:
    """Continue images by reflection to the next multiple of 16 on both axes, half of it in front, as the release does.

    A side that is a multiple gets 16 more.

    Raises:
        InputError: A side of less than 10.
    """
    if min(images.shape[-2:]) < _MULTIPLE // 2 + 2:
        raise InputError(f'Packed planes must have sides of at least 10, got {tuple(images.shape[-2:])}.')
    (top, bottom), (left, right) = (_margins(side) for side in images.shape[-2:])
    return F.pad(images, (left, right, top, bottom), mode='reflect')


def unpadded(padded: Tensor, original: Tensor) -> Tensor:
    """Cut what :func:`padded_to_multiple` added."""
    height, width = original.shape[-2:]
    top, left = _margins(height)[0], _margins(width)[0]
    return padded[..., top : top + height, left : left + width]


def _margins(side: int) -> tuple[int, int]:
    added = _MULTIPLE - side % _MULTIPLE
    return added // 2, added - added // 2
