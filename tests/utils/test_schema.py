"""Option sections: what an option file may say and how faults are told."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.schema import parse


class Inner(msgspec.Struct):
    size: Annotated[int, msgspec.Meta(ge=1)] = 3


class Outer(msgspec.Struct):
    rate: Annotated[float, msgspec.Meta(gt=0)]
    kind: Literal['hellinger', 'relative_entropy'] = 'hellinger'
    steps: int | None = None
    betas: tuple[float, float] = (0.9, 0.99)
    inner: Inner | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < self.rate:
            raise InputError("'steps' must not be below 'rate'.", option='steps')


def test_defaults_and_nested_sections():
    section = parse(Outer, {'rate': 1, 'inner': {'size': 5}}, 'train')
    assert section == Outer(rate=1.0, inner=Inner(5))
    assert isinstance(section.rate, float)


def test_numbers_that_yaml_reads_as_text():
    section = parse(Outer, {'rate': '2e-4', 'steps': '2e5', 'betas': ['9e-1', 0.5]}, 'train')
    assert (section.rate, section.steps, section.betas) == (2e-4, 200_000, (0.9, 0.5))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'rate': 1, 'kindd': 'hellinger'}, ["'train.kindd'", "Did you mean 'kind'?"]),
        ({'rate': 1, 'inner': {'sise': 1}}, ["'train.inner.sise'", "Did you mean 'size'?"]),
        ({}, ["'train.rate'", 'missing']),
        ({'rate': 0}, ["'train.rate'", '> 0', 'but it is 0']),
        ({'rate': True}, ["'train.rate'", 'expected a number', 'True']),
        ({'rate': 'fast'}, ["'train.rate'", 'expected a number', "'fast'"]),
        ({'rate': float('inf')}, ["'train.rate'", 'finite']),
        ({'rate': 1, 'betas': [0.9, float('nan')]}, ["'train.betas'", 'finite']),
        ({'rate': 1, 'kind': 'helinger'}, ["'train.kind'", "'helinger'", "Did you mean 'hellinger'?"]),
        ({'rate': 1, 'steps': 2.5}, ["'train.steps'", 'expected a whole number or none', '2.5']),
        ({'rate': 1, 'inner': {'size': 0}}, ["'train.inner.size'", '>= 1']),
        ({'rate': 1, 'inner': 3}, ["'train.inner'", '3']),
        ({'rate': 3, 'steps': 1}, ["'train'", "'steps' must not be below 'rate'"]),
        ([1], ["'train'", 'section']),
    ],
)
def test_every_fault_is_one_line_with_its_place(options, words):
    with pytest.raises(InputError) as caught:
        parse(Outer, options, 'train')
    message = str(caught.value)
    assert '\n' not in message
    for word in words:
        assert word in message
