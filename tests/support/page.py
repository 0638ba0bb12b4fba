"""The page, served for a test."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from tests.support.pictures import write_png

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def enhance(image, settings):
    """Brighter, and different for all settings; in place of a model."""
    top = np.iinfo(image.dtype).max
    brighter = (image / top) ** (1 / (1 + settings.steps))
    if settings.brightness != 'auto':
        brighter = np.full_like(brighter, settings.brightness)
    return np.rint(top * settings.strength * brighter).astype(image.dtype)


def enhanced(image, steps, brightness='auto', strength=1.0):
    """What the page should give for these settings."""
    from entropy_sde_plugin.demo.page import Settings

    return enhance(image, Settings(steps, brightness, strength))


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@contextmanager
def served_page(folder: Path, host: str = '127.0.0.1') -> Iterator[str]:
    """Serve the page with one example, its files in a folder; give its address."""
    pytest.importorskip('gradio', reason="the extra is missing: pip install 'entropy-sde-plugin[page]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('GRADIO_TEMP_DIR', str(folder))
        for name in ('no_proxy', 'NO_PROXY'):  # which start() extends
            patch.setenv(name, os.environ.get(name, ''))
        from entropy_sde_plugin.demo.page import build_page, start

        example = write_png(folder / 'life.png', darken(photograph('life'), exposure=0.1, rng=np.random.default_rng(0)))
        page = build_page(enhance, steps=2, most_steps=100, about='A test.', folder=folder, examples=[example])
        try:
            yield start(page, host=host, port=free_port())
        finally:
            page.close()
