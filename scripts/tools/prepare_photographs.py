"""Write the training and validation databases of the packaged model: photographs that Debian's packages carry.

    python scripts/tools/prepare_photographs.py datasets/photographs

needs apt and dpkg, but no root and no installation: the packages are downloaded, opened and thrown away. The
photographs are named in photographs.csv beside this file, with the package that carries each; those of this package
come first, and its six held-out ones, darkened as the demonstration darkens them, are the validation. A photograph is
reduced to a short side of 640 pixels.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from entropy_sde_plugin.data import images
from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.errors import InputError

LIST = Path(__file__).with_name('photographs.csv')
SHORT_SIDE = 640


def main() -> None:
    """Download, reduce, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='where the three databases go; replaced if it holds nothing else')
    folder = parser.parse_args().folder
    with LIST.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    try:
        with tempfile.TemporaryDirectory() as work:
            packages = {name: unpack(name, Path(work)) for name in dict.fromkeys(row['package'] for row in rows)}
            write_demo_databases(folder, more=photographs(rows, packages))
    except InputError as error:
        sys.exit(f'error: {error}')
    print(f'{folder}: {len(rows)} photographs of {len(packages)} packages beside our own.')


def unpack(package: str, work: Path) -> Path:
    """Download a Debian package and unpack it below ``work``.

    Raises:
        InputError: apt or dpkg are missing or fail.
    """
    target = work / package
    target.mkdir()
    try:
        subprocess.run(['apt-get', 'download', '--quiet', package], cwd=target, check=True)
        subprocess.run(['dpkg-deb', '-x', next(target.glob('*.deb')), target], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f'{error}; this needs apt-get and dpkg-deb, and a list of packages (apt-get update)'
        raise InputError(f"The package '{package}' could not be downloaded or unpacked: {reason}.") from None
    return target


def photographs(rows: list[dict[str, str]], packages: dict[str, Path]) -> Iterator[tuple[str, images.RGBImage]]:
    """Key and reduced image of every row."""
    for row in rows:
        yield row['name'], reduced(images.read(packages[row['package']] / row['path']))


def reduced(picture: images.RGBImage) -> images.RGBImage:
    """The image with a short side of at most ``SHORT_SIDE`` pixels."""
    height, width = picture.shape[:2]
    factor = SHORT_SIDE / min(height, width)
    if factor >= 1:
        return picture
    size = round(width * factor), round(height * factor)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


if __name__ == '__main__':
    main()
