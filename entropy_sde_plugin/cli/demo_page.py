"""``entropy-sde demo-page``."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from entropy_sde_plugin.cli.arguments import add_device, add_model, add_verbosity
from entropy_sde_plugin.errors import InputError, printable
from entropy_sde_plugin.utils.extras import needs_extra
from entropy_sde_plugin.utils.paths import is_utf8


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    page = verbs.add_parser(
        'demo-page',
        help="brighten images on a page in the browser (needs the extra 'page')",
        description='Serves a page: drop an image, choose the steps, see before and after with a slider, download. '
        'It sends nothing to other machines, and deletes the images when it ends (Ctrl-C).',
    )
    add_model(page)
    add_device(page)
    page.add_argument(
        '--host', default='127.0.0.1', help='address to listen on; 0.0.0.0 serves the whole network [%(default)s]'
    )
    page.add_argument('--port', type=int, default=7860, help='port to listen on [%(default)s]')
    add_verbosity(page)
    page.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    if not is_utf8(tempfile.gettempdir()):
        raise InputError(
            f"'{printable(tempfile.gettempdir())}' cannot hold the page's files, since its name is not UTF-8: choose "
            'another folder (TMPDIR).'
        )
    with tempfile.TemporaryDirectory(prefix='entropy-sde-') as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder  # read when gradio is imported: for uploads and results
        _serve(options, Path(folder))


def _serve(options: argparse.Namespace, folder: Path) -> None:
    from entropy_sde_plugin.checkpoints.model import load_model
    from entropy_sde_plugin.inference.enhancer import Enhancer
    from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions
    from entropy_sde_plugin.inference.pictures.picture import Samples

    model = load_model(options.model)
    default = Enhancer(model, EnhancerOptions(device=options.device))
    with needs_extra('page'):  # now that the arguments are known to be right, since this takes seconds
        from entropy_sde_plugin.demo.page import Settings, build_page, start

    def enhance(image: Samples, settings: Settings) -> Samples:
        return Enhancer(model, EnhancerOptions(device=options.device, **asdict(settings))).enhance(image)

    page = build_page(
        enhance,
        steps=len(default.times) - 1,  # the last time is that of the clean image
        most_steps=len(model.process.times),
        about=_about(options.model),
        folder=folder,
        examples=_dark_photographs(folder),
    )
    print(f'{start(page, host=options.host, port=options.port)}  (Ctrl-C ends it)', flush=True)
    page.block_thread()


def _about(model: Path) -> str:
    return f'Model: `{printable(model.name)}`. Images stay on the machine that serves this page, until it ends.'


def _dark_photographs(folder: Path) -> list[Path]:
    """Return held-out photographs, darkened as by a short exposure."""
    import numpy as np

    from entropy_sde_plugin.data.images import encode_png
    from entropy_sde_plugin.data.synthesis import darken
    from entropy_sde_plugin.demo.photographs import HELD_OUT, photograph

    paths = []
    for name in HELD_OUT[:4]:
        paths.append(folder / f'{name}.png')
        paths[-1].write_bytes(encode_png(darken(photograph(name), exposure=0.07, rng=np.random.default_rng(0))))
    return paths
