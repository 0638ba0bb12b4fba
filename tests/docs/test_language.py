"""Plain English: phrases of the project's early days do not come back."""

from __future__ import annotations

import re

import pytest

from tests.support.commands import ROOT

PHRASES = (
    r'\bwhat is no\b',
    r'\banybod',
    r'\bone ruler\b',
    r'\bwhat becomes? of\b',
    r'\b(is|are|was|were|be) told\b(?! (from|apart)\b)',
    r'\btold on the way\b',
    r'\bgoes on\b',
    r'\bgone on\b',
    r'\bdress(es|ed)\b',
    r'\bcomes? to between\b',
    r'\bno truth\b',
    r'\bbehind (it|the|a|an|them)\b(?! (form|web|login))',
    r'\bstands? (for|in|beside|below|under|there)\b',
    r'\bstood\b',
    r'\bmend(s|ed|ing)?\b',
    r'\bby the hand\b',
    r'\blend(s|ing)?\b',
    r'\bhush',
    r'\bderivatives? by\b',
    r'\bis none of (?!the)',
    r'\b[a-z_]+: (?-i:Of) (the|each|a|one)\b',
    r'\btakes? itself down\b',
)
"""What plain English says otherwise: 'covers everything except training', 'resumes', 'after', 'is', 'fix' …"""

CLEAN = (
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'docs',
    'entropy_sde_plugin',
    'examples',
    'options',
    'scripts',
)
"""Files and folders that are held to it."""


def texts():
    for name in CLEAN:
        place = ROOT / name
        for path in [place] if place.is_file() else sorted(place.rglob('*')):
            if path.suffix in ('.md', '.py', '.ipynb', '.yml'):
                yield path


@pytest.mark.parametrize('path', texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_phrase_has_to_be_read_twice(path):
    text = ' '.join(path.read_text(encoding='utf-8').split())
    found = [match.group() for phrase in PHRASES for match in re.finditer(phrase, text, re.IGNORECASE)]
    assert not found


def test_the_phrases_are_found_where_they_are():
    old = 'What is no training; a picture is told on the way; it goes on and mends what stands in the name behind it.'
    assert sum(bool(re.search(phrase, old, re.IGNORECASE)) for phrase in PHRASES) >= 6
