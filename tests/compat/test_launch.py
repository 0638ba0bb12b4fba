"""Command line, option file, devices, folders and processes, through BasicSR's own ``parse_options``."""

import atexit
import copy
import fcntl
import multiprocessing
import os
import pickle
import random
import socket
import stat
import sys

import basicsr.utils.dist_util
import basicsr.utils.misc
import numpy as np
import pytest
import torch
import torch.distributed
import torch.utils.data
import yaml
from basicsr.utils.options import ordered_yaml, parse_options

from entropy_sde_plugin import compat
from entropy_sde_plugin.compat import launch
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.parting import part
from entropy_sde_plugin.utils.reporting import report_input_errors
from tests.support.commands import ROOT, python, stock_options
from tests.support.pristine import pristine

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason='shows what happens without a GPU')


pytestmark = pytest.mark.usefixtures('one_run')


@pytest.fixture
def parse(monkeypatch, tmp_path):
    """Write an option file and parse a command line with it, in the working directory."""

    def run(opt, *arguments, is_train=True, parser=parse_options):
        (tmp_path / 'opt.yml').write_text(opt if isinstance(opt, str) else yaml.safe_dump(opt))
        monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', 'opt.yml', *arguments])
        return parser('elsewhere', is_train=is_train)[0]

    return run


@pytest.fixture
def opt(tmp_path):
    return stock_options('run', tmp_path)


def test_the_symptoms_are_there_without_the_fixes(parse, opt):
    """BasicSR as it comes: each of these is what the tests below find fixed."""
    parser = pristine('utils.options').parse_options
    with pytest.raises(SystemExit):
        parse(opt, '--local-rank=1', parser=parser)
    parsed = parse(opt, '--force_yml', 'train:total_iter=-1', parser=parser)
    assert parsed['train']['optim_g']['lr'] == '2e-4'
    assert parsed['path']['experiments_root'] == 'elsewhere/experiments/run'
    assert parsed['num_gpu'] == 1


@pytest.mark.parametrize('argument', [['--local-rank=1'], ['--local-rank', '1'], ['--local_rank=1'], []])
def test_local_rank_as_launchers_write_it(parse, opt, argument):
    given = parse(opt, *argument)
    assert given['name'] == 'run'
    assert sys.argv[3:] == argument


def test_outputs_go_under_the_working_directory(parse, opt, tmp_path):
    parsed = parse(opt)
    parsed['root_path'] = 'site-packages'  # as train_pipeline does
    assert parsed['root_path'] == str(tmp_path)
    assert parsed['path']['experiments_root'] == str(tmp_path / 'experiments' / 'run')
    for again in (copy.deepcopy(parsed), pickle.loads(pickle.dumps(parsed))):
        assert again == parsed
        assert type(again) is type(parsed)
    assert parse(opt, is_train=False)['path']['results_root'] == str(tmp_path / 'results' / 'run')


def test_numbers_that_yaml_leaves_as_text(parse, opt):
    opt['train'] |= {'floats': ['1e-4', '-.5e3', '+1.', 'e5', '1e', '0x1f'], 'warmup_iter': '-1'}
    train = parse(opt, '--force_yml', 'train:ema_decay=1e-1', 'train:optim_g:weight_decay=-3')['train']
    assert train['floats'] == [1e-4, -0.5e3, 1.0, 'e5', '1e', '0x1f']
    assert (train['warmup_iter'], train['ema_decay']) == (-1, 0.1)
    assert (train['optim_g']['lr'], train['optim_g']['weight_decay']) == (2e-4, -3)
    assert isinstance(train['warmup_iter'], int)


@pytest.mark.parametrize('override', ['foo', 'train:lr=1=2', '=3'])
def test_an_override_that_is_no_assignment_is_reported(parse, opt, override):
    with pytest.raises(InputError, match='must be KEY=VALUE'):
        parse(opt, '--force_yml', 'manual_seed=1', override)


def test_overrides_given_in_two_pieces_are_all_applied(parse, opt):
    parsed = parse(opt, '--force_yml', 'manual_seed=7', '--force_yml', 'train:warmup_iter=3')
    assert (parsed['manual_seed'], parsed['train']['warmup_iter']) == (7, 3)


