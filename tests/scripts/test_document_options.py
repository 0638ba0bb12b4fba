"""The program that documents the options: its command line, and that what it wrote is up to date."""

import sys
from typing import ClassVar

import jsonschema
import pytest

from entropy_sde_plugin import registrations
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.diffusion import DiffusionOptions
from entropy_sde_plugin.options.training import TrainOptions
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


def test_an_option_with_a_default_of_its_own_is_listed_again():
    page = (ROOT / 'docs/options.md').read_text(encoding='utf-8')
    of_sid = page.partition('of type `SIDDataset`')[2].partition('\n## ')[0]
    assert '| `camera` | text or none | `SonyA7S2` |' in of_sid
    assert '| `gain` |' not in of_sid


class ToyOptions(DiffusionOptions, frozen=True):
    """Options of a system."""

    system: ClassVar[str] = 'toy'
    states: int = 50
    """Number of states."""

    def times(self):
        return []


class ToyTrainOptions(TrainOptions, frozen=True):
    """Section ``train`` of the toy."""

    toy_weight: float = 1.0
    """Weight of the toy's loss."""


class ToyModel:
    Options = ToyOptions
    TrainOptions = ToyTrainOptions


class ToyNetwork:
    """A network.

    Args:
        depth: Number of layers.
    """

    def __init__(self, depth: int = 3) -> None: ...


def test_whatever_is_registered_is_documented(monkeypatch):
    entries = registrations.registered()
    entries |= {'model': (*entries['model'], ToyModel), 'arch': (*entries['arch'], ToyNetwork)}
    monkeypatch.setattr(registrations, 'registered', lambda: entries)
    monkeypatch.delitem(sys.modules, 'document_options', raising=False)
    program = script('document_options')
    page, schema = program.page(), jsonschema.Draft202012Validator(program.schema())

    assert '## Further options of the top level with `model_type: ToyModel`' in page
    assert page.count('| `states` | whole number | `50` | Number of states. |') == 1
    assert page.count("| `toy_weight` | number | `1.0` | Weight of the toy's loss. |") == 1
    assert page.count('| `total_iter` |') == 1
    assert '| `depth` | whole number | `3` | Number of layers. |' in page

    common = {'name': 'a', 'num_gpu': 0, 'datasets': {}, 'network_g': {'type': 'ToyNetwork', 'depth': 2}, 'path': {}}
    toy, irsde = (common | {'model_type': name} for name in ('ToyModel', 'IRSDEModel'))
    assert schema.is_valid(toy | {'states': 20})
    assert not schema.is_valid(irsde | {'states': 20})
    assert schema.is_valid(irsde | {'sde': {'T': 20}})
    assert not schema.is_valid(toy | {'sde': {'T': 20}})
    assert not schema.is_valid(toy | {'network_g': {'type': 'ToyNetwork', 'detph': 2}})
    assert not schema.is_valid(common | {'model_type': 'Toy'})


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
