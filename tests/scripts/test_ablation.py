"""The ablation script: every run's options hold, and its table says what the records say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from entropy_sde_plugin.data.lmdb import LmdbReader
from entropy_sde_plugin.demo.photographs import EXPOSURES, HELD_OUT, pair_key, photograph
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options import check as option_check
from tests.support.pictures import write_png
from tests.support.scripts import script

HEADER = 'iteration,dataset,seed,image,psnr,ssim,lpips,dists,niqe,psnr_gtmean,seconds'


@pytest.fixture(scope='module')
def ablation():
    return script('ablation')


@pytest.mark.parametrize('pairs', [False, True], ids=['photographs', 'pairs'])
def test_every_run_is_a_training_that_basicsr_would_take(ablation, tmp_path, pairs):
    if pairs:
        (tmp_path / 'datasets' / 'train_lq.lmdb').mkdir(parents=True)
    runs = [ablation.base_run(tmp_path)]
    for name, study in ablation.STUDIES.items():
        runs += [ablation.run_of(tmp_path, name, variant, 3, None) for variant in study.variants]
    assert len({run.name for run in runs}) == len(runs) > 20
    for run in runs:
        for phase, section in run.opt['datasets'].items():
            section['phase'] = phase  # as BasicSR does
        option_check.check(run.opt | {'is_train': True})
        assert run.opt['datasets']['train']['name'] == ('pairs' if pairs else 'photographs')
        train = run.opt['train']
        assert train['scheduler']['periods'] == [train['total_iter']] == [run.iterations]


def test_real_pairs(ablation, tmp_path):
    for name, level in (('low', 10), ('high', 90)):
        for number in range(45):
            write_png(tmp_path / 'real' / name / f'{number:02}.png', np.full((260, 300, 3), level + number, np.uint8))
    ablation.make_databases(tmp_path / 'study' / 'datasets', tmp_path / 'real')
    stored = {path.stem: LmdbReader(path) for path in (tmp_path / 'study' / 'datasets').iterdir()}
    held_out, trained = stored['val_lq'].names, stored['train_lq'].names
    assert len(held_out) == 40
    assert sorted([*held_out, *trained]) == [f'{number:02}' for number in range(45)]
    for level, kind in ((10, 'lq'), (90, 'gt')):
        for name in held_out:
            assert_array_equal(stored[f'val_{kind}'].image(name), np.full((256, 256, 3), level + int(name), np.uint8))
        for name in trained:
            assert_array_equal(stored[f'train_{kind}'].image(name), np.full((260, 300, 3), level + int(name), np.uint8))
    assert len(ablation.shown_keys(tmp_path / 'study')) == 6


def test_pairs_do_not_mix_with_simulated_darkness(ablation, tmp_path):
    (tmp_path / 'datasets').mkdir()
    with pytest.raises(InputError, match='holds simulated darkness'):
        ablation.make_databases(tmp_path / 'datasets', tmp_path)


def test_a_variant_changes_what_it_names(ablation, tmp_path):
    study = ablation.STUDIES['continued']
    variants = {variant.name: variant for variant in study.variants}
    base = ablation.base_options(tmp_path)
    plain, alone, beside = (
        ablation.run_of(tmp_path, 'continued', variants[name], 0, 40).opt
        for name in ('L1', 'hellinger', 'L1_and_hellinger')
    )
    assert plain['train']['pixel_opt'] == base['train']['pixel_opt']
    assert alone['train']['pixel_opt'] == {'type': 'SpatialEntropyLoss', 'distance': 'hellinger'}  # nothing of L1's
    assert beside['train']['pixel_opt'] == base['train']['pixel_opt']
    assert beside['train']['entropy_opt']['type'] == 'SpatialEntropyLoss'
    assert plain['train']['optim_g'] == base['train']['optim_g'] | {'lr': 3e-4}
    first = ablation.base_run(tmp_path).name
    assert plain['path']['pretrain_network_g'] == f'experiments/{first}/models/net_g_latest.pth'
    assert plain['val']['val_freq'] == 21


@pytest.fixture
def folder(tmp_path, ablation):
    """Two seeds of L1, one of Hellinger, one of relative entropy that is not finished."""
    ablation.write_databases(tmp_path / 'datasets')
    for variant, seed, ends in (('L1', 0, (20.0, 22.0)), ('L1', 1, (24.0, 26.0)), ('hellinger', 0, (19.0, 21.0))):
        run = ablation.run_of(tmp_path, 'scratch', named(ablation, variant), seed, 40)
        experiment = tmp_path / 'experiments' / run.name
        experiment.mkdir(parents=True)
        rows = [f'{i},held_out,0,{k},{psnr},0.5,0.25,n/a,4,23,1' for i, lower in ((21, 0.5), (40, 0)) for k, psnr in
                zip('ab', (end - lower for end in ends), strict=True)]  # fmt: skip
        (experiment / 'metrics.csv').write_text('\n'.join([HEADER, *rows]) + '\n')
        (experiment / 'cost.json').write_text(json.dumps({'core_seconds': 90}))
        for picture in HELD_OUT:
            key = pair_key(picture, EXPOSURES[0])
            path = experiment / 'visualization' / 'held_out' / key / f'{key}_40.png'
            path.parent.mkdir(parents=True)
            write_png(path, photograph('coffee'))
    return tmp_path


def named(ablation, variant):
    return next(v for v in ablation.STUDIES['scratch'].variants if v.name == variant)


def test_table(ablation, folder):
    table = ablation.report(folder, 'scratch', ablation.STUDIES['scratch'], seeds=(0, 1), iterations=40)
    assert table == (folder / 'scratch.md').read_text()
    rows = [line for line in table.splitlines() if line.startswith('| ')][1:]
    # means of (21, 25): 23, deviation sqrt(8) = 2.83
    assert rows[0] == (
        '| L1 | 2 | 23.00 ± 2.83 | 0.5000 ± 0.0000 | 0.2500 ± 0.0000 | n/a | 4.00 ± 0.00 | 23.00 ± 0.00 | +0.50 | 1.5 |'
    )
    assert rows[1] == '| hellinger | 1 | 20.00 | 0.5000 | 0.2500 | n/a | 4.00 | 23.00 | +0.50 | 1.5 |'
    assert len(rows) == 2
    assert (folder / 'scratch.png').stat().st_size > 10_000


def test_a_run_with_other_options_is_not_taken_for_this_one(ablation, folder):
    run = ablation.run_of(folder, 'scratch', named(ablation, 'L1'), 0, 40)
    file = folder / 'options' / f'{run.name}.yml'
    file.parent.mkdir()
    file.write_text('name: other\n')
    with pytest.raises(InputError, match=rf'{run.name}\.yml has other options'):
        ablation.train(folder, run)
