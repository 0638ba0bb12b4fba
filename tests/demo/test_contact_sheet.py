"""The contact sheet puts each image where it belongs."""

import numpy as np

from entropy_sde_plugin.demo.contact_sheet import contact_sheet


def test_pictures_stand_in_their_rows_and_columns():
    colours = [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (9, 9, 9)], [(200, 100, 0), (0, 100, 200)]]
    rows = [[np.full((40, 90, 3), colour, np.uint8) for colour in row] for row in colours]
    sheet = np.asarray(contact_sheet(rows, ('before', 'after'), cell=(32, 24)))
    found = [
        [tuple(int(v) for v in sheet[26 + row * 30 + 12, 6 + column * 38 + 16]) for column in range(2)]
        for row in range(3)
    ]
    assert found == colours
    assert sheet.shape == (26 + 3 * 30, 6 + 2 * 38, 3)
    assert (sheet[:26] < 128).any()  # the headings
