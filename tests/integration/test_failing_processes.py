"""Two processes that fail, over gloo: one of them says why, in one line, and both end."""

import copy
import re
import shutil
import socket

import pytest

from tests.support.commands import stock_options, write_options, write_pairs
from tests.support.forks import python_m

NAFNET = {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('runs')
    write_pairs(path / 'pairs', ('chelsea', 'coffee', 'rocket'))
    return path


def options(folder, name, **sections):
    """Four iterations, whose states are saved, without validation."""
    opt = stock_options(name, folder / 'pairs', model_type='IRSDEModel', network_g=NAFNET, prediction='x0')
    opt |= {'num_gpu': 0, 'sampler': {'steps': 1}, **sections}
    for dataset in opt['datasets'].values():
        dataset |= {'type': 'PairedLowLightDataset', 'dataroot_gt': 'pairs/gt', 'dataroot_lq': 'pairs/lq'}
        del dataset['io_backend']
    opt['train'] |= {'objective': 'x0'}
    opt['datasets']['train'] |= {'batch_size_per_gpu': 1}
    opt['logger']['use_tb_logger'] = False
    del opt['val'], opt['datasets']['val']
    return opt


def run(folder, opt, *arguments, module='basicsr.train', before=()):
    command = (*before, '-opt', write_options(folder, opt), *arguments, '--launcher', 'pytorch')
    code, out, err = python_m(module, *command, cwd=folder, processes=2)
    return code, out + err


def faults(output):
    """The lines that report a fault, without the process's name and the option file's."""
    lines = re.findall(r'(?:\[rank\d\]: )?error: (?:/\S*, line \d+: )?(.*)', output)
    return lines + re.findall('Traceback.*', output)


def test_a_fault_of_all_is_told_by_one(folder):
    opt = options(folder, 'misspelt')
    opt['train']['objectve'] = 'x0'
    code, output = run(folder, opt)
    assert code == 1
    assert faults(output) == ["Unknown option 'train.objectve'. Did you mean 'objective'?"]


def test_a_command_line_that_is_refused_is_told_by_one(folder):
    code, output = run(folder, options(folder, 'refused'), '--nonsense')
    assert code == 2
    assert output.count('error: unrecognized arguments: --nonsense') == 1


def test_ruined_weights_are_not_saved(folder):
    """The first step ruins them; the second, which is the last, is skipped."""
    opt = options(folder, 'ruined')
    opt['train'] |= {'total_iter': 2}
    opt['train']['optim_g']['lr'] = 1e30
    code, output = run(folder, opt)
    assert code == 1
    (fault,) = faults(output)
    assert fault.startswith('Training ends with weights that are not saved')
    assert not list((folder / 'experiments/ruined/models').iterdir())


def test_who_lost_the_other_leaves_the_report_to_it(folder):
    """The first process fails in its second step; the second waits for it in a collective operation."""
    opt = options(folder, 'lost')
    opt['train']['pixel_opt'] = {'type': 'AccidentL1', 'step': 2, 'accidents': [{'what': 'error'}]}
    code, output = run(folder, opt, module='tests.support.accidents')
    assert code == 1
    assert len(faults(output)) == 1
    assert 'RuntimeError: an accident of these tests' in output
    assert 'gloo' not in output


TRAIN = ('basicsr.train', '-opt', 'port.yml', '--launcher', 'pytorch')
ENHANCE = ('entropy_sde_plugin.cli', 'enhance', '-i', 'pairs/lq', '-o', 'bright', '--steps', '1')


@pytest.mark.parametrize('command', [TRAIN, ENHANCE])
def test_a_port_in_use_is_named(folder, command):
    write_options(folder, options(folder, 'port'))
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = f'{taken.getsockname()[1]}'
        code, out, err = python_m(*command, cwd=folder, processes=2, MASTER_PORT=port)
    assert code == 1
    (fault,) = faults(out + err)
    assert fault.startswith(f"The processes of this run cannot meet at '127.0.0.1:{port}' (")
    assert 'address already in use' in fault


def test_processes_that_are_told_different_numbers_of_them(folder):
    write_options(folder, options(folder, 'port'))
    code, out, err = python_m(*TRAIN, cwd=folder, processes=2, last={'WORLD_SIZE': '3'})
    assert code == 1
    assert 'Process 0 expects 2 processes and process 1 expects 3: ' in out + err


def test_a_semaphore_of_a_process_that_leaves_is_not_reported(folder):
    opt = options(folder, 'semaphores')
    opt['train']['pixel_opt'] = {'type': 'AccidentL1', 'step': 2, 'accidents': [{'what': 'error'}]}
    opt['datasets']['train'] |= {'num_worker_per_gpu': 1, 'prefetch_mode': 'cpu'}
    code, output = run(folder, opt, module='tests.support.accidents')
    assert code == 1
    assert 'leaked' not in output


@pytest.fixture(scope='module')
def elsewhere(folder, tmp_path_factory):
    """Another machine's disk, which has the pairs alone."""
    path = tmp_path_factory.mktemp('elsewhere')
    shutil.copytree(folder / 'pairs', path / 'pairs')
    return path


def run_apart(folder, elsewhere, opt, *arguments):
    return run(folder, opt, *arguments, module='tests.support.machines_apart', before=[elsewhere])


def test_states_that_one_process_does_not_see(folder, elsewhere):
    opt = options(folder, 'resumed')
    assert run(folder, opt)[0] == 0
    opt['train']['total_iter'] = 6
    code, output = run_apart(folder, elsewhere, opt, '--auto_resume')
    assert code == 1
    (fault,) = faults(output)
    assert re.match(
        r'The processes .* process 0 from iteration 4 and process 1 from none: .*experiments/resumed', fault
    )
    assert not (folder / 'experiments/resumed/training_states/6.state').exists()


def test_data_that_one_process_does_not_see(folder, tmp_path):
    code, output = run_apart(folder, tmp_path, options(folder, 'no_data'))
    assert code == 1
    (fault,) = faults(output)
    assert fault.startswith('Process 1: ')
    assert "'pairs/lq' is not a folder" in fault
    assert not (folder / 'experiments/no_data').exists()


def test_options_that_differ(folder, elsewhere):
    opt = options(folder, 'differing')
    other = copy.deepcopy(opt)
    other['train']['total_iter'] = 6
    write_options(elsewhere, other)
    write_options(folder, opt)
    command = (elsewhere, '-opt', 'differing.yml', '--launcher', 'pytorch')
    code, out, err = python_m('tests.support.machines_apart', *command, cwd=folder, processes=2)
    assert code == 1
    assert faults(out + err) == [
        'Processes 0 and 1 read different options (in train): give all the same option file and arguments.'
    ]
