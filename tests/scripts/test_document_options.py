"""The program that documents the options: its command line, and that what it wrote is up to date."""

import sys

import pytest

from entropy_sde_plugin.errors import InputError
from tests.support.commands import ROOT
from tests.support.scripts import script


@pytest.fixture
def run(monkeypatch):
    """Run the program with a command line."""
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)  # which main replaces

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['document_options.py', *map(str, arguments)])
        script('document_options').main()

    return call


def test_the_committed_page_and_schema_are_up_to_date(run, tmp_path):
    names = ('docs/options.md', 'options/schema.json')
    for name in names:
        (tmp_path / name).parent.mkdir()
    run(tmp_path)
    for name in names:
        assert (ROOT / name).read_text(encoding='utf-8') == (tmp_path / name).read_text(encoding='utf-8')


def test_help_is_shown(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run('--help')
    assert ended.value.code == 0
    assert 'usage: document_options.py [-h] [ROOT]' in capsys.readouterr().out


def test_a_folder_that_is_not_the_repository_is_refused_and_left_as_it_was(run, tmp_path):
    missing = r"^ROOT: there is no folder '.*{}'\. Give the repository's folder\.$"
    with pytest.raises(InputError, match=missing.format('nowhere/docs')):
        run(tmp_path / 'nowhere')
    (tmp_path / 'docs').mkdir()
    with pytest.raises(InputError, match=missing.format('options')):
        run(tmp_path)
    assert list((tmp_path / 'docs').iterdir()) == []
