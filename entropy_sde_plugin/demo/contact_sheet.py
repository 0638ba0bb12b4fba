"""A sheet of images side by side, with headings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

__all__ = ['contact_sheet']

_MARGIN = 6
_HEADING = 26


def contact_sheet(
    rows: Sequence[Sequence[NDArray[np.uint8]]], headings: Sequence[str], cell: tuple[int, int] = (288, 216)
) -> Image.Image:
    """Lay images out in rows under column headings; each is cut to the cell's shape around its centre.

    Args:
        rows: RGB images (H, W, 3), uint8, as many in each row as there are headings.
        headings: A text for each column.
        cell: Width and height of an image on the sheet, in pixels.

    Returns:
        The sheet, RGB.
    """
    width, height = cell
    size = (_MARGIN + len(headings) * (width + _MARGIN), _HEADING + len(rows) * (height + _MARGIN))
    sheet = Image.new('RGB', size, 'white')
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for column, heading in enumerate(headings):
        left = _MARGIN + column * (width + _MARGIN)
        draw.text((left + width // 2, _HEADING // 2), heading, fill='black', font=font, anchor='mm')
        for row, pictures in enumerate(rows):
            picture = ImageOps.fit(Image.fromarray(pictures[column]), cell, Image.Resampling.LANCZOS)
            sheet.paste(picture, (left, _HEADING + row * (height + _MARGIN)))
    return sheet
