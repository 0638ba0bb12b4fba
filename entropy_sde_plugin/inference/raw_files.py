"""Camera raw files restored as raw images, then developed or written as DNG."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.data.raw_frame import RawFrame, read_frame
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.folder import OpenedImage, fitted, side_by_side
from entropy_sde_plugin.inference.jobs import DNG, Job
from entropy_sde_plugin.inference.pictures import exif
from entropy_sde_plugin.inference.pictures.dng import develop_planes, encode_dng
from entropy_sde_plugin.inference.pictures.picture import Picture, write_picture
from entropy_sde_plugin.inference.raw_enhancer import RawEnhancer
from entropy_sde_plugin.inference.raw_exposure import RawExposure
from entropy_sde_plugin.utils.atomic_file import atomic_file

__all__ = ['open_raw_file']


def open_raw_file(job: Job, enhancer: RawEnhancer, exposure: RawExposure) -> OpenedImage:
    """Open a camera's raw file to be restored as a raw image.

    Args:
        job: Its target is an image, developed, or a DNG file.
        enhancer: The model.
        exposure: The exposure ratio and the gain.

    Raises:
        InputError: It cannot be read, has no Bayer mosaic or is bright enough already, or its output formats cannot
            hold it.
    """
    frame = read_frame(job.source, keep_negative=enhancer.keep_negative)
    try:
        ratio = exposure.ratio_of(frame, str(job.source))
    except InputError as error:
        raise InputError(f'{job.source}: {error}') from None
    block = exif.from_raw_file(job.source)
    picture = fitted(job, _undeveloped(frame, block))
    return _OpenedRawFile(job, picture, frame, block, enhancer, ratio, exposure.gain_of(frame))


@dataclass(frozen=True)
class _OpenedRawFile(OpenedImage):
    """An opened raw file; of its picture the pixels are missing.

    Attributes:
        frame: The short exposure.
        block: The file's EXIF.
        enhancer: The model.
        ratio: How many times longer the result is exposed.
        gain: K, ADU per photon.
    """

    frame: RawFrame
    block: bytes | None
    enhancer: RawEnhancer
    ratio: float
    gain: float

    def write_enhanced(self, seed: int) -> None:
        planes = self.enhancer.enhance(self.frame, ratio=self.ratio, gain=self.gain, seed=seed)
        if self.job.comparison is not None:
            before, after = self._developed(self.frame.planes), self._developed(planes)
            write_picture(side_by_side(before, after), self.job.comparison)
        if self.job.target.suffix == DNG:
            with atomic_file(self.job.target) as file:
                file.write(encode_dng(planes, self.frame, exif=self.block))
        else:
            write_picture(self._developed(planes), self.job.target)

    def _developed(self, planes: NDArray[np.float32]) -> Picture:
        return replace(self.picture, rgb=develop_planes(planes, self.frame))


def _undeveloped(frame: RawFrame, block: bytes | None) -> Picture:
    """An image of the size and with the metadata of the developed one, and without memory of its own."""
    height, width = (2 * side for side in frame.planes.shape[1:])
    size = (width, height) if frame.orientation >= 5 else (height, width)
    black = np.broadcast_to(np.uint16(0), (*size, 3))
    return Picture(black, exif=block and exif.make_upright(block))
