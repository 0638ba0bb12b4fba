"""The ``entropy-sde`` command as a whole: its exit codes, how much it says, completion in a shell."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from entropy_sde_plugin import __version__, cli
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.utils import launchers
from tests.support.commands import TORCHRUN, python
from tests.support.networks import random_network
from tests.support.pictures import write_png


@pytest.fixture
def enhance(tmp_path, monkeypatch):
    """The arguments that enhance two small pictures, in a folder that holds them."""
    monkeypatch.chdir(tmp_path)
    for name in 'ab':
        write_png(tmp_path / f'dark/{name}.png', photograph('coffee')[:24, :32] // 8)
    network = random_network(width=4, enc_blk_nums=[1], middle_blk_num=0, dec_blk_nums=[0])
    settings = {'sde': {'T': 4}, 'prediction': 'x0'}
    torch.save({'params': network.state_dict(), 'entropy_sde': settings}, tmp_path / 'net.pth')
    return ['enhance', '-i', 'dark', '-o', 'out', '--model', 'net.pth', '--steps', '1', '--overwrite']


def test_how_much_is_said(enhance, capsys):
    assert cli.main([*enhance, '-q']) == 0
    assert capsys.readouterr() == ('', '')
    assert cli.main(enhance) == 0
    assert capsys.readouterr() == ('out: 2 images enhanced.\n', '2 of 2 images in 00:00\n')
    assert cli.main([*enhance, '-v']) == 0
    said = capsys.readouterr().err
    assert 'net.pth: posterior in 1 steps, ' in said
    assert 'dark/a.png: 32x24 pixels in ' in said
    shown = warnings.formatwarning
    assert cli.main(enhance) == 0
    assert warnings.formatwarning is shown
    assert 'dark/a.png' not in capsys.readouterr().err


def test_quiet_still_says_what_went_wrong(enhance, tmp_path, capsys):
    (tmp_path / 'dark/c.png').write_text('Dear diary,')
    assert cli.main([*enhance, '-q']) == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 2
    assert 'skipped: dark/c.png' in err


def test_every_verb_takes_quiet_and_verbose():
    def leaves(parser):
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        return [leaf for action in below for verb in action.choices.values() for leaf in leaves(verb)] or [parser]

    found = leaves(cli._parser())
    assert len(found) > len(cli.VERBS)
    for parser in found:
        assert {'-q', '-v'} <= parser._option_string_actions.keys(), parser.prog


@pytest.mark.parametrize(
    ('error', 'code'), [(KeyboardInterrupt(), 130), (OSError(28, 'No space left on device', 'x'), 1), (None, 0)]
)
def test_exit_codes(monkeypatch, error, code):
    def run(options):
        if error:
            raise error

    monkeypatch.setattr('entropy_sde_plugin.cli.report.run', run)
    assert cli.main(['report', 'experiments/a']) == code


def test_several_processes_of_a_verb_that_shares_no_work_are_one_line(tmp_path):
    code, _, err = python(*TORCHRUN, '-m', 'entropy_sde_plugin.cli', 'demo-page', cwd=tmp_path)
    assert code == 1
    message = 'error: torchrun started 2 processes, and demo-page runs in one: start it without torchrun.'
    assert [line for line in err.splitlines() if line.startswith('error: ')] == [message]


def test_a_fault_of_one_process_alone_is_reported_after_a_while(monkeypatch, capsys):
    waits = []
    monkeypatch.setattr(launchers.time, 'sleep', waits.append)
    monkeypatch.setattr(launchers.signal, 'signal', lambda *_: None)
    for name, value in {'TORCHELASTIC_RUN_ID': 'x', 'RANK': '1', 'WORLD_SIZE': '2'}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(['enhance', '-i', 'nowhere', '-o', 'out']) == 1
    assert waits == [launchers.PATIENCE]
    assert capsys.readouterr().err == "error: 'nowhere': there is no such file or folder.\n"


def test_sigterm_leaves_no_half_written_file(tmp_path):
    """The signal comes when the file is written and has not its name yet."""
    program = (
        'import os, signal, sys\n'
        'from entropy_sde_plugin import cli\n'
        'from entropy_sde_plugin.utils.resources import packaged_model\n'
        'os.fsync = lambda _: os.kill(os.getpid(), signal.SIGTERM)\n'
        'sys.argv[1:] = ["convert", str(packaged_model()), "converted.safetensors"]\n'
        'cli.main()\n'
    )
    code, out, err = python('-c', program, cwd=tmp_path)
    assert (code, out, err) == (143, '', '')
    assert list(tmp_path.iterdir()) == []


def test_sigterm_while_python_shuts_down_is_no_traceback(tmp_path, monkeypatch):
    """torchrun sends it to the others as soon as the first process has reported images that were skipped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['entropy-sde', 'enhance', '-i', 'nowhere', '-o', 'out'])
    assert cli.main() == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_called_by_another_program_it_leaves_that_ones_signals_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(['enhance', '-i', 'nowhere', '-o', 'out']) == 1
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    'arguments',
    [
        ['enhance', '-i', '', '-o', 'out'],
        ['enhance', '-i', 'dark', '-o', ''],
        ['enhance', '-i', 'dark', '-o', 'out', '--model', ''],
        ['evaluate', '--result', 'a', '--truth', ''],
        ['convert', '', 'b.safetensors'],
        ['export', '-o', ''],
        ['prepare', 'lolv1', ''],
        ['report', ''],
        ['demo', '-o', ''],
    ],
)
def test_an_empty_path_is_not_the_working_directory(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert 'the path is empty' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'name', 'expected'),
    [
        ('enhance -o out -i a b -i c', 'input', [Path('a'), Path('b'), Path('c')]),
        ('evaluate --result a --truth b --metrics psnr --metrics ssim', 'metrics', ['psnr', 'ssim']),
        ('prepare lolv1 a --splits train --splits test', 'splits', ['train', 'test']),
        ('calibrate -o c.json --flats a --flats b --darks c', 'flats', [Path('a'), Path('b')]),
        ('calibrate -o c.json --flats a --darks b --darks c', 'darks', [Path('b'), Path('c')]),
        ('bench-gpu -o out --parts loss --parts step', 'parts', ['loss', 'step']),
        ('demo --force_yml a=1 --force_yml b=2', 'force_yml', ['a=1', 'b=2']),
    ],
)
def test_a_list_that_is_given_in_two_pieces_is_whole(arguments, name, expected):
    """argparse would drop the first piece without a word."""
    assert getattr(cli._parser().parse_args(arguments.split()), name) == expected


