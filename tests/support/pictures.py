"""Image files for tests, written apart from the code under test."""

from pathlib import Path

import cv2
import numpy as np

from entropy_sde_plugin.data.lmdb import LmdbReader


def write_png(path: Path, image: np.ndarray) -> Path:
    """Write an RGB image, shape (H, W, 3), uint8, by OpenCV; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))
    return path


def image_bytes(reader: LmdbReader, name: str) -> bytes:
    """Read an image in whatever process this runs; here, so that a spawned one imports little."""
    return reader.image(name).tobytes()