def test_seeds_follow_the_command_line(parse, opt):
    parsed = parse(opt, '--force_yml', 'manual_seed=7', 'datasets:val:seed=3')
    drawn = random.random(), np.random.random(), torch.rand(1)
    basicsr.utils.misc.set_random_seed(7)
    assert drawn == (random.random(), np.random.random(), torch.rand(1))
    assert (parsed['datasets']['train']['seed'], parsed['datasets']['val']['seed']) == (7, 3)


def test_processes_share_the_seed_that_none_was_given(tmp_path):
    """Two real processes over gloo."""
    context = multiprocessing.get_context('fork')
    with context.Pool(2) as pool:
        seeds = pool.starmap(shared_seed, [(rank, tmp_path / 'store') for rank in range(2)], chunksize=1)
    assert seeds == [100, 100]


def shared_seed(rank, store):
    torch.distributed.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    opt = {'dist': True, 'rank': rank, 'manual_seed': 100 + rank}
    launch.share_seed(opt)
    torch.distributed.destroy_process_group()
    return opt['manual_seed']


def test_options_read_without_asking_have_defaults(parse, opt):
    del opt['logger']['use_tb_logger'], opt['val']['save_img']
    opt['datasets']['train']['num_worker_per_gpu'] = 2
    parsed = parse(opt, is_train=False)
    assert parsed['logger']['use_tb_logger'] is False
    assert (parsed['val']['save_img'], parsed['val']['suffix']) == (False, None)
    assert parsed['datasets']['train']['persistent_workers'] is True
    assert 'persistent_workers' not in parsed['datasets']['val']


@needs_no_gpu
def test_the_cpu_takes_over_and_says_so(parse, opt, capsys):
    opt['datasets']['train']['prefetch_mode'] = 'cuda'
    opt['logger']['use_tb_logger'] = False
    parsed = parse(opt)
    assert (parsed['num_gpu'], parsed['datasets']['train']['prefetch_mode']) == (0, None)
    assert capsys.readouterr().err.count('warning: ') == 2
    assert parse(opt | {'num_gpu': 'auto'})['num_gpu'] == 0
    assert capsys.readouterr().err.count('warning: ') == 1


def test_tensorboard_may_be_missing(parse, opt, monkeypatch, capsys):
    monkeypatch.setattr(launch.importlib.util, 'find_spec', lambda name: None)
    assert parse(opt)['logger']['use_tb_logger'] is False
    assert 'TensorBoard is not installed' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('name: a\ntrain: [1, 2\n', r'^opt\.yml, line 3: '),
        ('name: !!python/object/apply:os.mkdir [executed]\n', r'^opt\.yml, line 1: could not determine a constructor'),
        ('just words', r'^opt\.yml, line 1: expected keys and sections\.$'),
        ('', r'expected keys and sections\.$'),
        ('name: a\n', r"^opt\.yml: Option 'num_gpu' is missing"),
        ('name: a\nnum_gqu: 0\n', r"^opt\.yml, line 2: Option 'num_gpu' is missing: .* Is 'num_gqu' a misspelling\?$"),
        ('name: a\nname: b\n', r"^opt\.yml, line 2: 'name' is already given in line 1\.$"),
        ('name: a\nx: !!float abc\n', r'^opt\.yml, line 2: could not convert'),
        ('name: a\nx: &x [*x]\n', r'^opt\.yml, line 2: a value contains itself\.$'),
        ('name: a\nmanual_seed: -1\n', r"^opt\.yml, line 2: 'manual_seed' must be a whole number in 0…"),
        ('name: a\ndatasets: {val: {dataroot_gt: 3}}\n', r"^opt\.yml, line 2: 'datasets\.val\.dataroot_gt' must be"),
    ],
)
def test_a_bad_option_file_is_reported_in_one_line(parse, tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(text)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'executed').exists()


def test_a_missing_option_file_is_reported_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', 'nowhere.yml'])
    with pytest.raises(InputError, match=r"'nowhere\.yml' does not exist"):
        parse_options('.')


