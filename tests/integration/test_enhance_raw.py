"""``entropy-sde enhance`` with a model of raw images: a tiny network of random weights on raw files made by script."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import rawpy
import tifffile
import torch

from entropy_sde_plugin.cli import main
from entropy_sde_plugin.data.raw_frame import read_frame
from entropy_sde_plugin.data.raw_noise import camera
from entropy_sde_plugin.inference.pictures.dng import develop_planes
from entropy_sde_plugin.inference.raw_enhancer import RawEnhancer
from entropy_sde_plugin.options.exposure import ExposureOptions, LadderOptions
from tests.support.exposure import random_exposure_network
from tests.support.networks import random_network
from tests.support.pictures import write_png
from tests.support.raw_files import with_tag, write_dng

SETTINGS = ExposureOptions(LadderOptions(keep_negative=True)).settings()


@pytest.fixture
def night(tmp_path, monkeypatch):
    """A folder with two dark raw files, beside the weights, in the working directory."""
    monkeypatch.chdir(tmp_path)
    torch.save({'params': random_exposure_network().state_dict(), 'entropy_sde': SETTINGS}, 'raw.pth')
    rng = np.random.default_rng(0)
    for name, pattern in (('a', 'RGGB'), ('b', 'GBRG')):
        mosaic = 512 + rng.poisson(60, (44, 60))
        write_dng(tmp_path / 'night' / f'{name}.dng', mosaic, pattern=pattern, time=0.04, iso=1600)
    return tmp_path / 'night'


def enhance(*arguments, source='night'):
    model = () if '--model' in arguments else ('--model', 'raw.pth')
    return main(['enhance', '-i', source, '-o', 'out', *model, '--precision', 'fp32', *arguments])


def restored(path, **options):
    frame = read_frame(path, keep_negative=True)
    return frame, RawEnhancer.from_file('raw.pth', precision='fp32').enhance(frame, **options)


def test_raw_files_become_developed_images_of_16_bits(night):
    assert enhance('--ratio', '90', '--gain', '2', '--seed', '3') == 0
    for name in 'ab':
        frame, planes = restored(night / f'{name}.dng', ratio=90, gain=2.0, seed=3)
        image = cv2.imread(f'out/{name}.png', cv2.IMREAD_UNCHANGED)[..., ::-1]
        assert (image.dtype, image.shape) == (np.uint16, (44, 60, 3))
        np.testing.assert_array_equal(image, develop_planes(planes, frame))
        assert image.mean() > 5000  # brightened
    with PIL.Image.open('out/a.png') as written:
        assert written.getexif()[271] == 'Synthetic'


def test_before_and_after_in_8_bits(night, capsys):
    assert enhance('--ratio', '90', '--ext', 'jpg', '--compare') == 0
    assert 'night/a.dng: 16 bits are rounded to the 8 of .jpg.' in capsys.readouterr().err
    image, both = (cv2.imread(f'out/{name}.jpg', cv2.IMREAD_UNCHANGED) for name in ('a', 'a_compare'))
    assert (image.dtype, image.shape, both.shape) == (np.uint8, (44, 60, 3), (44, 120, 3))
    before, after = both[:, :60].astype(float), both[:, 60:].astype(float)
    assert np.abs(after - image).mean() < 5  # JPEG
    assert before.mean() < after.mean() / 2


def test_a_dng_file_keeps_what_the_raw_file_says(night):
    assert enhance('--ratio', '90', '--gain', '2', '--ext', 'dng', '--compare') == 0
    assert {path.name for path in Path('out').iterdir()} == {'a.dng', 'a_compare.png', 'b.dng', 'b_compare.png'}
    _, planes = restored(night / 'b.dng', ratio=90, gain=2.0)
    written = read_frame(Path('out/b.dng'))
    np.testing.assert_allclose(written.planes, planes, atol=0.6 / (16383 - 512))
    with rawpy.imread('night/b.dng') as old, rawpy.imread('out/b.dng') as new:
        np.testing.assert_array_equal(new.raw_pattern, old.raw_pattern)
        assert (new.black_level_per_channel, new.white_level) == (old.black_level_per_channel, old.white_level)
        np.testing.assert_allclose(new.color_matrix, old.color_matrix, atol=1e-5)
        assert new.other.shutter_speed == old.other.shutter_speed
    assert tifffile.imread('out/b.dng').shape == (44, 60)
    assert written.metadata.iso == 1600


def test_the_automatic_ratio_is_told_and_finished_files_stay(night, capsys):
    assert enhance('--camera', 'SonyA7S2') == 0
    out, err = capsys.readouterr()
    told = [line for line in out.splitlines() if ': ratio ' in line]
    assert [line.split(':')[0] for line in told] == ['night/a.dng', 'night/b.dng']
    assert 'warning' not in err
    assert enhance('--camera', 'SonyA7S2') == 0
    assert (
        capsys.readouterr().out == 'out: 0 images enhanced, 2 were there already (--overwrite enhances them again).\n'
    )
    assert enhance('--camera', 'SonyA7S2', '--overwrite', '-q') == 0
    assert capsys.readouterr() == ('', '')


def test_the_gain_is_the_camera_s_at_the_file_s_iso(night):
    files = []
    for arguments in (['--camera', 'SonyA7S2'], ['--gain', str(camera('SonyA7S2').gain_at(1600))], ['--gain', '40']):
        assert enhance('--ratio', '90', '--overwrite', *arguments, source='night/a.dng') == 0
        files.append(Path('out/a.png').read_bytes())
    assert files[0] == files[1] != files[2]


def test_what_cannot_be_restored_is_one_line_each_and_the_rest_is_done(night, capsys):
    """A linear and an X-Trans file, other colours, one cut off, one in GoPro's compression (VC-5), a bright one."""
    write_dng(night / 'linear.dng', np.full((44, 60, 3), 600))
    write_dng(night / 'xtrans.dng', np.full((48, 60), 600), pattern='XTRANS')
    write_dng(night / 'colours.dng', np.full((44, 60), 600), pattern='GMCY')
    write_dng(night / 'bright.dng', np.full((44, 60), 16000))
    whole = (night / 'a.dng').read_bytes()
    (night / 'cut.dng').write_bytes(whole[: len(whole) // 2])
    (night / 'gopro.dng').write_bytes(with_tag(whole, 259, 259, 9))
    assert enhance('-q') == 1
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith('warning')]
    assert [line.split('.dng: ')[0] for line in said[:-1]] == [
        f'skipped: night/{name}' for name in ('bright', 'colours', 'cut', 'gopro', 'linear', 'xtrans')
    ]
    for line, words in zip(
        said,
        (
            'bright enough already',
            'colours GMCY',
            'LibRaw reads',
            'LibRaw reads',
            'a linear raw file',
            'an X-Trans mosaic',
            'error: 6 of 8 images were skipped',
        ),
        strict=True,
    ):
        assert words in line
    assert {path.name for path in Path('out').iterdir()} == {'a.png', 'b.png'}


@pytest.mark.parametrize('extension', ['auto', 'png', 'dng'])
def test_of_raw_files_with_jpeg_beside_them_a_folder_s_are_restored(night, capsys, extension):
    for name in ('a.jpg', 'b.png'):
        write_png(night / name, np.zeros((8, 8, 3), np.uint8))
    (night / 'notes.txt').touch()
    assert enhance('--ratio', '90', '--gain', '2', '--ext', extension) == 0
    *_, total, not_pictures, not_raw = capsys.readouterr().out.splitlines()
    assert total == 'out: 2 images enhanced.'
    assert not_pictures == 'Ignored (not images): 1 file: night/notes.txt'
    assert not_raw == (
        'Ignored (not raw files, and the model restores nothing else): 2 files: night/a.jpg, night/b.png'
    )
    written = extension.replace('auto', 'png')
    assert {path.name for path in Path('out').iterdir()} == {f'a.{written}', f'b.{written}'}


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--brightness', '0.3'], 'brightness: a model of raw images has no such option; leave it out.'),
        (['--strength', '1'], 'strength: a model of raw images has no such option; leave it out.'),
        (['--sampler', 'ddim'], 'sampler: a model of raw images has no such option; leave it out.'),
        (['--stride', '16'], 'stride: a model of raw images has no such option; leave it out.'),
        (['--ratio', '1'], 'An exposure ratio must be above 1 and at most 65535, got 1.'),
        (['--gain', '-2'], 'A gain must be from 0.001 to 1000 ADU per photon, got -2.'),
        (['--camera', 'Sony'], "There is no camera 'Sony'. Did you mean 'SonyA7S2'?"),
        (['--camera', 'none.json'], 'The camera file none.json cannot be read'),
        (['--camera', 'pipe.json'], 'The camera file pipe.json cannot be read: it is a pipe, not a file.'),
        (['--camera', 'a\0.json'], 'The camera file a%00.json cannot be read: its name has a zero byte.'),
        (['--steps', '0'], "Option 'sampler.steps': expected a whole number >= 1"),
        (['-i', 'a.jpg', 'night/a.dng'], "'a.jpg' is not a camera raw file, and a model of raw images restores"),
        (['-i', 'pictures'], "'pictures' holds no camera raw files, and a model of raw images restores nothing"),
        (['-i', 'a.gpr'], "'a.gpr': LibRaw does not read GoPro's compression; convert it to DNG."),
        (['-i', 'a.raw'], "'a.raw': LibRaw would have to guess the size and the pattern"),
        (['--model', 'rgb.pth', '--ratio', '90'], 'ratio: only a model of raw images has this option'),
        (['--model', 'rgb.pth', '--ext', 'dng'], 'ext: only a model of raw images writes DNG files'),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(night, capsys, arguments, words):
    torch.save(random_network().state_dict(), 'rgb.pth')
    for name in ('a.jpg', 'pictures/a.jpg'):
        write_png(Path(name), np.zeros((8, 8, 3), np.uint8))
    os.mkfifo('pipe.json')
    for name in ('a.gpr', 'a.raw'):
        Path(name).touch()
    assert enhance(*arguments) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if 'has no settings' not in line]
    assert len(error) == 1
    assert error[0].startswith(f'error: {words}')
    assert not Path('out').exists()


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--ratio', 'bright'], "'bright' is neither auto nor a number above 1"),
        (['--model', 'exposur'], "there is no 'exposur'; did you mean 'exposure'?"),
    ],
)
def test_a_wrong_command_line(night, capsys, arguments, words):
    with pytest.raises(SystemExit) as caught:
        enhance(*arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_without_that_model_raw_files_of_every_kind_are_developed(night):
    torch.save(random_network().state_dict(), 'rgb.pth')
    write_dng(night / 'linear.dng', np.full((44, 60, 3), 600))
    assert enhance('--model', 'rgb.pth', '--steps', '1') == 0
    assert {path.name for path in Path('out').iterdir()} == {'a.png', 'b.png', 'linear.png'}
