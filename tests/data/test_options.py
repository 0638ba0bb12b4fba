"""Options of data sets."""

import pytest

from entropy_sde_plugin.data.datasets import (
    ELDDataset,
    LOLDataset,
    NTIRELowLightDataset,
    PairedLowLightDataset,
    RawPairDataset,
    SIDDataset,
    SyntheticLowLightDataset,
    SyntheticRawDataset,
)
from entropy_sde_plugin.data.options import files_replaced, options_of
from entropy_sde_plugin.errors import InputError


@pytest.mark.parametrize(
    ('section', 'replaced'),
    [
        ({'dataroot_gt': 'a', 'dataroot_lq': ['b', 'c']}, {'dataroot_gt': '/a', 'dataroot_lq': ['/b', '/c']}),
        ({'meta_info_file': 'd', 'pair_list': 'e'}, {'meta_info_file': '/d', 'pair_list': '/e'}),
        ({'camera': 'own.json'}, {'camera': '/own.json'}),
        ({'cameras': ('NikonD850', 'own.json')}, {'cameras': ('NikonD850', '/own.json')}),
        ({'name': 'a', 'gt_size': 96, 'io_backend': {'type': 'lmdb'}},) * 2,
    ],
)
def test_names_of_files_are_replaced(section, replaced):
    assert files_replaced(section, lambda file: f'/{file}') == replaced


@pytest.mark.parametrize(
    ('dataset', 'files', 'others'),
    [
        (PairedLowLightDataset, {'dataroot_lq': '~/lq', 'dataroot_gt': '~/gt', 'meta_info_file': '~/a.txt'}, {}),
        (SyntheticLowLightDataset, {'dataroot_gt': '~/photos'}, {}),
        (LOLDataset, {'dataroot': '~/LOL'}, {'version': 'v1'}),
        (NTIRELowLightDataset, {'dataroot': '~'}, {}),
        (SIDDataset, {'dataroot': '~/SID', 'pair_list': '~/a.txt', 'camera': '~/own.json'}, {}),
        (ELDDataset, {'dataroot': '~/ELD/SonyA7S2'}, {'ratio': 100, 'camera': 'NikonD850'}),
        (RawPairDataset, {'dataroot_lq': '~/short'}, {'ratio': 100}),
        (SyntheticRawDataset, {'dataroot_gt': '~/planes.lmdb', 'cameras': ('~/own.json',)}, {}),
    ],
)
def test_every_data_set_finds_the_home_folder(monkeypatch, dataset, files, others):
    monkeypatch.setenv('HOME', '/home/me')
    options = options_of(dataset.Options, {'phase': 'val', **files, **others})
    for option, value in files.items():
        assert repr(getattr(options, option)) == repr(value).replace('~', '/home/me')
    assert all(getattr(options, option) == value for option, value in others.items())


@pytest.mark.parametrize('backend', ['lmdb', 'disk', None])
@pytest.mark.parametrize(
    ('dataset', 'others'),
    [
        (LOLDataset, {'version': 'v1'}),
        (NTIRELowLightDataset, {}),
        (SIDDataset, {'phase': 'train', 'gt_size': 8}),
        (ELDDataset, {'ratio': 100}),
    ],
)
def test_a_root_that_cannot_be_looked_up_is_one_line(dataset, others, backend):
    section = {'name': 'a', 'phase': 'val', 'dataroot': 'n' * 300, **others}
    with pytest.raises(InputError, match=r'can(not)? be read') as caught:
        dataset(section | ({'io_backend': {'type': backend}} if backend else {}))
    assert len(caught.value.faults) == 1
    assert caught.value.option == 'dataroot'


def test_a_list_of_pairs_below_such_a_root_is_one_line(tmp_path):
    (tmp_path / 'list.txt').write_text('00001_00_0.1s.dng 00001_00_10s.dng')
    section = {'name': 'a', 'phase': 'val', 'dataroot': 'n' * 300, 'pair_list': str(tmp_path / 'list.txt')}
    with pytest.raises(InputError, match='missing 2 files'):
        SIDDataset(section)
