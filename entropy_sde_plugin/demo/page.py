"""A page in the browser: a dark image in, before and after with a slider, the bright one to download.

Needs the extra ``page``. It contacts no other machine: no analytics, no share link, fonts from the package.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np
import torch
from gradio import themes
from starlette.middleware import Middleware

from entropy_sde_plugin.data.images import encode_png
from entropy_sde_plugin.demo.page_guard import Guard
from entropy_sde_plugin.diffusion.brightness import HIGHEST, LOWEST
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.pictures.picture import Samples, read_picture, write_picture
from entropy_sde_plugin.utils.luma import mean_luma

__all__ = ['Enhance', 'Settings', 'build_page', 'start']


@dataclass(frozen=True)
class Settings:
    """What is chosen on the page; see :class:`~entropy_sde_plugin.inference.enhancer_options.EnhancerOptions`."""

    steps: int
    brightness: Literal['auto'] | float
    strength: float


Enhance = Callable[[Samples, Settings], Samples]
"""(RGB array (H, W, 3), uint8 or uint16; settings) -> array of the same shape and type."""

TITLE = """# Entropy-SDE
Dark photographs become bright. Drop one in, press the button, drag the slider."""

# Always dark: images are compared on a dark background.
DARK = "() => document.body.classList.add('dark')"
STYLE = """
.gradio-container { width: 100%; max-width: 1180px !important; margin: 0 auto !important; }
#title h1 { font-size: 1.9rem; font-weight: 600; letter-spacing: -0.02em; margin-bottom: 0; }
#title p, #about p, #figures p { color: var(--body-text-color-subdued); }
#figures, #about { text-align: center; }
#about p { font-size: 0.85rem; }
"""


class Page(gr.Blocks):
    """Blocks that read and serve only files that were uploaded to them or created by them."""

    def own_file(self, name: object) -> Path | None:
        """Return the file of that name, without links, if it is the page's own and still there.

        gradio's own check accepts every file in its upload folder, and skips images without ``meta``. This one accepts
        only the files that gradio has recorded: uploads, examples and results.
        """
        if not isinstance(name, str) or not any(name in names for names in self.temp_file_sets):
            return None
        path = Path(name).resolve()
        return path if path.is_file() and path.is_relative_to(Path(self.GRADIO_CACHE).resolve()) else None

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """Check a request's inputs before gradio opens, copies or fetches what they name."""
        return await super().preprocess_data(block_fn, [self._checked(x) for x in inputs], state, explicit_call)

    def _checked(self, value: Any) -> Any:
        """Return a number, a string or None unchanged; of anything else only the page's own file that it names.

        There is one message for all causes, so that it does not reveal which files exist.
        """
        if value is None or isinstance(value, (int, float, str)):
            return value
        path = self.own_file(value.get('path')) if isinstance(value, dict) else None
        if path is None:
            raise gr.Error('The page does not have this image (any more): drop it in again.', print_exception=False)
        return {'path': str(path), 'orig_name': path.name, 'meta': {'_type': 'gradio.FileData'}}


