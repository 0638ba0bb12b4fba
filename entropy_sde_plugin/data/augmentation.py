"""Crops, scales, flips and rotations, random ones applied in the same way to several images of one scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.data.images import RGBImage

__all__ = ['crop', 'flip_and_rotate', 'middle', 'random_crop', 'random_square', 'turn_planes']

Value = TypeVar('Value', bound=np.generic)


def crop(images: Sequence[RGBImage], rng: np.random.Generator, *, side: int, size: int) -> list[RGBImage]:
    """Cut the same random square of ``side`` pixels out of every image and downscale it to ``size`` pixels.

    Downscaling by ``size/side`` after the crop equals downscaling the whole image before it, at a fraction of the cost.

    Args:
        images: Images of one shape (H, W, 3), uint8.
        rng: Draws the position.
        side: Side of the square, at most min(H, W).
        size: Side of the result, at most ``side``; pixel areas are averaged.

    Returns:
        Images of shape (size, size, 3).
    """
    height, width = images[0].shape[:2]
    top = int(rng.integers(height - side + 1))
    left = int(rng.integers(width - side + 1))
    squares = [image[top : top + side, left : left + side] for image in images]
    if side == size:
        return squares
    return [np.asarray(cv2.resize(s, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8) for s in squares]


def middle(image: RGBImage, side: int) -> RGBImage:
    """Return the square of ``side`` pixels in the middle of an image (H, W, 3), contiguous."""
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def flip_and_rotate(
    images: Sequence[RGBImage], rng: np.random.Generator, *, use_hflip: bool, use_rot: bool
) -> list[RGBImage]:
    """Flip and rotate every image in the same way; all eight positions of the square are equally likely.

    Args:
        images: Square images, (S, S, 3).
        rng: Draws the position.
        use_hflip: Mirror left and right with probability 1/2.
        use_rot: Mirror top and bottom, and transpose, each with probability 1/2, as BasicSR's ``use_rot``.

    Returns:
        Views of the images.
    """
    planes = [image.transpose(2, 0, 1) for image in images]
    return [turned.transpose(1, 2, 0) for turned in turn_planes(planes, rng, use_hflip=use_hflip, use_rot=use_rot)]


def turn_planes(
    images: Sequence[NDArray[Value]], rng: np.random.Generator, *, use_hflip: bool, use_rot: bool
) -> list[NDArray[Value]]:
    """Flip and rotate every image in the same way, as ``flip_and_rotate``, plane by plane: (C, S, S)."""
    mirror, flip, transpose = rng.random(3) < 0.5
    result = list(images)
    if use_hflip and mirror:
        result = [image[:, :, ::-1] for image in result]
    if use_rot and flip:
        result = [image[:, ::-1] for image in result]
    if use_rot and transpose:
        result = [image.transpose(0, 2, 1) for image in result]
    return result


def random_crop(
    image: RGBImage, rng: np.random.Generator, *, size: int, scale_prob: float, use_hflip: bool, use_rot: bool
) -> RGBImage:
    """Cut a random square out of one image, at a random scale, and flip and rotate it.

    Args:
        image: Shape (H, W, 3), uint8.
        rng: Draws the scale and the position.
        size: Side of the result, at most min(H, W).
        scale_prob: Probability of a square of random side, from ``size`` to min(H, W), downscaled to ``size``.
        use_hflip, use_rot: See :func:`flip_and_rotate`.

    Returns:
        An image of shape (size, size, 3).
    """
    scaled = rng.random() < scale_prob
    side = int(rng.integers(size, min(image.shape[:2]) + 1)) if scaled else size
    squares = crop([image], rng, side=side, size=size)
    return flip_and_rotate(squares, rng, use_hflip=use_hflip, use_rot=use_rot)[0]


def random_square(shape: Sequence[int], size: int, rng: np.random.Generator) -> tuple[slice, slice, slice]:
    """Return a random square of planes, as an index.

    Args:
        shape: (C, H, W).
        size: Its side, at most min(H, W).
        rng: Draws the position.

    Example:
        >>> planes = np.zeros((4, 30, 40))
        >>> planes[random_square(planes.shape, 16, np.random.default_rng(0))].shape
        (4, 16, 16)
    """
    top, left = (int(rng.integers(side - size + 1)) for side in shape[1:])
    return slice(None), slice(top, top + size), slice(left, left + size)
