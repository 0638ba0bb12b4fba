"""The families of cases by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tests.support.hostile import databases, option_files, pictures, weight_files
from tests.support.hostile.harness import Build

FAMILIES: Mapping[str, Callable[[], Iterator[tuple[str, Build]]]] = {
    'pictures of a data set': pictures.dataset_cases,
    'databases': databases.cases,
    'option files': option_files.cases,
    'weights': weight_files.cases,
    'pictures to enhance': pictures.enhancement_cases,
}
