"""Malformed input, met by the commands: one line that names the culprit, nothing lost, no code run.

A part of the cases, in forks of this process, and some as real commands; ``scripts/tools/fuzz.py`` runs all of them.
"""

from __future__ import annotations

import pytest

from tests.support.hostile import materials
from tests.support.hostile.families import FAMILIES
from tests.support.hostile.harness import Trial, import_everything, meet

STEP = {'pictures of a data set': 5}
"""Every which case is run here; every third of a family by default. Odd, since cases alternate between commands."""


@pytest.mark.parametrize('family', FAMILIES)
def test_a_family_of_malformed_input(family, tmp_path):
    import_everything()
    cases = list(FAMILIES[family]())[:: STEP.get(family, 3)]
    outcomes = [meet(family, name, build, tmp_path / str(i), seed=0) for i, (name, build) in enumerate(cases)]
    assert len(outcomes) > 30
    assert sum(outcome.code == 1 for outcome in outcomes) > len(outcomes) / 2
    assert not [str(outcome) for outcome in outcomes if outcome.defects]


@pytest.mark.parametrize(
    ('family', 'name'),
    [
        ('pictures of a data set', 'train: png, cut off'),
        ('option files', 'text: python/object/apply'),
        ('weights', 'convert: a checkpoint that calls os.system'),
        ('pictures to enhance', 'a header of 100,000 x 100,000'),
    ],
)
def test_a_real_command(family, name, tmp_path):
    outcome = meet(family, name, dict(FAMILIES[family]())[name], tmp_path, seed=0, fork=False)
    assert outcome.code == 1
    assert not outcome.defects, str(outcome)


# --- the judge --------------------------------------------------------------------------------------------------------


def judged(place, command, culprits=(), spoil=lambda place: None):
    """The defects of a command that works on sound pairs."""

    def build(place, rng):
        materials.write_folders(place)
        spoil(place)
        return Trial(command, culprits)

    return meet('judge', 'judge', build, place, seed=0).defects


EVALUATE = ('evaluate', '--result', 'lq', '--truth', 'gt', '--metrics', 'psnr')


def test_the_judge_sees_what_passes_and_what_is_not_named(tmp_path):
    import_everything()
    assert judged(tmp_path / 'passes', EVALUATE) == ('passed as if nothing were wrong',)
    name = materials.NAMES[0]
    empty = lambda place: (place / 'gt' / f'{name}.png').write_bytes(b'')  # noqa: E731
    assert judged(tmp_path / 'named', EVALUATE, (f'gt/{name}.png',), empty) == ()
    assert judged(tmp_path / 'not', EVALUATE, ('another.png',), empty) == ('the line does not name another.png',)


def test_the_judge_sees_tracebacks_and_what_is_lost_left_or_run(tmp_path, monkeypatch):
    def careless(arguments):
        from pathlib import Path

        Path('gt', f'{materials.NAMES[0]}.png').unlink()
        Path('x.part').touch()
        Path('out').mkdir()
        Path('out', 'code_was_run').touch()
        raise ZeroDivisionError

    import_everything()
    monkeypatch.setattr('entropy_sde_plugin.cli.main', careless)
    defects = ' '.join(judged(tmp_path, EVALUATE))
    for defect in ('a traceback', '0 lines', f"changed ['gt/{materials.NAMES[0]}.png']", "left ['x.part'", 'ran code'):
        assert defect in defects
