"""Enhance real dark photographs that Debian's packages carry: a table of their brightness and a sheet of the results.

    python scripts/tools/enhance_real_dark_images.py real_dark

needs apt and dpkg, as prepare_photographs.py does. The photographs are named in real_dark_images.csv beside this file,
with the package, the author and the licence of each. ``entropy-sde enhance`` brightens them with its defaults, from
``real_dark/before`` to ``real_dark/after``; the sheet is ``real_dark/sheet.jpg``. Given again, the command continues.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from prepare_photographs import unpack

from entropy_sde_plugin.data import images
from entropy_sde_plugin.demo.contact_sheet import contact_sheet
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.luma import mean_luma

Pair = tuple[images.RGBImage, images.RGBImage]
LIST = Path(__file__).with_name('real_dark_images.csv')
CELL = 300, 200
PAIRS_IN_A_ROW = 2


def main() -> None:
    """Unpack, enhance, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='where the images and the sheet go')
    folder = parser.parse_args().folder
    before, after = folder / 'before', folder / 'after'
    with LIST.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    try:
        collect(rows, before)
    except InputError as error:
        sys.exit(f'error: {error}')
    enhance = [sys.executable, '-m', 'entropy_sde_plugin.cli', 'enhance', '-i', before, '-o', after]
    if code := subprocess.run(enhance).returncode:
        sys.exit(code)
    pairs = {row['name']: (images.read(before / file_name(row)), images.read(after / file_name(row))) for row in rows}
    print(table(pairs))
    sheet(list(pairs.values())).save(folder / 'sheet.jpg', quality=85, optimize=True)


def file_name(row: dict[str, str]) -> str:
    """Name of a photograph's file in both folders."""
    return row['name'] + Path(row['path']).suffix


def collect(rows: list[dict[str, str]], folder: Path) -> None:
    """Copy the photographs that are missing out of their packages.

    Raises:
        InputError: A package could not be downloaded or unpacked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [row for row in rows if not (folder / file_name(row)).exists()]
    with tempfile.TemporaryDirectory() as work:
        for package in dict.fromkeys(row['package'] for row in missing):
            root = unpack(package, Path(work))
            for row in missing:
                if row['package'] == package:
                    shutil.copy(root / row['path'], folder / file_name(row))


def table(pairs: dict[str, Pair]) -> str:
    """Mean luma in 8 bits, and the share of pixels with a channel at 255, before and after."""
    lines = ['| image | mean before | after | clipped before, % | after |', '|---|---|---|---|---|']
    for name, pair in pairs.items():
        means, clipped = ([measure(image) for image in pair] for measure in (_mean, _clipped))
        lines.append('| ' + ' | '.join([name, *(f'{v:.0f}' for v in means), *(f'{v:.1f}' for v in clipped)]) + ' |')
    return '\n'.join(lines)


def _mean(image: images.RGBImage) -> float:
    return mean_luma(torch.from_numpy(image).permute(2, 0, 1)[None].float()).item()


def _clipped(image: images.RGBImage) -> float:
    return 100 * float((image == 255).any(-1).mean())


def sheet(pairs: list[Pair]) -> Image.Image:
    """All pairs, before beside after."""
    rows = [
        [image for pair in pairs[start : start + PAIRS_IN_A_ROW] for image in pair]
        for start in range(0, len(pairs), PAIRS_IN_A_ROW)
    ]
    return contact_sheet(rows, ('before', 'after') * PAIRS_IN_A_ROW, CELL)


if __name__ == '__main__':
    main()
