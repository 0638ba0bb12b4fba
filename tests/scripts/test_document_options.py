"""The command line of the program that documents the options; tests/test_options.py holds what it writes."""

import sys

import pytest

from entropy_sde_plugin.errors import InputError
from tests.support.scripts import script


def test_help_is_shown_and_a_missing_folder_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)  # which main replaces
    program = script('document_options')
    monkeypatch.setattr(sys, 'argv', ['document_options.py', '--help'])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 0
    assert 'usage: document_options.py [-h] [FOLDER]' in capsys.readouterr().out
    monkeypatch.setattr(sys, 'argv', ['document_options.py', str(tmp_path / 'nowhere')])
    with pytest.raises(InputError, match=r"FOLDER: there is no folder '.*nowhere'\.$"):
        program.main()
