"""A part of the benchmark: a function that yields rows, run in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

__all__ = ['PARTS', 'Part', 'Row', 'Settings', 'attempts', 'one_line']


class Settings(msgspec.Struct, frozen=True):
    """What a part is run with.

    Attributes:
        device: ``'cuda'``, the current one, or ``'cpu'``.
        quick: Whether to go through all steps on the smallest inputs, without compiling; times then mean nothing.
    """

    device: str
    quick: bool = False


class Row(msgspec.Struct, frozen=True):
    """What was found in one case.

    Attributes:
        case: Its name.
        values: Columns of the table, their units in the names.
        problem: Why there is no value, or what is wrong with it; empty if all is well.
    """

    case: str
    values: Mapping[str, float | str] = {}
    problem: str = ''


class Part(NamedTuple):
    """A part of the benchmark.

    Attributes:
        name: Its module, which has ``rows(settings) -> Iterator[Row]``; files go to the working directory.
        title: Heading of its table.
        limit: Seconds after which its process is ended, unless the run is quick.
        package: Where its module is.
    """

    name: str
    title: str
    limit: int
    package: str = 'entropy_sde_plugin.benchmark.parts'


PARTS = {
    part.name: part
    for part in (
        Part('machine', 'Device and versions', 30),
        Part('engines', 'Engines of the spatial entropy against PyTorch in float64 on the CPU', 90),
        Part('networks', 'Networks against the CPU', 60),
        Part('samplers', 'Samplers against the CPU', 60),
        Part('metrics', 'Metrics against the CPU', 60),
        Part('systems', 'A training step of every system against the CPU', 60),
        Part('loss', "The loss: forward and backward pass at the paper's batch", 120),
        Part('step', "The paper's training step", 180),
        Part('enhance', 'Enhancing with the packaged model', 90),
        Part('trainings', 'Trainings against one that ran through', 120),
        Part('precisions', 'Small trainings under each precision', 150),
    )
}


def attempts(cases: Iterable[str], measure: Callable[[str], Row]) -> Iterator[Row]:
    """Measure case by case. An error becomes the row of its case; the other cases are measured all the same.

    Example:
        >>> [row.problem for row in attempts(['1', 'x'], lambda case: Row(case, {'value': float(case)}))]
        ['', "ValueError: could not convert string to float: 'x'"]
    """
    for case in cases:
        try:
            row = measure(case)
        except Exception as error:  # whatever a device, its driver or a compiler has to say
            row = Row(case, problem=one_line(error))
        yield row


def one_line(error: BaseException) -> str:
    """Describe an error in one line, shortened."""
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:300]}'
