"""What is unusual about a path."""

import os

import pytest

from entropy_sde_plugin.utils.paths import opens_as_utf8


@pytest.mark.parametrize(
    ('encoding', 'name', 'expected'),
    [
        ('utf-8', '夜.png', True),
        ('utf-8', 'caf\udce9.png', False),
        ('gbk', 'night.png', True),
        ('gbk', '夜.png', False),  # a library would look for the bytes of UTF-8, and not find the file
        ('gbk', '🌃.png', False),  # no file can have this name
    ],
)
def test_names_that_libraries_open(monkeypatch, encoding, name, expected):
    monkeypatch.setattr(os, 'fsencode', lambda path: str(path).encode(encoding, 'surrogateescape'))
    assert opens_as_utf8(name) is expected
