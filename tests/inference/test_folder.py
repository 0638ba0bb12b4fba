"""Many images: which become which, resuming, sharing out. A gamma curve stands in for the network."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.folder import enhance_images, open_picture
from entropy_sde_plugin.inference.jobs import LeftOut, plan
from entropy_sde_plugin.inference.pictures.picture import Picture, read_picture, write_picture
from entropy_sde_plugin.inference.shard import Share
from tests.support.commands import ROOT
from tests.support.machines import machine
from tests.support.pictures import write_png


def gamma(rgb, seed):
    """Brighten, and add noise of the seed, so that a seed that changes is seen."""
    top = np.iinfo(rgb.dtype).max
    noise = np.random.default_rng(seed).normal(0, 0.01, rgb.shape)
    return np.rint(top * np.clip((rgb / top) ** 0.45 + noise, 0, 1)).astype(rgb.dtype)


def enhance_pictures(jobs, enhance, **options):
    return enhance_images(jobs, lambda job: open_picture(job, enhance), **options)


@pytest.fixture
def photos(tmp_path):
    """A tree of four images of different kinds."""
    photo = photograph('coffee')[:40, :60] // 4
    folder = tmp_path / 'photos'
    write_png(folder / 'b.png', photo)
    write_png(folder / 'a.webp', photo)
    write_png(folder / 'trip' / 'deep' / 'c.JPG', photo)
    (folder / 'trip' / 'd.tif').parent.mkdir(exist_ok=True)
    write_picture(Picture(photo.astype(np.uint16) * 200), folder / 'trip' / 'd.tif')
    (folder / 'notes.txt').write_text('not an image')
    write_png(folder / '.hidden' / 'x.png', photo)
    write_png(folder / '.x.png', photo)
    return folder


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files(folder)}


# --- which become which -----------------------------------------------------------------------------------------------


def test_the_tree_below_a_folder_is_kept(photos, tmp_path):
    out = tmp_path / 'out'
    assert enhance_pictures(plan([photos], out), gamma, show_progress=False) == 0
    assert files(out) == {'a.webp', 'b.png', 'trip/d.tif', 'trip/deep/c.JPG'}
    for name in ('a.webp', 'b.png'):
        source = cv2.imread(str(photos / name))[..., ::-1]
        np.testing.assert_array_equal(cv2.imread(str(out / name))[..., ::-1], gamma(source, 0))
    assert read_picture(out / 'trip' / 'd.tif').rgb.dtype == np.uint16
    with PIL.Image.open(out / 'trip' / 'deep' / 'c.JPG') as file:
        assert file.format == 'JPEG'


def test_what_is_no_picture_is_noted(photos, tmp_path):
    (photos / 'trip' / 'film.mov').touch()
    (photos / 'link').symlink_to(photos / 'trip')
    left_out = LeftOut()
    assert len(plan([photos, photos, photos / 'b.png'], photos / 'out', left_out=left_out)) == 4
    assert left_out.not_raw == []
    assert left_out.others == [photos / 'link', photos / 'notes.txt', photos / 'trip' / 'film.mov']


def test_every_suffix_of_jpeg_stays_and_what_is_not_written_becomes_png(tmp_path):
    photo = PIL.Image.fromarray(photograph('coffee')[:16, :24])
    (tmp_path / 'in').mkdir()
    for suffix in ('jpg', 'JPEG', 'jpe', 'Jfif', 'jif'):
        photo.save(tmp_path / 'in' / f'{suffix}.{suffix}', 'JPEG')
    photo.save(tmp_path / 'in' / 'a.AVIF')
    photo.save(tmp_path / 'in' / 'b.bmp')
    golden = ROOT / 'tests' / 'golden'
    jobs = plan([tmp_path / 'in', golden / 'images', golden / 'raw' / 'halide_grbg.dng'], tmp_path / 'out')
    assert enhance_pictures(jobs, gamma, show_progress=False) == 0
    kinds = {path.name: PIL.Image.open(path).format for path in (tmp_path / 'out').iterdir()}
    as_jpeg = ('jpg.jpg', 'JPEG.JPEG', 'jpe.jpe', 'Jfif.Jfif', 'jif.jif')
    as_png = ('a.png', 'b.png', 'turned.png', 'ten_bits.png', 'halide_grbg.png')
    assert kinds == dict.fromkeys(as_jpeg, 'JPEG') | dict.fromkeys(as_png, 'PNG')
    assert read_picture(tmp_path / 'out' / 'halide_grbg.png').rgb.dtype == np.uint16


def test_suffix_and_extension(photos, tmp_path):
    PIL.Image.fromarray(photograph('coffee')[:8, :8]).save(photos / 'e.bmp')
    jobs = plan([photos / 'b.png', photos / 'trip', photos / 'e.bmp'], tmp_path, suffix='_bright', compare=True)
    assert [str(job.target.relative_to(tmp_path)) for job in jobs] == [
        'b_bright.png',
        'd_bright.tif',
        'deep/c_bright.JPG',
        'e_bright.png',
    ]
    assert jobs[0].comparison == tmp_path / 'b_bright_compare.png'
    jobs = plan([photos], tmp_path / 'out', extension='png')
    assert {job.target.suffix for job in jobs} == {'.png'}


def test_the_same_input_twice_is_done_once(photos, tmp_path):
    assert plan([photos, photos, photos / 'b.png'], tmp_path / 'out') == plan([photos], tmp_path / 'out')


def test_collisions_are_errors_before_any_work(photos, tmp_path):
    write_png(photos / 'b.jpg', photograph('coffee')[:8, :8])
    plan([photos], tmp_path / 'out')
    faulty = r"b\.jpg' and '.*b\.png' would both be written to '.*out/b\.webp'; rename one, or try --ext auto\."
    with pytest.raises(InputError, match=faulty):
        plan([photos], tmp_path / 'out', extension='webp')
    for name in ('e.dng', 'e.arw'):
        (photos / name).touch()
    for extension in ('auto', 'dng'):  # auto would write PNG for both
        with pytest.raises(InputError, match=r"would both be written to '.*out/e\.(png|dng)'; rename one\.$"):
            plan([photos], tmp_path / 'out', extension=extension, raw_only=True)
    for name in ('e.dng', 'e.arw'):
        (photos / name).unlink()
    write_png(tmp_path / 'more' / 'b.png', photograph('coffee')[:8, :8])
    with pytest.raises(InputError, match='would both be written to'):
        plan([photos, tmp_path / 'more'], tmp_path / 'out')
    write_png(photos / 'b_compare.png', photograph('coffee')[:8, :8])
    with pytest.raises(InputError, match=r"b\.png' and '.*b_compare\.png' would both be written to"):
        plan([photos], tmp_path / 'out', compare=True)
    assert not (tmp_path / 'out').exists()


def test_what_is_in_the_way_of_an_output_is_an_error_before_any_work(photos, tmp_path):
    (tmp_path / 'out' / 'b.png').mkdir(parents=True)
    (tmp_path / 'out' / 'trip').touch()
    with pytest.raises(InputError) as caught:
        plan([photos], tmp_path / 'out')
    assert caught.value.faults == [
        f"'{tmp_path}/out/b.png' would be written, but is a folder; choose another -o or --suffix.",
        f"'{tmp_path}/out/trip' is not a folder; choose another output folder.",
    ]


def test_an_input_is_never_overwritten(photos, tmp_path):
    before = contents(photos)
    for inputs, output, options in [
        ([photos], photos, {}),
        ([photos], photos / 'trip' / '..', {'suffix': '_x'}),
        ([photos / 'b.png'], photos, {}),
        ([photos / 'trip'], photos / 'trip', {}),
        ([photos / 'trip' / 'd.tif', photos / 'trip' / 'deep' / 'c.JPG'], photos / 'trip', {}),
    ]:
        with pytest.raises(InputError, match=r'input folder and the output folder|would replace the input'):
            plan(inputs, output, **options)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'b.png').symlink_to(photos / 'b.png')
    with pytest.raises(InputError, match='would replace the input'):
        plan([photos], tmp_path / 'out')
    assert contents(photos) == before


def test_an_output_folder_among_the_inputs_is_no_input(photos):
    out = photos / 'out'
    enhance_pictures(plan([photos], out), gamma, show_progress=False)
    assert files(out) == {'a.webp', 'b.png', 'trip/d.tif', 'trip/deep/c.JPG'}
    assert all(job.is_done for job in plan([photos], out))
    enhance_pictures(plan([photos], out), gamma, show_progress=False)
    assert len(files(out)) == 4


def test_inputs_that_are_none(photos, tmp_path):
    (tmp_path / 'empty').mkdir()
    given = [tmp_path / 'missing.png', tmp_path / 'empty', photos / 'notes.txt', photos]
    with pytest.raises(InputError) as caught:
        plan(given, tmp_path / 'out')
    missing, empty, notes = str(caught.value).splitlines()
    assert 'missing.png' in missing
    assert 'holds no images' in empty
    assert 'notes.txt' in notes
    with pytest.raises(InputError, match=r"--ext: 'pgn' is not known\. Did you mean 'png'"):
        plan([photos], tmp_path / 'out', extension='pgn')
    with pytest.raises(InputError, match='the output name is too long'):
        plan([photos], tmp_path / 'out', suffix='x' * 237)
    for suffix in ('/up', '../x', 'a\0b'):
        with pytest.raises(InputError, match='--suffix'):
            plan([photos], tmp_path / 'out', suffix=suffix)


# --- the work ---------------------------------------------------------------------------------------------------------


def test_unreadable_files_are_named_and_the_others_done(photos, tmp_path, capsys):
    whole = (photos / 'b.png').read_bytes()
    (photos / 'cut.png').write_bytes(whole[: len(whole) // 2])
    (photos / 'empty.jpg').touch()
    (photos / 'text.jpg').write_text('Dear diary,')
    (photos / 'gone.png').symlink_to(photos / 'nowhere.png')
    os.mkfifo(photos / 'pipe.png')
    write_png(photos / 'folder.png' / 'inside.png', photograph('coffee')[:8, :8])
    (photos / 'clear.jpg').write_bytes(cv2.imencode('.png', np.full((8, 8, 4), 99, np.uint8))[1].tobytes())

    assert enhance_pictures(plan([photos], tmp_path / 'out'), gamma) == 6
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith('skipped: ')]
    assert [Path(line.split(': ')[1]).name for line in said] == [
        'clear.jpg', 'cut.png', 'empty.jpg', 'gone.png', 'pipe.png', 'text.jpg'
    ]  # fmt: skip
    assert 'partly transparent' in said[0]
    expected = {'a.webp', 'b.png', 'trip/d.tif', 'trip/deep/c.JPG', 'folder.png/inside.png'}
    assert files(tmp_path / 'out') == expected


def test_progress_is_shown_unless_it_is_not_wanted(photos, tmp_path, capsys):
    jobs = plan([photos], tmp_path / 'out')
    enhance_pictures(jobs, gamma)
    assert f'{len(jobs)} of {len(jobs)} images in 00:0' in capsys.readouterr().err
    enhance_pictures(plan([photos], tmp_path / 'out'), gamma, show_progress=False)
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('error', [MemoryError('no memory'), RuntimeError('CUDA out of memory'), InputError('bad')])
def test_errors_of_the_enhancer_end_the_work(photos, tmp_path, error):
    def failing(rgb, seed):
        raise error

    with pytest.raises(type(error), match=str(error)):
        enhance_pictures(plan([photos], tmp_path / 'out'), failing, show_progress=False)
    assert not files(tmp_path / 'out')


def test_before_and_after_side_by_side(photos, tmp_path):
    jobs = plan([photos / 'b.png', photos / 'trip'], tmp_path / 'out', compare=True)
    enhance_pictures(jobs, gamma, show_progress=False)
    for job in jobs:
        before, after, both = (read_picture(path) for path in (job.source, *job.outputs))
        assert both.rgb.dtype == before.rgb.dtype
        if job.target.suffix != '.JPG':
            np.testing.assert_array_equal(both.rgb, np.hstack((before.rgb, after.rgb)))


def test_a_comparison_that_is_too_wide_is_named(tmp_path, capsys):
    wide = tmp_path / 'wide.webp'
    write_picture(Picture(np.zeros((1, 9000, 3), np.uint8)), wide)
    assert enhance_pictures(plan([wide], tmp_path / 'out', compare=True), gamma, show_progress=False) == 1
    assert f'{wide}, before and after side by side: more than 16383 pixels a side' in capsys.readouterr().err
    assert enhance_pictures(plan([wide], tmp_path / 'out'), gamma, show_progress=False) == 0


def test_alpha_and_gray_go_around_the_enhancer(tmp_path):
    alpha = np.random.default_rng(0).integers(0, 65536, (8, 9)).astype(np.uint16)
    gray = np.random.default_rng(1).integers(0, 65536, (8, 9)).astype(np.uint16)
    write_picture(Picture(np.dstack([gray] * 3), gray=True), tmp_path / 'gray.png')
    write_picture(Picture(np.dstack([gray] * 3), alpha=alpha), tmp_path / 'clear.png')

    def invert(rgb, seed):
        assert rgb.shape == (8, 9, 3)
        return 65535 - rgb

    enhance_pictures(plan([tmp_path / 'gray.png', tmp_path / 'clear.png'], tmp_path / 'out'), invert)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out' / 'gray.png'), -1), 65535 - gray)
    clear = cv2.imread(str(tmp_path / 'out' / 'clear.png'), -1)
    np.testing.assert_array_equal(clear[..., 3], alpha)
    np.testing.assert_array_equal(clear[..., 0], 65535 - gray)


def test_a_picture_comes_out_the_same_whatever_the_order_and_company(photos, tmp_path):
    jobs = plan([photos], tmp_path / 'all')
    enhance_pictures(jobs[::-1], gamma, seed=5, show_progress=False)
    enhance_pictures(plan([photos / 'trip'], tmp_path / 'some' / 'trip'), gamma, seed=5, show_progress=False)
    assert contents(tmp_path / 'some').items() <= contents(tmp_path / 'all').items()
    enhance_pictures(jobs, gamma, seed=6, show_progress=False)
    assert contents(tmp_path / 'some').items().isdisjoint(contents(tmp_path / 'all').items())


# --- interruption -----------------------------------------------------------------------------------------------------

WORK = """
import sys
from pathlib import Path
from entropy_sde_plugin.inference.jobs import plan
from tests.inference.test_folder import enhance_pictures, gamma

