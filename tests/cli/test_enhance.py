"""``entropy-sde enhance``, with a gamma curve in the place of the network."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from entropy_sde_plugin.cli import main
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.inference import run
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions
from entropy_sde_plugin.inference.jobs import EXTENSIONS
from entropy_sde_plugin.options.diffusion import SamplerOptions
from tests.support.commands import ROOT, TORCHRUN, python
from tests.support.machines import machine
from tests.support.networks import random_network
from tests.support.pictures import write_png


class StandIn:
    """Takes the place of the enhancer, and remembers its options."""

    built: list = []  # noqa: RUF012

    def __init__(self, model, options):
        self.built.append({'model': model.name, **vars(options)})

    @staticmethod
    def enhance(image, *, seed=0):
        top = np.iinfo(image.dtype).max
        return np.rint(top * (image / top) ** 0.45).astype(image.dtype) ^ image.dtype.type(seed)


class StandInModel:
    """Takes the place of a model of RGB images."""

    restores_raw = False

    def __init__(self, path):
        self.name = path.name


@pytest.fixture
def built(monkeypatch):
    """The enhancers that the command builds."""
    monkeypatch.setattr(run, 'load_model', StandInModel)
    monkeypatch.setattr(run, 'Enhancer', StandIn)
    monkeypatch.setattr(StandIn, 'built', [])
    for name in ('RANK', 'WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    return StandIn.built


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of three dark images beside an empty file of weights, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path('net.pth').touch()
    for name in ('a.png', 'b.png', 'sub/c.png'):
        write_png(tmp_path / 'photos' / name, photograph('coffee')[:24, :32] // 8)
    return tmp_path / 'photos'


def enhance(*arguments):
    model = () if '--model' in arguments else ('--model', 'net.pth')
    return main(['enhance', '-i', 'photos', '-o', 'out', *model, *arguments])


@pytest.mark.parametrize(('text', 'brightness'), [('keep', 'keep'), ('0.3', 0.3), ('auto', 'auto'), ('model', 'model')])
def test_brightness_and_strength_reach_the_enhancer(photos, built, text, brightness):
    assert enhance('--brightness', text, '--strength', '0.5') == 0
    sampler = built[0]['sampler']
    assert (sampler.brightness, sampler.strength) == (brightness, 0.5)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--brightness', 'dim'], "'dim' is neither auto, model, keep nor a number"),
        (['--brightness', '2'], "'2' is neither auto, model, keep nor a number from 0.05 to 0.95"),
        (['--brightness', 'nan'], "'nan' is neither"),
        (['--strength', '-1'], "'sampler.strength'"),
    ],
)
def test_wrong_brightness_and_strength_are_named(photos, built, capsys, arguments, message):
    try:
        code = enhance(*arguments)
    except SystemExit as end:
        code = end.code
    assert code != 0
    assert message in capsys.readouterr().err
    assert not Path('out').exists()


def test_a_folder_is_brightened_and_resumed(photos, built, capsys):
    assert enhance() == 0
    assert 'out: 3 images enhanced.' in capsys.readouterr().out
    for name in ('a.png', 'b.png', 'sub/c.png'):
        dark, bright = cv2.imread(f'photos/{name}'), cv2.imread(f'out/{name}')
        np.testing.assert_array_equal(bright, StandIn.enhance(dark))

    (photos.parent / 'out' / 'b.png').unlink()
    assert enhance() == 0
    assert '1 image enhanced, 2 were there already (--overwrite enhances them again).' in capsys.readouterr().out
    assert enhance() == 0
    assert '0 images enhanced, 3 were there already' in capsys.readouterr().out

    assert enhance('--overwrite', '--seed', '3') == 0
    np.testing.assert_array_equal(cv2.imread('out/a.png'), StandIn.enhance(cv2.imread('photos/a.png'), seed=3))


def test_files_that_are_no_pictures_are_counted_and_named_at_the_end(photos, built, capsys):
    for name in ('film.mov', 'sub/notes.txt'):
        (photos / name).touch()
    assert enhance() == 0
    _, last = capsys.readouterr().out.splitlines()
    assert last == 'Ignored (not images): 2 files: photos/film.mov, photos/sub/notes.txt'


def test_every_option_reaches_its_place(photos, built, monkeypatch):
    assert enhance() == 0
    defaults = vars(EnhancerOptions())
    machine(monkeypatch, 'cuda', 2)
    how = [
        '--sampler',
        'ddim',
        '--steps',
        '8',
        '--tile',
        '512',
        '--stride',
        '64',
        '--device',
        'cuda:1',
        '--precision',
        'bf16',
        '--compile',
    ]
    assert enhance(*how, '--suffix', '_bright', '--ext', 'webp', '--compare') == 0
    assert built == [
        {'model': 'net.pth', **defaults},
        {
            'model': 'net.pth',
            'device': torch.device('cuda:1'),
            'precision': 'bf16',
            'sampler': SamplerOptions(type='ddim', steps=8, brightness='auto'),
            'tile': 512,
            'stride': 64,
            'compile': True,
        },
    ]
    made = {path.name for path in (photos.parent / 'out').rglob('*.webp')}
    assert made == {f'{name}_bright{mark}.webp' for name in 'abc' for mark in ('', '_compare')}


def test_an_unreadable_picture_is_named_and_the_exit_code_tells(photos, built, capsys):
    (photos / 'bad.jpg').write_text('Dear diary,')
    assert enhance() == 1
    out, err = capsys.readouterr()
    assert 'skipped: photos/bad.jpg: not a JPEG' in err
    assert err.splitlines()[-1] == 'error: 1 of 4 images were skipped; see the errors above.'
    assert 'out: 3 images enhanced.' in out


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('pipe.png', "'pipe.png': it is a pipe, not a file."),
        ('loop.png', "'loop.png': it is a link to itself."),
        ('dangling.png', "'dangling.png': it is a link to a missing file."),
        ('/dev/null', "'/dev/null': it is a device, not a file."),
    ],
)
def test_what_stands_in_the_place_of_a_picture_is_said(photos, built, capsys, name, words):
    os.mkfifo('pipe.png')
    Path('loop.png').symlink_to('loop.png')
    Path('dangling.png').symlink_to('nowhere.png')
    assert main(['enhance', '-i', name, '-o', 'out', '--model', 'm']) == 1
    assert capsys.readouterr().err == f'error: {words}\n'


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['-i', 'photos', '-o', 'photos', '--model', 'm'], "'photos' is the input folder and the output folder"),
        (['-i', 'photos/a.png', '-o', 'photos', '--model', 'm'], "'photos/a.png' would replace the input"),
        (['-i', 'fotos', '-o', 'out', '--model', 'm'], "'fotos': there is no such file or folder"),
        (['-i', 'photos', '-o', 'out', '--model', 'm', '--ext', 'pgn'], "Did you mean 'png'"),
        (['-i', 'photos', '-o', 'loop', '--model', 'net.pth'], "'loop' is not a folder"),
        (['-i', 'photos', '-o', 'photos/a.png/out', '--model', 'net.pth'], "'photos/a.png' is not a folder"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(photos, built, capsys, arguments, words):
    Path('loop').symlink_to('loop')
    before = {path: path.lstat().st_mtime_ns for path in photos.parent.rglob('*')}
    assert main(['enhance', *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert words in error
    assert error.count('\n') == 1
    assert {path: path.lstat().st_mtime_ns for path in photos.parent.rglob('*')} == before


def test_a_model_that_is_not_there_leaves_no_folder(photos, capsys):
    Path('net.pth').unlink()
    assert enhance() == 1
    assert "error: Weights 'net.pth' do not exist" in capsys.readouterr().err
    assert not (photos.parent / 'out').exists()


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        (['--sampler', 'ddmi'], "Option 'sampler.type': 'ddmi' is not one of its values. Did you mean 'ddim'?"),
        (['--steps', '0'], "Option 'sampler.steps': expected a whole number >= 1, but it is 0."),
        (['--tile', '3'], "tile: '3' is neither auto"),
        (['--device', 'gpu'], "device: there is no 'gpu'."),
        (['--model', 'nowhere.pth'], "Weights 'nowhere.pth' do not exist"),
    ],
)
def test_wrong_options_are_reported_where_nothing_is_left_to_do(photos, capsys, option, expected):
    torch.save(random_network().state_dict(), 'net.pth')
    for name in ('a.png', 'b.png', 'sub/c.png'):
        write_png(Path('out') / name, photograph('coffee')[:24, :32])
    assert enhance() == 0
    assert enhance(*option) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f'error: {expected}')


@pytest.mark.parametrize(
    'option', [['--tile', '-1'], ['--tile', 'big'], ['--seed', '-1'], ['--steps', 'x'], ['--cheese']]
)
def test_wrong_options_are_refused_at_once(photos, built, capsys, option):
    with pytest.raises(SystemExit) as caught:
        enhance(*option)
    assert caught.value.code == 2
    assert option[0] in capsys.readouterr().err
    assert not built


TORCHRUN_SCRIPT = """
import os, sys, time
import numpy as np
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.inference import run
from tests.cli.test_enhance import StandInModel

