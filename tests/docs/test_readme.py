"""The README stays short, and CI finds its test command there."""

from __future__ import annotations

from tests.support.commands import ROOT

README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_it_stays_short():
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1800


def test_the_test_command_has_a_line_of_its_own():
    assert len([line for line in README.splitlines() if line.endswith('-m pytest')]) == 1
