"""What is unusual about a path."""

import os
import socket
from pathlib import Path

import pytest

from entropy_sde_plugin.utils.paths import not_a_file, opens_as_utf8, read_text, regular


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


def test_a_file_and_a_link_to_it_are_regular(tmp_path):
    (tmp_path / 'file').write_text('text')
    (tmp_path / 'link').symlink_to('file')
    assert [regular(tmp_path / name).read_text() for name in ('file', 'link')] == ['text', 'text']
    assert not_a_file(tmp_path / 'link') is None


def test_what_is_no_file_is_said_and_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    Path('folder').mkdir()
    os.mkfifo('pipe')
    Path('dangling').symlink_to('nowhere')
    Path('loop').symlink_to('loop')
    Path('file').touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind('socket')
        names = ('folder', 'pipe', 'socket', '/dev/null', 'dangling', 'loop', 'nowhere', 'file/below', 'a\0b')
        said = {name: not_a_file(Path(name)) for name in names}
    assert said == {
        'folder': 'it is a folder, not a file',
        'pipe': 'it is a pipe, not a file',
        'socket': 'it is a socket, not a file',
        '/dev/null': 'it is a device, not a file',
        'dangling': 'it is a link to a missing file',
        'loop': 'it is a link to itself',
        'nowhere': 'there is no such file or folder',
        'file/below': 'it cannot be accessed (Not a directory)',
        'a\0b': 'its name has a zero byte',
    }
    with pytest.raises(FileNotFoundError):
        regular(Path('nowhere'))


def test_text_is_read_or_the_reason_is_said(tmp_path):
    files = {'text': '夜\r\n'.encode(), 'latin': b'caf\xe9'}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert read_text(tmp_path / 'text') == '夜\n'
    (tmp_path / 'text').write_text('夜\n', encoding='utf-8-sig')  # as Excel and Notepad save it
    assert read_text(tmp_path / 'text') == '夜\n'
    for name, reason in {'latin': 'it is not UTF-8 text', 'nowhere': 'there is no such file or folder'}.items():
        with pytest.raises(OSError, check=lambda error, reason=reason: error.strerror == reason):
            read_text(tmp_path / name)