jobs = plan([Path(sys.argv[1])], Path(sys.argv[2]))
enhance_pictures([job for job in jobs if not job.is_done], gamma, seed=3)
"""


def start(photos, out):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-c', WORK, str(photos), str(out)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_killed_in_the_middle_it_leaves_whole_files_and_goes_on_from_there(tmp_path):
    big = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    for number in range(12):
        write_png(tmp_path / 'photos' / f'{number:02}.png', big)
    out = tmp_path / 'out'
    with start(tmp_path / 'photos', out) as process:
        deadline = time.monotonic() + 120
        while len(list(out.glob('*.png'))) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    done = list(out.glob('*.png'))
    assert 3 <= len(done) < 12
    made = {path: path.stat().st_mtime_ns for path in done}
    for path in done:
        np.testing.assert_array_equal(read_picture(path).rgb, gamma(big, 3))

    with start(tmp_path / 'photos', out) as process:
        assert process.wait(120) == 0
    assert len(list(out.glob('*.png'))) == 12
    assert {path: path.stat().st_mtime_ns for path in done} == made


# --- several processes ------------------------------------------------------------------------------------------------


def test_shares_cover_the_list_once(monkeypatch):
    items = list(range(11))
    parts = [Share(rank, 3).part(items) for rank in range(3)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.delenv('WORLD_SIZE', raising=False)
    assert Share.from_environment() == Share(0, 1)
    monkeypatch.setenv('RANK', '2')
    with pytest.raises(InputError, match='RANK=2 and WORLD_SIZE=1'):
        Share.from_environment()


def test_each_process_has_its_own_gpu(monkeypatch):
    machine(monkeypatch, 'xpu', 4)
    monkeypatch.setenv('LOCAL_RANK', '1')
    assert Share(5, 8).device('auto') == Share(5, 8).device('xpu') == 'xpu:1'
    assert Share(5, 8).device('cpu') == 'cpu'
    assert Share().device('auto') == 'auto'


def test_processes_share_a_device_that_is_the_only_one(monkeypatch):
    machine(monkeypatch, 'mps', 1)
    assert [Share(rank, 2).device('auto') for rank in range(2)] == ['auto', 'auto']
