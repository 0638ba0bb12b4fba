"""The ablation script: every run's options hold, and its table says what the records say."""

from __future__ import annotations

import json

import pytest

from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options import check as option_check
from tests.support.pictures import write_png
from tests.support.scripts import script

HEADER = 'iteration,dataset,seed,image,psnr,ssim,lpips,dists,niqe,psnr_gtmean,seconds'


@pytest.fixture(scope='module')
def ablation():
    return script('ablation')


def test_every_run_is_a_training_that_basicsr_would_take(ablation):
    runs = [ablation.base_run()]
    for name, study in ablation.STUDIES.items():
        runs += [ablation.run_of(name, variant, 3, None) for variant in study.variants]
    assert len({run.name for run in runs}) == len(runs) > 20
    for run in runs:
        for phase, section in run.opt['datasets'].items():
            section['phase'] = phase  # as BasicSR does
        option_check.check(run.opt | {'is_train': True})
        train = run.opt['train']
        assert train['scheduler']['periods'] == [train['total_iter']] == [run.iterations]


def test_a_variant_changes_what_it_names(ablation):
    study = ablation.STUDIES['continued']
    variants = {variant.name: variant for variant in study.variants}
    base = ablation.base_options()
    plain, alone, beside = (
        ablation.run_of('continued', variants[name], 0, 40).opt for name in ('L1', 'hellinger', 'L1_and_hellinger')
    )
    assert plain['train']['pixel_opt'] == base['train']['pixel_opt']
    assert alone['train']['pixel_opt'] == {'type': 'SpatialEntropyLoss', 'distance': 'hellinger'}  # nothing of L1's
    assert beside['train']['pixel_opt'] == base['train']['pixel_opt']
    assert beside['train']['entropy_opt']['type'] == 'SpatialEntropyLoss'
    assert plain['train']['optim_g'] == base['train']['optim_g'] | {'lr': 3e-4}
    assert plain['path']['pretrain_network_g'] == f'experiments/{ablation.base_run().name}/models/net_g_latest.pth'
    assert plain['val']['val_freq'] == 21


@pytest.fixture
def folder(tmp_path, ablation):
    """Two seeds of L1, one of Hellinger, one of relative entropy that is not finished."""
    ablation.write_databases(tmp_path / 'datasets')
    for variant, seed, ends in (('L1', 0, (20.0, 22.0)), ('L1', 1, (24.0, 26.0)), ('hellinger', 0, (19.0, 21.0))):
        run = ablation.run_of('scratch', named(ablation, variant), seed, 40)
        experiment = tmp_path / 'experiments' / run.name
        experiment.mkdir(parents=True)
        rows = [f'{i},held_out,0,{k},{psnr},0.5,0.25,n/a,4,23,1' for i, lower in ((21, 0.5), (40, 0)) for k, psnr in
                zip('ab', (end - lower for end in ends), strict=True)]  # fmt: skip
        (experiment / 'metrics.csv').write_text('\n'.join([HEADER, *rows]) + '\n')
        (experiment / 'cost.json').write_text(json.dumps({'core_seconds': 90}))
        for picture in ablation.HELD_OUT:
            key = ablation.pair_key(picture, ablation.EXPOSURES[0])
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
    run = ablation.run_of('scratch', named(ablation, 'L1'), 0, 40)
    file = folder / 'options' / f'{run.name}.yml'
    file.parent.mkdir()
    file.write_text('name: other\n')
    with pytest.raises(InputError, match=rf'{run.name}\.yml has other options'):
        ablation.train(folder, run)
