"""Pixels of an image file with all their bits; files that could not be written back are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile

from entropy_sde_plugin.data.image_files import MODES_OF_8_BITS, frame_count, orientation, sample_bits, turn
from entropy_sde_plugin.data.images import quiet_opencv
from entropy_sde_plugin.errors import InputError

__all__ = ['Decoded', 'Samples', 'decode', 'split']

Samples = NDArray[np.uint8 | np.uint16]

_PNG_COLOUR_TYPE = 25
"""Where a PNG file says whether it is gray (0), or gray with alpha (4)."""

_WITH_ALPHA = {'L': 'LA', 'RGB': 'RGBA'}


class Decoded(NamedTuple):
    """A decoded file.

    Attributes:
        samples: Array of shape (H, W, C), upright; C is 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha).
        is_gray: Whether the file has one channel, beside transparency.
        notes: What of the file the samples lack, a phrase each.
    """

    samples: Samples
    is_gray: bool
    notes: tuple[str, ...]


def decode(file: ImageFile, data: bytes) -> Decoded:
    """Decode an opened file.

    Args:
        file: The file, not loaded; it is afterwards.
        data: Its bytes.

    Raises:
        InputError: It holds something that could not be written back.
        Exception: It is damaged; the errors of decoders have no common type.
    """
    is_gray, bits = _check(file, data)
    notes = _what_is_not_read(file, bits)
    decoder, to_turn = _decoder(file, bits), _orientation_of_samples(file, bits)
    file.load()  # of 16-bit files too: Pillow finds damage in them that other decoders do not
    return Decoded(turn(decoder(file, data), to_turn), is_gray, notes)


def _check(file: Any, data: bytes) -> tuple[bool, int]:
    """Refuse what cannot be written back; return whether a file is gray, and its bits a channel: 8 or more."""
    if (frames := frame_count(file)) > 1:
        raise InputError(f'{frames} pages or frames; save the one to enhance as an image first.')
    bits = max(8, sample_bits(file))
    if file.format == 'PNG':
        return data[_PNG_COLOUR_TYPE] in (0, 4), bits
    if file.format == 'TIFF' and bits == 16:
        _check_deep_tiff(file.tag_v2)
    if file.mode not in MODES_OF_8_BITS and not (bits == 16 and file.mode.startswith('I;16')):
        raise InputError(f'{file.mode} samples; convert it to RGB of 8 or 16 bits first.')
    return file.mode in ('1', 'L', 'LA') or file.mode.startswith('I;16'), bits


def _check_deep_tiff(tags: Any) -> None:
    is_plain = tags.get(Base.PlanarConfiguration, 1) == 1 and tags.get(Base.PhotometricInterpretation) in (1, 2)
    if not is_plain:
        raise InputError('16 bits in separate planes, or inverted; save it as interleaved RGB or gray first.')


def _what_is_not_read(file: Any, bits: int) -> tuple[str, ...]:
    notes = []
    if (count := getattr(file, 'n_frames', 1)) > 1:
        notes.append(f'the main one of its {count} images is taken (the others: preview, gain map or second eye)')
    if file.format == 'AVIF' and bits > 8:
        notes.append(f'its {bits} bits a channel are read as 8')
    return tuple(notes)


Decoder = Callable[[ImageFile, bytes], Samples]
"""(loaded file, its bytes) -> (H, W, C), C being 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha)."""


def _decoder(file: ImageFile, bits: int) -> Decoder:
    if bits == 8 or file.format == 'AVIF':
        return _decode_8_bits
    return _decode_deep_heif if file.format == 'HEIF' else _decode_16_bits


def _orientation_of_samples(file: Any, bits: int) -> int:
    """Return how decoded samples lie: Pillow turns TIFF files itself, and OpenCV those that have a tag."""
    is_upright = file.format == 'TIFF' and (bits == 8 or Base.Orientation in file.tag_v2)
    return 1 if is_upright else orientation(file)


def _decode_8_bits(file: ImageFile, data: bytes) -> NDArray[np.uint8]:
    mode = MODES_OF_8_BITS[file.mode]
    if file.has_transparency_data:
        mode = _WITH_ALPHA.get(mode, mode)
    return np.atleast_3d(np.asarray(file.convert(mode), dtype=np.uint8))


def _decode_16_bits(file: ImageFile, data: bytes) -> NDArray[np.uint16]:
    """Decode by OpenCV, since Pillow keeps 8 bits of a colour. It makes RGB of gray with alpha, and keeps gray with a
    transparent colour as it is.
    """
    with quiet_opencv():
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise ValueError('OpenCV cannot decode its 16 bits')
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}
    samples = np.atleast_3d(np.asarray(samples, np.uint16))
    samples = samples[..., order[samples.shape[2]]]
    if samples.shape[2] == 1 and (transparent := file.info.get('transparency')) is not None:
        samples = np.dstack((samples, np.where(samples == transparent, 0, 65535).astype(np.uint16)))
    return samples


def _decode_deep_heif(file: ImageFile, data: bytes) -> NDArray[np.uint16]:
    """Decode 10 or 12 bits, spread over the range of 16."""
    import pi_heif  # which has opened the file already

    decoded = pi_heif.open_heif(data, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    samples = np.array(decoded)  # a copy, while the object that owns the pixels lives
    top = 2 ** file.info['bit_depth'] - 1
    return np.atleast_3d((samples.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)


def split(samples: Samples) -> tuple[Samples, Samples | None]:
    """Part (H, W, C) into RGB and alpha."""
    channels = samples.shape[2]
    rgb = samples[..., :3] if channels >= 3 else np.repeat(samples[..., :1], 3, axis=2)
    alpha = samples[..., -1] if channels in (2, 4) else None
    return np.ascontiguousarray(rgb), None if alpha is None else np.ascontiguousarray(alpha)
