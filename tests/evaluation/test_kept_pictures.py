"""Files of restored images: one for each, with a name that a file system takes."""

import os
from pathlib import Path

import pytest

from entropy_sde_plugin.errors import printable
from entropy_sde_plugin.evaluation.kept_pictures import kept_picture
from entropy_sde_plugin.utils.atomic_file import write_file

LONG = printable(os.fsdecode('夜景照片'.encode('gbk') * 30))  # 240 bytes, three characters for each
KEYS = (LONG, LONG[:-1], f'{LONG}/{LONG}', '夜' * 85, 'short', '/slash')


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('label', [200000, 'l' * 200])
def test_each_key_has_a_file_that_can_be_written(tmp_path, training, label):
    paths = [kept_picture(tmp_path, 'set', key, label, training=training) for key in KEYS]
    assert len(set(paths)) == len(KEYS)
    for path in paths:
        assert path.is_relative_to(tmp_path / 'set')
        write_file(path, b'')
        assert path.name.endswith(f'_{label}.png')
    assert kept_picture(Path(), 'set', 'a/b', label, training=training).parent.name == ('b' if training else 'a')