def build_page(
    enhance: Enhance, *, steps: int, most_steps: int, about: str, folder: Path, examples: Sequence[Path] = ()
) -> Page:
    """Lay the page out around a function.

    Args:
        enhance: Enhances an image.
        steps: Initial number of steps.
        most_steps: Maximum number of steps.
        about: Footer of the page, Markdown.
        folder: Where the images for the download are written; a temporary folder, kept while the page is open.
        examples: Dark images to offer.

    Returns:
        The page, for :func:`start`.
    """

    def run(
        upload: dict[str, Any] | None, steps: Any, auto: Any, brightness: Any, strength: Any
    ) -> tuple[tuple[str, str], gr.DownloadButton, str, float]:
        if upload is None:
            raise gr.Error('Drop an image in first.', print_exception=False)
        if steps not in range(1, most_steps + 1):
            raise gr.Error(f'Steps: choose a whole number from 1 to {most_steps}.', print_exception=False)
        brightness = _number('Brightness', brightness, LOWEST, HIGHEST)
        strength = _number('Strength', strength, 0, 1)
        path = Path(upload['path'])
        begin = time.monotonic()
        try:
            picture = read_picture(path)
            after = enhance(picture.rgb, Settings(int(steps), 'auto' if auto else brightness, strength))
            results = Path(tempfile.mkdtemp(dir=folder))
            output = results / f'{path.stem}_bright.png'
            write_picture(replace(picture, rgb=after), output)
        except InputError as error:
            raise gr.Error(str(error).removeprefix(f'{path}: '), print_exception=False) from None
        height, width = after.shape[:2]
        luma = _mean_luma(after)
        seconds = time.monotonic() - begin
        figures = f'{width} × {height} pixels, {steps} steps, brightness {luma:.2f}, {seconds:.1f} s'
        shown = _shown(picture.rgb, results / 'before.png'), _shown(after, results / 'after.png')
        return (
            shown,
            gr.DownloadButton(value=str(output), interactive=True),
            figures,
            _on_slider(luma) if auto else brightness,
        )

    with Page(title='Entropy-SDE', analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.Markdown(TITLE, elem_id='title')
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=300):
                picture = gr.Image(
                    label='Dark image',
                    sources=['upload', 'clipboard'],
                    height=240,
                    elem_id='picture',
                )
                chosen = gr.Slider(
                    1, most_steps, steps, step=1, label='Steps', info='Network calls for the image.', elem_id='steps'
                )
                auto = gr.Checkbox(True, label='Automatic brightness', elem_id='auto')
                brightness = gr.Slider(
                    LOWEST,
                    HIGHEST,
                    0.4,
                    step=0.01,
                    label='Brightness',
                    info='Mean of the result.',
                    elem_id='brightness',
                )
                strength = gr.Slider(
                    0, 1, 1, step=0.05, label='Strength', info='1: the result, 0: the dark image.', elem_id='strength'
                )
                button = gr.Button('Brighten', variant='primary', size='lg', elem_id='brighten')
                if examples:
                    gr.Examples([str(path) for path in examples], picture, label='Or one of these')
            with gr.Column(scale=2, min_width=420):
                slider = gr.ImageSlider(
                    label='Before | After',
                    interactive=False,
                    height=480,
                    max_height=480,
                    buttons=['fullscreen'],
                    elem_id='slider',
                )
                figures = gr.Markdown(elem_id='figures')
                download = gr.DownloadButton('Download the bright image', interactive=False, elem_id='download')
        gr.Markdown(about, elem_id='about')
        picture.change(lambda: (None, _nothing(), ''), outputs=[slider, download, figures])
        # Not preprocessed: the file is read as it is, with its 16 bits, orientation and colour profile. gr.Image would
        # open it first, and a fault in it would be a bare "Error".
        button.click(
            run,
            [picture, chosen, auto, brightness, strength],
            [slider, download, figures, brightness],
            show_progress_on=[slider],
            preprocess=False,
        )
        brightness.input(lambda: False, outputs=[auto])  # who moves the slider means it
    return page


def start(page: Page, *, host: str, port: int) -> str:
    """Serve a page from a thread of its own.

    Args:
        page: What :func:`build_page` made.
        host: Address to listen at; ``'127.0.0.1'`` is this machine alone. The page answers to this name only, see
            :func:`~entropy_sde_plugin.demo.page_guard.answers_to`.
        port: Port to listen at.

    Returns:
        The page's address.

    Raises:
        InputError: The port is not available.
    """
    theme = themes.Default(
        primary_hue='amber',
        neutral_hue='stone',
        font=[themes.LocalFont('IBM Plex Sans', (400, 700)), 'system-ui', 'sans-serif'],
    )
    # gradio checks that the page is up; without this it would go through a proxy.
    for name in ('no_proxy', 'NO_PROXY'):
        os.environ[name] = ','.join(filter(None, (os.environ.get(name), host, 'localhost')))
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            theme=theme,
            css=STYLE,
            js=DARK,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            num_workers=0,  # processes that would serve the files without the guard
            app_kwargs={
                'middleware': [Middleware(Guard, host=host, owns=lambda name: page.own_file(name) is not None)]
            },
        )
    except (OSError, OverflowError):
        raise InputError(f'Port {port} of {host} is not available: choose others with --host and --port.') from None
    return address


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise gr.Error(f'{name}: choose a number from {low:g} to {high:g}.', print_exception=False)
    return float(value)


def _mean_luma(samples: Samples) -> float:
    image = torch.from_numpy(samples.astype(np.float32) / np.iinfo(samples.dtype).max)
    return mean_luma(image.permute(2, 0, 1)[None]).item()


def _on_slider(luma: float) -> float:
    return round(min(max(luma, LOWEST), HIGHEST), 2)


def _nothing() -> gr.DownloadButton:
    return gr.DownloadButton(value=None, interactive=False)


def _shown(samples: Samples, path: Path) -> str:
    """Write what a browser can show, without loss: JPEG would change the noise that is to be compared."""
    path.write_bytes(encode_png((samples >> (8 if samples.dtype == np.uint16 else 0)).astype(np.uint8)))
    return str(path)