def test_an_option_file_that_is_a_pipe_is_not_waited_for(monkeypatch, tmp_path):
    os.mkfifo(tmp_path / 'opt.yml')
    monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', str(tmp_path / 'opt.yml')])
    with pytest.raises(InputError, match=r"opt\.yml' cannot be read \(it is a pipe, not a file\)\.$"):
        parse_options('.')


def test_option_files_keep_their_order():
    text = 'b: {z: 1, a: 2}\na: [1.5, yes, ~]\n'
    loaders = [module_loader()[0] for module_loader in (ordered_yaml, pristine('utils.options').ordered_yaml)]
    read, stock = (yaml.load(text, Loader=loader) for loader in loaders)
    assert loaders[0] is not loaders[1]
    assert list(read.items()) == list(stock.items())
    assert list(read['b']) == ['z', 'a']
    assert type(read['b']) is type(stock['b'])


def test_options_of_the_plugin_are_checked(parse, opt):
    opt |= {'model_type': 'IRSDEModel', 'sde': {'max_sigmas': 50}}
    with pytest.raises(InputError, match='max_sigma'):
        parse(opt)


def test_only_the_folders_of_the_run_are_made(parse, opt, tmp_path):
    opt['path'] |= {'weights': 'a.pth', 'nothing': None}
    parsed = parse(opt)
    basicsr.utils.misc.make_exp_dirs(parsed)
    assert sorted(path.name for path in (tmp_path / 'experiments' / 'run').iterdir()) == [
        'models', 'training_states', 'visualization',
    ]  # fmt: skip
    assert not (tmp_path / 'a.pth').exists()


def test_the_name_of_the_archive_may_be_taken(parse, opt, tmp_path, monkeypatch):
    monkeypatch.setattr('basicsr.utils.misc.get_time_str', lambda: 'now')
    parsed = parse(opt)
    archive = tmp_path / 'experiments' / 'run_archived_now'
    for folder in (archive, tmp_path / 'experiments' / 'run'):
        folder.mkdir(parents=True)
        (folder / 'file').touch()
    with pytest.raises(InputError, match=f"^The folder '{archive}' could not be created: Directory not empty"):
        basicsr.utils.misc.make_exp_dirs(parsed)


def test_input_errors_end_a_process_in_one_line(capsys, monkeypatch):
    report_input_errors()
    report_input_errors()
    for error in (InputError('a.png is no image.'), error_of_worker()):
        sys.excepthook(type(error), error, None)
        assert capsys.readouterr().err == 'error: a.png is no image.\n'
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == 'error: Interrupted (Ctrl-C).\n'
    monkeypatch.setenv('RANK', '1')
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == ''
    sys.excepthook(KeyError, KeyError('x'), None)
    assert "KeyError: 'x'" in capsys.readouterr().err


def test_an_error_is_one_line_where_pytorch_is_missing(tmp_path):
    """Without site-packages."""
    program = (
        'from entropy_sde_plugin.errors import InputError\n'
        'from entropy_sde_plugin.utils.reporting import report_input_errors\n'
        'report_input_errors()\n'
        'raise InputError("BasicSR is not installed.")\n'
    )
    code, _, err = python('-S', '-c', program, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert (code, err) == (1, 'error: BasicSR is not installed.\n')


def error_of_worker():
    with pytest.raises(InputError) as caught:
        next(iter(torch.utils.data.DataLoader(Broken(), num_workers=1)))
    assert 'DataLoader worker' in str(caught.value)
    return caught.value


class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise InputError('a.png is no image.')


@needs_no_gpu
def test_slurm_without_a_gpu(tmp_path, monkeypatch):
    """One real process over gloo; ``scontrol`` is a stand-in, since there is no SLURM here."""
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$1 $2 $3" = "show hostnames localhost,b" ] && printf "localhost\\nb\\n"\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
    for name, value in {'PROCID': '0', 'NTASKS': '1', 'LOCALID': '0', 'NODELIST': 'localhost,b'}.items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, '')  # so that what is set below is taken away again
        monkeypatch.delenv(name)
    at_exit = []
    monkeypatch.setattr(atexit, 'register', at_exit.append)
    basicsr.utils.dist_util._init_dist_slurm('nccl', port=free_port())
    try:
        assert at_exit == [part]
        assert torch.distributed.get_backend() == 'gloo'
        assert basicsr.utils.dist_util.get_dist_info() == (0, 1)
    finally:
        torch.distributed.destroy_process_group()


