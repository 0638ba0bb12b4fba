"""Input, result and truth of a validation, cut for a page."""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from basicsr.data import build_dataset
from torch import Tensor

from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.images import RGBImage, encode
from entropy_sde_plugin.data.options import files_replaced
from entropy_sde_plugin.data.picture_key import picture_key
from entropy_sde_plugin.data.raw_view import developed
from entropy_sde_plugin.errors import InputError, printable
from entropy_sde_plugin.evaluation.kept_pictures import kept_picture
from entropy_sde_plugin.report.runs import Run, ValidationRecord

__all__ = ['CROP', 'Sample', 'crop', 'read_result', 'read_samples', 'thumbnail', 'window_of_detail']

CROP = 112
"""Side of a crop, in the images' pixels."""
THUMBNAIL = 300
"""Width of a reduced image."""


@dataclass(frozen=True)
class Sample:
    """An image of a dataset, as loaded; the truth is there if the dataset has it."""

    before: RGBImage
    truth: RGBImage | None


def read_samples(run: Run, dataset: str, names: Collection[str]) -> dict[str, Sample]:
    """Read input and truth of some images of a run's dataset, from where its options say, which may have moved.

    Raises:
        Exception: The data are not there, or not readable; data sets that are not ours raise errors of every type.
    """
    options = run.record['options']
    sections = options.get('datasets', {}).values()
    sections = [each for each in sections if printable(each.get('name', '')) == dataset]
    if not sections:
        raise InputError(f"run.json has no dataset '{dataset}'.")
    loaded = build_dataset(_rooted(sections[0], options.get('root_path', '.')))
    samples: dict[str, Sample] = {}
    for index in range(len(loaded)):
        if len(samples) == len(names):
            break
        item = loaded[index]
        name = item['key'] if 'key' in item else picture_key(item['lq_path'], sections[0])
        if name in names:
            samples[name] = Sample(_picture(item, 'lq'), _picture(item, 'gt') if 'gt' in item else None)
    return samples


def read_result(run: Run, validation: ValidationRecord, name: str) -> RGBImage | None:
    """The image that a validation kept; None where it kept none (``val.save_img: false``)."""
    folder, iteration, dataset = (
        run.folder / 'visualization',
        validation.entry['iteration'],
        validation.entry['dataset'],
    )
    if iteration is None:
        suffix = run.record['options']['val'].get('suffix') or run.record['name']
        path = kept_picture(folder, dataset, name, suffix, training=False)
    else:
        path = kept_picture(folder, dataset, name, iteration, training=True)
    return images.read(path) if path.exists() else None


def window_of_detail(picture: RGBImage) -> tuple[int, int]:
    """Top and left of the ``CROP`` x ``CROP`` window in which the luma's gradients are strongest."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = cv2.magnitude(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))
    sums = cv2.integral(detail)
    height, width = (min(CROP, side) for side in luma.shape)
    totals = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(np.argmax(totals), totals.shape)
    return int(top), int(left)


def crop(picture: RGBImage, window: tuple[int, int], like: RGBImage) -> str:
    """A window of an image as a ``data:`` address, without loss; the image is brought to the size of ``like`` first,
    since some datasets reduce what they load."""
    top, left = window
    return _data_uri(_sized(picture, like)[top : top + CROP, left : left + CROP], '.png')


def thumbnail(picture: RGBImage) -> str:
    """A reduced image as a ``data:`` address, JPEG."""
    height, width = picture.shape[:2]
    size = (THUMBNAIL, max(1, round(height * THUMBNAIL / width)))
    reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if width > THUMBNAIL else cv2.INTER_CUBIC)
    return _data_uri(np.asarray(reduced, dtype=np.uint8), '.jpg')


def _sized(picture: RGBImage, like: RGBImage) -> RGBImage:
    if picture.shape == like.shape:
        return picture
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _data_uri(picture: RGBImage, suffix: str) -> str:
    data = encode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    kind = {'.png': 'png', '.jpg': 'jpeg'}[suffix]
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def _picture(item: Mapping[str, Any], kind: str) -> RGBImage:
    """An image of a data set; raw planes are developed."""
    tensor: Tensor = item[kind]
    if 'matrix' in item:
        return developed(*(each.numpy() for each in (tensor, item['white_balance'], item['matrix'])))
    return (tensor * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def _rooted(section: Mapping[str, Any], root: str) -> dict[str, Any]:
    """The section with its paths as they were meant in the working directory of the run."""

    def rooted(file: str) -> str:
        return str(Path(root, os.path.expanduser(file)))  # noqa: PTH111  Path's raises where it knows no such user

    return files_replaced(section, rooted)
