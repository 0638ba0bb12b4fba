"""Option files and logs under a locale that is not UTF-8."""

from __future__ import annotations

import io

import pytest
import yaml

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.names import check_folder_name
from entropy_sde_plugin.options.yaml_loader import OptionLoader
from tests.support.commands import python

TEXT = '# 夜景增强 – grün\nname: a\nnote: 夜\n'

RUN = """
import locale, sys
from pathlib import Path
import yaml
import entropy_sde_plugin
entropy_sde_plugin.register()
from basicsr.train import copy_opt_file
from basicsr.utils import get_root_logger
from basicsr.utils.options import ordered_yaml
assert locale.getpreferredencoding(False).lower() != 'utf-8'
with open('a.yml') as file:
    assert yaml.load(file, Loader=ordered_yaml()[0])['note'] == chr(0x591c)
Path('run').mkdir()
copy_opt_file('a.yml', 'run')
get_root_logger(log_file='run/a.log').info('\\u591c \\udce9')
"""


@pytest.mark.parametrize('encoding', ['gbk', 'iso-8859-1', 'ascii'])
def test_option_files_are_utf_8_whatever_the_locale(encoding):
    file = io.TextIOWrapper(io.BytesIO(TEXT.encode()), encoding=encoding)
    assert yaml.load(file, Loader=OptionLoader) == {'name': 'a', 'note': '夜'}
    with pytest.raises(InputError, match='byte 2 is not UTF-8 text'):
        yaml.load(io.TextIOWrapper(io.BytesIO(b'# \xe9\n'), encoding=encoding), Loader=OptionLoader)


def test_the_copy_of_an_option_file_and_the_log_are_utf_8(tmp_path):
    (tmp_path / 'a.yml').write_bytes(b'\xef\xbb\xbf' + TEXT.encode())
    locale = {'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0'}
    code, _, err = python('-X', 'utf8=0', '-c', RUN, 'caf\udce9', cwd=tmp_path, **locale)
    assert code == 0, err
    head, _, content = (tmp_path / 'run' / 'a.yml').read_text(encoding='utf-8').partition('\n\n')
    assert content == TEXT
    assert head.endswith('# -c caf\\udce9')
    assert (tmp_path / 'run' / 'a.log').read_text(encoding='utf-8').endswith('INFO: 夜 \\udce9\n')


def test_a_name_that_the_file_system_cannot_have(monkeypatch):
    check_folder_name('夜', 'name')
    check_folder_name('caf\udce9', 'name')
    monkeypatch.setattr('os.fsencode', lambda name: name.encode('latin-1'))
    with pytest.raises(InputError, match=r"'name' has characters that file names cannot have .* LC_ALL=C\.UTF-8"):
        check_folder_name('夜', 'name')