SLURM = {'PROCID': '0', 'NTASKS': '1', 'LOCALID': '0', 'NODELIST': 'node[1-2]'}


@pytest.mark.parametrize('missing', SLURM)
def test_what_srun_has_not_set_is_named(monkeypatch, missing):
    for name, value in SLURM.items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    monkeypatch.delenv(f'SLURM_{missing}')
    with pytest.raises(InputError, match=rf'for processes that srun starts: SLURM_{missing} is not set\.$'):
        basicsr.utils.dist_util._init_dist_slurm('nccl')


@pytest.mark.parametrize('scontrol', [None, 'exit 1', 'true'])
def test_hosts_that_slurm_does_not_tell_are_one_line(monkeypatch, tmp_path, scontrol):
    """``scontrol`` is missing, fails or says nothing; it is a stand-in, since there is no SLURM here."""
    if scontrol is not None:
        (tmp_path / 'scontrol').write_text(f'#!/bin/sh\n{scontrol}\n')
        (tmp_path / 'scontrol').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    for name, value in SLURM.items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    with pytest.raises(InputError, match=r"'scontrol show hostnames node\[1-2\]' does not tell where") as caught:
        basicsr.utils.dist_util._init_dist_slurm('nccl')
    assert '\n' not in str(caught.value)


def free_port():
    with socket.create_server(('localhost', 0)) as server:
        return server.getsockname()[1]


def test_a_launcher_that_did_not_launch_is_reported_in_one_line(parse, opt, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(InputError, match='torchrun'):
        basicsr.utils.dist_util._init_dist_pytorch('nccl')


@pytest.mark.parametrize('is_train', [True, False])
@pytest.mark.parametrize('resume', [[], ['--auto_resume']])
@pytest.mark.parametrize(
    ('environment', 'told'),
    [
        ({'RANK': '1', 'WORLD_SIZE': '2'}, 'torchrun started 2 processes.* add --launcher pytorch'),
        ({'SLURM_STEP_ID': '0', 'SLURM_STEP_NUM_TASKS': '16'}, 'srun started 16 processes.* add --launcher slurm'),
    ],
)
def test_a_forgotten_launcher_is_told_in_one_line(
    parse, opt, monkeypatch, tmp_path, environment, told, resume, is_train
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=told) as caught:
        parse(opt, *resume, is_train=is_train)
    assert '\n' not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ['opt.yml']


@pytest.mark.parametrize('environment', [{'RANK': '0', 'WORLD_SIZE': '1'}, {'SLURM_STEP_NUM_TASKS': '4'}])
def test_one_process_needs_no_launcher(parse, opt, monkeypatch, environment):
    """The second is what a batch script has that starts one process out of its job of four tasks."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert parse(opt)['world_size'] == 1


@pytest.mark.parametrize('resume', [[], ['--auto_resume']])
@pytest.mark.parametrize(('is_train', 'kind'), [(True, 'experiments'), (False, 'results')])
def test_a_second_run_of_one_name_leaves_the_first_alone(parse, opt, tmp_path, resume, is_train, kind):
    (tmp_path / kind / 'run').mkdir(parents=True)
    with (tmp_path / kind / '.run.lock').open('w') as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=f"{kind}/run' is in use by another run"):
            parse(opt, *resume, is_train=is_train)
        assert [path.name for path in (tmp_path / kind).iterdir() if path.name != '.run.lock'] == ['run']
    assert parse(opt, *resume, is_train=is_train)['name'] == 'run'


def test_applying_twice_changes_nothing():
    def functions():
        return {
            (name, attribute): value
            for name, module in list(sys.modules.items())
            if name.startswith('basicsr')
            for attribute, value in vars(module).items()
            if callable(value)
        }

    before = functions()
    compat.apply()
    assert functions() == before