class Enhancer:
    def __init__(self, model, options):
        pass

    def enhance(self, image, *, seed=0):
        time.sleep(0.5 if os.environ['RANK'] == '0' else 0)
        return np.rint(255 * (image / 255) ** 0.45).astype(np.uint8)

run.load_model, run.Enhancer = StandInModel, Enhancer
sys.exit(main(sys.argv[1:]))
"""


def test_torchrun_shares_a_folder_out(photos, built):
    """The bytes are those of one process, and the bad image of one process does not stop the others.

    The second process has met the bad image long before the first is through.
    """
    for name in 'de':
        write_png(photos / 'sub' / f'{name}.png', photograph('coffee')[:24, :32] // 8)
    (photos / 'b.png').write_text('Dear diary,')
    assert enhance() == 1
    here = photos.parent
    (here / 'out').rename(here / 'expected')
    (here / 'run.py').write_text(TORCHRUN_SCRIPT)
    arguments = ['enhance', '-i', 'photos', '-o', 'out', '--model', 'net.pth']
    code, out, err = python(*TORCHRUN, 'run.py', *arguments, cwd=here, PYTHONPATH=str(ROOT))
    assert code != 0
    expected, made = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*.png')}
        for folder in (here / 'expected', here / 'out')
    )
    assert len(expected) == 4
    assert made == expected, err
    assert out.strip() == 'out: 4 images enhanced.'
    assert 'skipped: photos/b.png' in err
    assert err.count('error: 1 of 5 images were skipped') == 1
    assert '3 of 3 images in' in err  # the progress of the first process
    assert '2 of 2 images in' not in err


def test_help_lists_the_formats_of_the_output(capsys):
    with pytest.raises(SystemExit):
        main(['enhance', '--help'])
    assert f'--ext {"|".join(EXTENSIONS)}\n' in capsys.readouterr().out
