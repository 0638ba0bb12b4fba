"""What validations have recorded."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path


def metrics_table(folder: Path, without: Collection[str] = ()) -> list[dict[str, str]]:
    """Return the rows of a folder's ``metrics.csv``, without some of the columns."""
    with (folder / 'metrics.csv').open(newline='') as file:
        return [{key: cell for key, cell in row.items() if key not in without} for row in csv.DictReader(file)]
