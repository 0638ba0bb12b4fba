"""The list of real dark images, and what is measured of them."""

from __future__ import annotations

import csv

import numpy as np

from tests.support.scripts import SCRIPTS, script

program = script('enhance_real_dark_images')


def rows(name):
    with (SCRIPTS / 'tools' / name).open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def test_each_image_has_a_source_an_author_and_a_licence_and_was_not_trained_on():
    dark = rows('real_dark_images.csv')
    assert len({row['name'] for row in dark}) == len(dark) >= 6
    assert all(all(row.values()) for row in dark)
    trained_on = {(row['package'], row['path']) for row in rows('photographs.csv')}
    assert not trained_on & {(row['package'], row['path']) for row in dark}


def test_the_table_shows_means_and_clipped_shares():
    before = np.full((10, 10, 3), 20, np.uint8)
    after = np.full((10, 10, 3), 90, np.uint8)
    after[0, :5, 2] = 255
    mean = 90 + 0.05 * 0.114 * (255 - 90)
    assert program.table({'lamp': (before, after)}).splitlines()[-1] == f'| lamp | 20 | {mean:.0f} | 0.0 | 5.0 |'


def test_the_sheet_shows_before_beside_after():
    pairs = [
        (np.full((20, 30, 3), 40 * n, np.uint8), np.full((20, 30, 3), 40 * n + 20, np.uint8)) for n in (1, 2, 3, 4)
    ]
    sheet = np.asarray(program.sheet(pairs))
    width, height = program.CELL
    middles = sheet[26 + height // 2 :: height + 6, 6 + width // 2 :: width + 6, 0]
    assert middles.tolist() == [[40, 60, 80, 100], [120, 140, 160, 180]]
