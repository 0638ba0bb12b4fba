"""Folders and databases of images, and their pairing: every offender is named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from entropy_sde_plugin.data.folders import listed
from entropy_sde_plugin.data.sources import ImageFolder, Pair, check_sizes, match_pairs, open_source, template_pairs
from entropy_sde_plugin.errors import InputError
from tests.support.pictures import write_png


def folder(path, names, image):
    for name in names:
        write_png(path / f'{name}.png', image)
    return ImageFolder(path)


def test_folder_and_database_hold_the_same(pairs, bright):
    disk, database = open_source(pairs / 'gt'), open_source(f'{pairs}/gt.lmdb/')
    assert disk.names == database.names == tuple(sorted(bright))
    for name in disk.names:
        assert disk.size(name) == database.size(name) == (200, 240)
        np.testing.assert_array_equal(disk.image(name), database.image(name))
        np.testing.assert_array_equal(disk.image(name), bright[name])


def test_the_backend_may_be_named(tmp_path, bright):
    write_png(tmp_path / 'odd.lmdb' / 'a.png', bright['coffee'])
    assert open_source(tmp_path / 'odd.lmdb', 'disk').names == ('a',)
    with pytest.raises(InputError, match='not an image database'):
        open_source(tmp_path / 'odd.lmdb')


def test_a_folder_is_read_with_its_subfolders_and_names_what_it_leaves_out(tmp_path, bright, capsys):
    images = tmp_path / 'images'
    write_png(images / 'a.png', bright['coffee'])
    write_png(images / 'B.v2.PNG', bright['coffee'])
    write_png(images / '.hidden.png', bright['coffee'])
    write_png(images / '.cache' / 'd.png', bright['coffee'])
    write_png(images / 'below' / 'deep' / 'a.png', bright['rocket'])
    (images / 'below' / 'README.txt').write_text('about')
    (images / 'elsewhere').symlink_to(tmp_path)
    source = open_source(images)
    assert source.names == ('B.v2', 'a', 'below/deep/a')
    assert source.where('below/deep/a') == f'{images}/below/deep/a.png'
    np.testing.assert_array_equal(source.image('below/deep/a'), bright['rocket'])
    said = f'warning: ignored in {images} (not images): 2 files: elsewhere, below/README.txt\n'
    assert capsys.readouterr().err == said


def test_images_that_are_their_own_truth_are_warned_of_once(pairs, tmp_path, capsys):
    link = tmp_path / 'link'
    link.symlink_to(pairs / 'lq')
    for first, second in ((pairs / 'lq', f'{link}/'), (pairs / 'lq.lmdb', pairs / 'lq.lmdb')):
        lq, gt = open_source(first, option='dataroot_lq'), open_source(second, option='dataroot_gt')
        assert len(match_pairs(lq, gt)) == 4
        (said,) = capsys.readouterr().err.splitlines()
        assert said.endswith('its images are compared with themselves, since dataroot_lq and dataroot_gt name it.')


def test_pairs_within_one_folder_are_not_warned_of(tmp_path, bright, capsys):
    both = folder(tmp_path / 'both', ['1', '1_low'], bright['coffee'])
    assert match_pairs(both, both, '{}_low'.format, names=['1']) == [Pair('1_low', '1')]
    assert capsys.readouterr().err == ''


def test_both_sides_in_one_folder_need_a_list_of_names_and_the_error_says_so(tmp_path, bright):
    for name in ('a_gt', 'a_low'):
        write_png(tmp_path / f'{name}.png', bright['coffee'])
    folder = ImageFolder(tmp_path)
    assert template_pairs(folder, folder, ('{}_gt', '{}_low'), ['a_gt']) == [('a_low', 'a_gt')]
    with pytest.raises(InputError, match=r'\nWhere the images of both sides lie in one folder, meta_info_file names'):
        template_pairs(folder, folder, ('{}_gt', '{}_low'))


def test_partners_in_subfolders(tmp_path, bright):
    """The same names in two folders, and one on top; a template acts on the last part."""
    lq = folder(tmp_path / 'lq', ['low_1', 'a/low_1', 'b/low_1'], bright['coffee'])
    gt = folder(tmp_path / 'gt', ['1', 'a/1', 'b/1'], bright['coffee'])
    assert match_pairs(lq, gt, 'low_{}'.format) == [Pair('low_1', '1'), Pair('a/low_1', 'a/1'), Pair('b/low_1', 'b/1')]
    (tmp_path / 'lq' / 'b' / 'low_1.png').unlink()
    with pytest.raises(InputError, match=r"gt/b/1\.png: its partner 'b/low_1' is not in"):
        match_pairs(ImageFolder(tmp_path / 'lq'), gt, 'low_{}'.format)


def test_names_that_are_not_utf_8(tmp_path, bright):
    """Of archives made on Latin-1 and GBK systems; as BasicSR's log and our records take them."""
    for raw in (b'caf\xe9', b'a/\xd2\xb9\xcd\xed'):
        for kind in ('lq', 'gt'):
            write_png(tmp_path / kind / 'a' / 'x.png', bright['coffee'])
            (tmp_path / kind / 'a' / 'x.png').rename(tmp_path / kind / f'{os.fsdecode(raw)}.png')
    lq, gt = ImageFolder(tmp_path / 'lq'), ImageFolder(tmp_path / 'gt')
    assert lq.names == ('a/ҹ%CD%ED', 'caf%E9')
    assert [pair.gt for pair in match_pairs(lq, gt)] == list(lq.names)
    for name in lq.names:
        np.testing.assert_array_equal(lq.image(name), bright['coffee'])
    assert os.fsencode(lq.where('caf%E9')).endswith(b'lq/caf\xe9.png')


