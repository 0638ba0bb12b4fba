"""What the verb tells the page."""

import argparse
import os
import tempfile
from pathlib import Path

import pytest

from entropy_sde_plugin.cli.demo_page import _about, run
from entropy_sde_plugin.errors import InputError


def test_a_model_whose_name_is_not_utf8_can_be_named_on_the_page():
    """A page is JSON, which has no such characters: the server answered every call with an error."""
    about = _about(Path('models', os.fsdecode(b'caf\xe9.pth')))
    assert '`caf%E9.pth`' in about
    about.encode()


def test_a_folder_for_temporary_files_that_the_page_cannot_name(tmp_path, monkeypatch):
    folder = Path(os.fsdecode(bytes(tmp_path) + b'/caf\xe9'))
    folder.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(folder))
    with pytest.raises(InputError, match=r'caf%E9.*its name is not UTF-8: choose another folder \(TMPDIR\)\.$'):
        run(argparse.Namespace())
    assert not any(folder.iterdir())
