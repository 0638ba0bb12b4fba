"""Image files for tests, written apart from the code under test."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from entropy_sde_plugin.data.lmdb import LmdbReader


def write_png(path: Path, image: np.ndarray) -> Path:
    """Write an RGB image, shape (H, W, 3), uint8, by OpenCV; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))
    return path


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file, with its length and checksum."""
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def write_png_chunks(path: Path, chunks: Mapping[bytes, bytes]) -> None:
    """Write a PNG file of these chunks, in their order."""
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(png_chunk(*chunk) for chunk in chunks.items()))


def png_header_alone(width: int, height: int) -> bytes:
    """A small PNG file that claims to have any number of pixels, and has none."""
    header = png_chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + png_chunk(b'IDAT', zlib.compress(bytes(1000))) + png_chunk(b'IEND', b'')


def image_bytes(reader: LmdbReader, name: str) -> bytes:
    """Read an image in whatever process this runs; here, so that a spawned one imports little."""
    return reader.image(name).tobytes()