def test_a_long_list_is_cut(tmp_path):
    assert listed([Path(f'{i}.txt') for i in range(22)]).endswith(' 18.txt, 19.txt, and 2 more')


def test_bad_folders(tmp_path, bright):
    with pytest.raises(InputError, match='is not a folder'):
        open_source(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='holds no images'):
        open_source(tmp_path / 'empty')
    for name in ('a.png', 'a.jpg', 'b.png', 'b.bmp', 'c.png'):
        write_png(tmp_path / 'twice' / name, bright['coffee'])
    with pytest.raises(InputError) as caught:
        open_source(tmp_path / 'twice')
    assert [line.split(': ')[1] for line in str(caught.value).splitlines()] == [
        'a.jpg and a.png share a name; rename or remove one.',
        'b.bmp and b.png share a name; rename or remove one.',
    ]


def test_partners_by_name_and_by_template(tmp_path, bright):
    gt = folder(tmp_path / 'gt', 'ab', bright['coffee'])
    assert match_pairs(folder(tmp_path / 'lq', 'ab', bright['coffee']), gt) == [Pair('a', 'a'), Pair('b', 'b')]
    lq = folder(tmp_path / 'dark', ['a_low', 'b_low'], bright['coffee'])
    assert match_pairs(lq, gt, '{}_low'.format) == [Pair('a_low', 'a'), Pair('b_low', 'b')]
    assert match_pairs(lq, gt, '{}_low'.format, ['b']) == [Pair('b_low', 'b')]


def test_every_image_without_a_partner_is_named(tmp_path, bright):
    lq = folder(tmp_path / 'lq', 'abcx', bright['coffee'])
    gt = folder(tmp_path / 'gt', 'abyz', bright['coffee'])
    with pytest.raises(InputError) as caught:
        match_pairs(lq, gt)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert [any(f'/{name}.png' in line for line in lines) for name in 'yzcxab'] == [True] * 4 + [False] * 2
    with pytest.raises(InputError, match="there is no image 'q'"):
        match_pairs(lq, gt, names=['a', 'q'])


def test_every_pair_of_two_sizes_and_every_unreadable_image_is_named(tmp_path, bright):
    lq = folder(tmp_path / 'lq', 'abcd', bright['coffee'])
    gt = folder(tmp_path / 'gt', 'ad', bright['coffee'])
    write_png(tmp_path / 'gt' / 'b.png', bright['coffee'][1:])
    (tmp_path / 'gt' / 'c.png').write_text('no image')
    gt = ImageFolder(tmp_path / 'gt')
    with pytest.raises(InputError) as caught:
        check_sizes(lq, gt, match_pairs(lq, gt))
    different, unreadable = str(caught.value).splitlines()
    assert 'lq/b.png is 240x200' in different
    assert 'gt/b.png is 240x199' in different
    assert 'gt/c.png: not a readable image' in unreadable
