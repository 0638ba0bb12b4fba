"""Random crops, scales, flips and rotations, applied in the same way to several images of one scene."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from entropy_sde_plugin.data.images import RGBImage

__all__ = ['crop', 'flip_and_rotate']


def crop(pictures: Sequence[RGBImage], rng: np.random.Generator, *, side: int, size: int) -> list[RGBImage]:
    """Cut the same random square of ``side`` pixels out of every image and downscale it to ``size`` pixels.

    Downscaling by ``size/side`` after the crop equals downscaling the whole image before it, at a fraction of the cost.

    Args:
        pictures: Images of one shape (H, W, 3), uint8.
        rng: Draws the position.
        side: Side of the square, at most min(H, W).
        size: Side of the result, at most ``side``; pixel areas are averaged.

    Returns:
        Images of shape (size, size, 3).
    """
    height, width = pictures[0].shape[:2]
    top = int(rng.integers(height - side + 1))
    left = int(rng.integers(width - side + 1))
    squares = [picture[top : top + side, left : left + side] for picture in pictures]
    if side == size:
        return squares
    return [np.asarray(cv2.resize(s, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8) for s in squares]


def flip_and_rotate(
    pictures: Sequence[RGBImage], rng: np.random.Generator, *, use_hflip: bool, use_rot: bool
) -> list[RGBImage]:
    """Flip and rotate every image in the same way; all eight positions of the square are equally likely.

    Args:
        pictures: Square images, (S, S, 3).
        rng: Draws the position.
        use_hflip: Mirror left and right with probability 1/2.
        use_rot: Mirror top and bottom, and transpose, each with probability 1/2, as BasicSR's ``use_rot``.

    Returns:
        Views of the images.
    """
    mirror, flip, transpose = rng.random(3) < 0.5
    result = list(pictures)
    if use_hflip and mirror:
        result = [picture[:, ::-1] for picture in result]
    if use_rot and flip:
        result = [picture[::-1] for picture in result]
    if use_rot and transpose:
        result = [picture.transpose(1, 0, 2) for picture in result]
    return result
