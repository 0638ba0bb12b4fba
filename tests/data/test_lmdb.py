"""Writing and reading of LMDB databases: by BasicSR, by py-lmdb itself, across processes, and when abused."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import lmdb
import numpy as np
import PIL.Image
import pytest
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.file_client import FileClient
from basicsr.utils.lmdb_util import make_lmdb_from_imgs

from entropy_sde_plugin.data import lmdb_values
from entropy_sde_plugin.data.lmdb import LmdbReader, check_keys, lmdb_writer
from entropy_sde_plugin.data.lmdb_values import open_environment
from entropy_sde_plugin.errors import InputError
from tests.support.disks import small_disk
from tests.support.pictures import image_bytes
from tests.support.pipes import pipe


def write(path, pictures, **options):
    with lmdb_writer(path, **options) as writer:
        for key, picture in pictures.items():
            writer.put(key, picture)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*'))


# --- what others see --------------------------------------------------------------------------------------------------


def test_the_format_is_basicsrs(tmp_path, bright):
    path = write(tmp_path / 'gt.lmdb', bright, compress_level=3)
    assert files_below(path) == ['data.mdb', 'meta_info.txt']
    assert (path / 'meta_info.txt').read_text() == ''.join(f'{name}.png (200,240,3) 3\n' for name in sorted(bright))
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        stored = dict(transaction.cursor())
    assert sorted(stored) == sorted(name.encode() for name in bright)
    for name, picture in bright.items():
        image = PIL.Image.open(io.BytesIO(stored[name.encode()]))
        assert image.format == 'PNG'
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_its_folder_may_have_any_name(tmp_path, bright):
    path = write(tmp_path / os.fsdecode(b'caf\xe9\n') / 'gt.lmdb', bright)
    for name, picture in bright.items():
        np.testing.assert_array_equal(LmdbReader(path).image(name), picture)
    (entry, *_) = (path / 'meta_info.txt').read_text().splitlines()
    options = {'type': 'lmdb', 'db_paths': [str(path)], 'client_keys': ['gt']}
    assert FileClient(options.pop('type'), **options).get(entry.split('.')[0], 'gt').startswith(b'\x89PNG')


@pytest.mark.parametrize('gt', ['gt.lmdb', 'lq.lmdb'])  # two databases, and one for both
def test_basicsrs_own_dataset_reads_it(pairs, bright, gt):
    dataset = PairedImageDataset(
        {
            'dataroot_gt': str(pairs / gt),
            'dataroot_lq': str(pairs / 'lq.lmdb'),
            'io_backend': {'type': 'lmdb'},
            'phase': 'val',
            'scale': 1,
        }
    )
    assert len(dataset) == len(bright)
    for item in (dataset[index] for index in range(len(dataset))):
        dark = 255 - bright[item['lq_path']]
        truth = bright[item['gt_path']] if gt == 'gt.lmdb' else dark
        np.testing.assert_array_equal(np.rint(item['lq'].numpy() * 255), dark.transpose(2, 0, 1))
        np.testing.assert_array_equal(np.rint(item['gt'].numpy() * 255), truth.transpose(2, 0, 1))


def test_databases_of_basicsrs_own_tool_are_read(tmp_path, pairs, bright):
    path = str(tmp_path / 'theirs.lmdb')
    make_lmdb_from_imgs(str(pairs / 'gt'), path, [f'{name}.png' for name in bright], list(bright))
    reader = LmdbReader(path)
    assert reader.names == tuple(sorted(bright))
    for name, picture in bright.items():
        assert reader.size(name) == picture.shape[:2]
        np.testing.assert_array_equal(reader.image(name), picture)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_the_same_images_give_the_same_bytes(tmp_path, bright):
    first, second = (write(tmp_path / f'{n}.lmdb', bright) for n in 'ab')
    for name in ('data.mdb', 'meta_info.txt'):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_map_grows_when_small_images_come_first(tmp_path, bright, monkeypatch):
    monkeypatch.setattr(lmdb_values, '_FIRST_MAP_SIZE', 64 << 10)
    pictures = {'a_small': bright['coffee'][:4, :4], **bright}
    reader = LmdbReader(write(tmp_path / 'gt.lmdb', pictures))
    for name, picture in pictures.items():
        np.testing.assert_array_equal(reader.image(name), picture)


@pytest.mark.parametrize(
    ('key', 'fault'),
    [
        ('café', 'outside ASCII'),
        ('a.1', 'has a dot'),
        ('my photo', 'white space'),
        ('tab\tkey', 'white space or control'),
        ('k' * 512, 'longer than 511 bytes'),
        ('', 'is empty'),
    ],
)
def test_keys_that_basicsr_could_not_read(tmp_path, bright, key, fault):
    with pytest.raises(InputError, match=fault):
        write(tmp_path / 'gt.lmdb', {'good': bright['coffee'], key: bright['coffee']})
    assert files_below(tmp_path) == []


def test_the_longest_key(tmp_path, bright):
    reader = LmdbReader(write(tmp_path / 'gt.lmdb', {'k' * 511: bright['coffee']}))
    np.testing.assert_array_equal(reader.image('k' * 511), bright['coffee'])


def test_every_bad_key_is_listed():
    with pytest.raises(InputError) as caught:
        check_keys(['fine', 'a.1', 'a.2', 'twice', 'ü', 'twice'], 'photos')
    lines = str(caught.value).splitlines()
    assert [line.split("'")[1] for line in lines] == ['a.1', 'a.2', 'twice', 'ü']
    assert all(line.startswith("photos: key '") for line in lines)


def test_repeated_key_wrong_suffix_and_no_image(tmp_path, bright):
    with lmdb_writer(tmp_path / 'x.lmdb') as writer:
        writer.put('a', bright['coffee'])
        with pytest.raises(InputError, match="key 'a' occurs more than once"):
            writer.put('a', bright['coffee'])
    with pytest.raises(InputError, match=r'must end in \.lmdb'):
        write(tmp_path / 'x.db', bright)
    with pytest.raises(InputError, match='would be empty'):
        write(tmp_path / 'y.lmdb', {})
    assert [path.name for path in tmp_path.iterdir()] == ['x.lmdb']


@pytest.mark.parametrize(
    'change',
    [
        lambda picture: picture.astype(np.float32) / 255,
        lambda picture: picture.astype(np.uint16),
        lambda picture: np.dstack([picture, picture[..., :1]]),
        lambda picture: picture[..., 0],
        lambda picture: picture[:0],
    ],
)
def test_what_is_no_8_bit_rgb_image_is_refused(tmp_path, bright, change):
    with pytest.raises(InputError, match=r"'coffee' is \w+ of shape .*; an image is uint8 of shape \(H, W, 3\)"):
        write(tmp_path / 'gt.lmdb', {'coffee': change(bright['coffee'])})
    assert files_below(tmp_path) == []


def test_a_compression_that_png_has_not(tmp_path, bright):
    with pytest.raises(InputError, match=r'compress_level must lie in 0…9, but is 10'):
        write(tmp_path / 'gt.lmdb', bright, compress_level=10)


def test_existing_databases_are_replaced_only_when_asked(tmp_path, bright):
    path = write(tmp_path / 'gt.lmdb', {'old': bright['coffee']})
    with pytest.raises(InputError, match='exists already'):
        write(path, bright)
    with pytest.raises(InputError, match='has a dot'):
        write(path, {'new': bright['coffee'], 'b.a.d': bright['coffee']}, overwrite=True)
    assert LmdbReader(path).names == ('old',)
    write(path, bright, overwrite=True)
    assert LmdbReader(path).names == tuple(sorted(bright))
    assert [p.name for p in tmp_path.iterdir()] == ['gt.lmdb']


def test_a_folder_of_other_things_is_never_overwritten(tmp_path, bright):
    path = tmp_path / 'mine.lmdb'
    (path / 'thesis').mkdir(parents=True)
    (path / 'thesis' / 'chapter.tex').write_text('years of work')
    with pytest.raises(InputError, match='holds more than databases'):
        write(path, bright, overwrite=True)
    assert (path / 'thesis' / 'chapter.tex').read_text() == 'years of work'


@pytest.mark.skipif(os.name == 'nt', reason='sends SIGINT')
def test_ctrl_c_leaves_nothing(tmp_path):
    script = """
        import signal, sys, time
        import numpy as np
        from entropy_sde_plugin.data.lmdb import lmdb_writer
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit none
        with lmdb_writer(sys.argv[1]) as writer:
            writer.put('a', np.zeros((64, 64, 3), np.uint8))
            print('writing', flush=True)
            time.sleep(60)
    """
    target = tmp_path / 'out' / 'gt.lmdb'
    command = [sys.executable, '-c', textwrap.dedent(script), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'writing\n'
        assert [p.suffix for p in target.parent.iterdir()] == ['.part']
        process.send_signal(signal.SIGINT)
        assert 'KeyboardInterrupt' in process.communicate()[1]
    assert files_below(target.parent) == []


# --- reading ----------------------------------------------------------------------------------------------------------


def test_one_environment_for_every_reader_of_a_database(pairs, tmp_path):
    link = tmp_path / 'link.lmdb'
    link.symlink_to(pairs / 'gt.lmdb')
    assert open_environment(pairs / 'gt.lmdb') is open_environment(link)
    training, validation = LmdbReader(pairs / 'gt.lmdb'), LmdbReader(link)
    client = FileClient('lmdb', db_paths=[str(link), str(link)], client_keys=['lq', 'gt'])
    assert training.read('coffee') == validation.read('coffee') == client.get('coffee', 'gt')


def test_a_replaced_database_is_opened_anew(tmp_path, bright):
    path = write(tmp_path / 'gt.lmdb', {'a': bright['coffee']})
    reader = LmdbReader(path)
    reader.image('a')
    write(path, {'a': bright['rocket']}, overwrite=True)
    np.testing.assert_array_equal(reader.image('a'), bright['rocket'])


def test_a_database_that_is_cut_off_while_it_is_read(tmp_path, bright):
    """Without a check before each access the process would end with SIGBUS."""
    path = write(tmp_path / 'gt.lmdb', bright)
    reader, client = LmdbReader(path), FileClient('lmdb', db_paths=[str(path)], client_keys=['gt'])
    assert bytes(client.get('coffee', 'gt')) == reader.read('coffee')
    os.truncate(path / 'data.mdb', 5000)
    for read in (lambda: reader.image('coffee'), lambda: client.get('coffee', 'gt')):
        with pytest.raises(InputError, match=r"gt\.lmdb': data\.mdb is truncated"):
            read()
    write(path, bright, overwrite=True)
    np.testing.assert_array_equal(reader.image('coffee'), bright['coffee'])


def test_reading_needs_no_writing(tmp_path, bright):
    path = write(tmp_path / 'gt.lmdb', bright)
    for target in (path / 'data.mdb', path / 'meta_info.txt', path):
        target.chmod(0o555 if target.is_dir() else 0o444)
    before = {p: p.stat().st_mtime_ns for p in (path, *path.iterdir())}
    LmdbReader(path).image('coffee')
    assert {p: p.stat().st_mtime_ns for p in (path, *path.iterdir())} == before
    path.chmod(0o755)


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (lambda p: (p / 'data.mdb').unlink(), r'not an LMDB database: it has no readable data\.mdb'),
        (lambda p: (p / 'meta_info.txt').unlink(), r'no readable meta_info\.txt'),
        (lambda p: pipe(p / 'data.mdb'), r'it has no readable data\.mdb \(it is a pipe, not a file\)\.$'),
        (lambda p: pipe(p / 'meta_info.txt'), r'no readable meta_info\.txt \(it is a pipe, not a file\)\.$'),
        (lambda p: os.truncate(p / 'data.mdb', (p / 'data.mdb').stat().st_size // 2), r'data\.mdb is truncated'),
        (lambda p: os.truncate(p / 'data.mdb', 0), 'cannot be opened as an LMDB database'),
        (lambda p: (p / 'data.mdb').write_bytes(b'no database' * 4096), 'cannot be opened as an LMDB database'),
        (lambda p: (p / 'meta_info.txt').write_text('a.png (4,4,3) 1\n'), 'names 1 images, but data.mdb holds 4'),
        (lambda p: (p / 'meta_info.txt').write_text('coffee\n'), 'line 1: expected .*coffee'),
        (
            lambda p: (p / 'meta_info.txt').write_text('a.1.png (4,4,3) 1\na.2.png (4,4,3) 1\n'),
            "line 2: key 'a' occurs",
        ),
    ],
)
def test_damaged_databases(tmp_path, bright, spoil, words):
    path = write(tmp_path / 'gt.lmdb', bright)
    spoil(path)
    with pytest.raises(InputError, match=words) as caught:
        LmdbReader(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_missing_key_and_damaged_image(tmp_path, bright):
    path = write(tmp_path / 'gt.lmdb', bright)
    with (
        lmdb.open(str(path), map_size=1 << 28, lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b'coffee', b'\x89PNG no longer')
    reader = LmdbReader(path)
    with pytest.raises(InputError, match=rf"'{path}' has no image 'tea'"):
        reader.image('tea')
    with pytest.raises(InputError, match=rf'{path}/coffee: not a readable image'):
        reader.image('coffee')
    reader.image('rocket')


def test_a_stored_photograph_of_another_size_once_it_is_turned(tmp_path, bright):
    path = write(tmp_path / 'gt.lmdb', {'coffee': bright['coffee']})
    turned, file = PIL.Image.Exif(), io.BytesIO()
    turned[0x0112] = 6
    PIL.Image.fromarray(bright['coffee']).save(file, 'JPEG', exif=turned)
    with (
        lmdb.open(str(path), map_size=1 << 28, lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b'coffee', file.getvalue())
    with pytest.raises(InputError, match=r'gt\.lmdb/coffee is 200x240, but meta_info\.txt says 240x200'):
        LmdbReader(path).image('coffee')


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_children_read_what_the_parent_has_open(pairs, bright, method):
    reader = LmdbReader(pairs / 'gt.lmdb')
    reader.image('coffee')
    with multiprocessing.get_context(method).Pool(2) as pool:
        names = sorted(bright) * 3
        read = pool.starmap(image_bytes, [(reader, name) for name in names])
    assert read == [bright[name].tobytes() for name in names]
    np.testing.assert_array_equal(reader.image('rocket'), bright['rocket'])


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='forks')
def test_a_forked_child_opens_its_own_environment(pairs, bright):
    reader = LmdbReader(pairs / 'gt.lmdb')
    inherited = open_environment(pairs / 'gt.lmdb')
    child = os.fork()
    if child == 0:  # pragma: no cover (in the child)
        own = open_environment(pairs / 'gt.lmdb')
        good = own is not inherited and reader.image('coffee').tobytes() == bright['coffee'].tobytes()
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert open_environment(pairs / 'gt.lmdb') is inherited


def test_readers_travel_by_pickle(pairs, bright):
    reader = pickle.loads(pickle.dumps(LmdbReader(pairs / 'gt.lmdb')))
    np.testing.assert_array_equal(reader.image('coffee'), bright['coffee'])


def test_a_disk_that_is_full_from_the_start(tmp_path):
    """The name and the reason are told, without the temporary folder."""
    with small_disk(tmp_path / 'disk', '8k') as disk:
        (disk / 'filler').write_bytes(bytes(8192))
        path = disk / 'gt.lmdb'
        expected = rf"^'{path}' could not be written: No space left on device\. Free some space"
        with pytest.raises(InputError, match=expected), lmdb_writer(path):
            pass
        assert [each.name for each in disk.iterdir()] == ['filler']
