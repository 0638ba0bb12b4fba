"""Options of data sets."""

import pytest

from entropy_sde_plugin.data.options import files_replaced


@pytest.mark.parametrize(
    ('section', 'replaced'),
    [
        ({'dataroot_gt': 'a', 'dataroot_lq': ['b', 'c']}, {'dataroot_gt': '/a', 'dataroot_lq': ['/b', '/c']}),
        ({'meta_info_file': 'd', 'pair_list': 'e'}, {'meta_info_file': '/d', 'pair_list': '/e'}),
        ({'camera': 'own.json'}, {'camera': '/own.json'}),
        ({'cameras': ('NikonD850', 'own.json')}, {'cameras': ['NikonD850', '/own.json']}),
        ({'name': 'a', 'gt_size': 96, 'io_backend': {'type': 'lmdb'}},) * 2,
    ],
)
def test_names_of_files_are_replaced(section, replaced):
    assert files_replaced(section, lambda file: f'/{file}') == replaced