@pytest.mark.parametrize(
    ('arguments', 'option'),
    [
        ('evaluate --result a --result b --truth c', '--result'),
        ('evaluate --result a --truth b --truth c', '--truth'),
        ('evaluate --result a --truth b --low c --low d', '--low'),
        ('evaluate --result a --truth b -o c --output d', '-o/--output'),
        ('enhance -i a -o b -o c', '-o/--output'),
        ('enhance -i a -o b --model lowlight --model exposure', '--model'),
        ('report a -o b.html -o c.html', '-o/--output'),
        ('prepare lolv1 a --out b --out c', '--out'),
    ],
)
def test_two_files_or_folders_where_one_is_taken_are_refused(arguments, option, capsys):
    """argparse would drop the first without a word."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments.split())
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith(f'argument {option}: is given twice, and takes one value\n')


@pytest.mark.parametrize(('arguments', 'code'), [(['--version'], 0), (['--help'], 0), ([], 2), (['enhance', '--x'], 2)])
def test_exit_codes_of_the_command_line(arguments, code, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == code
    if arguments == ['--version']:
        assert capsys.readouterr().out == f'entropy-sde {__version__}\n'


@pytest.mark.parametrize(
    ('line', 'offered'),
    [
        ('entropy-sde enh', {'enhance'}),
        ('entropy-sde evaluate --me', {'--metrics'}),
        ('entropy-sde prepare lolv2-s', {'lolv2-syn'}),
        ('entropy-sde report dar', {'dark'}),
    ],
)
def test_bash_completes(line, offered, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(['--print-completion', 'bash'])
    assert caught.value.code == 0
    (tmp_path / 'dark').mkdir()
    words = ' '.join(f"'{word}'" for word in line.split())
    script = f"""
        source /dev/stdin
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _shtab_entropy_sde entropy-sde "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    completed = subprocess.run(
        ['bash', '-c', script], input=capsys.readouterr().out, cwd=tmp_path, capture_output=True, text=True
    )
    assert set(completed.stdout.split()) == offered, completed.stderr
