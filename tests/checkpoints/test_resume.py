"""Which training state a run resumes from."""

import pytest
import torch
from basicsr import train

from entropy_sde_plugin.checkpoints import files
from entropy_sde_plugin.checkpoints.resume import load_resume_state
from entropy_sde_plugin.compat.pipeline import patch_load_resume_state
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.run_options import RunOptions
from tests.support.pristine import pristine


@pytest.fixture
def opt(tmp_path):
    """Options of an experiment that saved at iterations 8, 9 and 10."""
    path = {'models': str(tmp_path / 'models'), 'training_states': str(tmp_path / 'training_states')}
    path |= {'resume_state': None, 'pretrain_network_g': None, 'param_key_g': 'params_ema'}
    for folder in ('models', 'training_states'):
        (tmp_path / folder).mkdir()
    for iteration in (8, 9, 10):
        files.save({'params': {}}, tmp_path / f'models/net_g_{iteration}.pth')
        state = {'epoch': 1, 'iter': iteration, 'optimizers': [{'exp_avg': torch.ones(3)}], 'schedulers': []}
        files.save(state, tmp_path / f'training_states/{iteration}.state')
    return {'auto_resume': True, 'network_g': {}, 'path': path, 'train': {'total_iter': 10}}


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-30])


def test_the_newest_state_with_its_networks(opt, tmp_path):
    state = load_resume_state(opt)
    assert state['iter'] == 10  # by number: as text, 9 comes behind 10
    assert torch.equal(state['optimizers'][0]['exp_avg'], torch.ones(3))
    assert opt['path']['resume_state'] == str(tmp_path / 'training_states/10.state')
    assert opt['path']['pretrain_network_g'] == str(tmp_path / 'models/net_g_10.pth')
    assert opt['path']['param_key_g'] == 'params'


@pytest.mark.parametrize('broken', ['training_states/10.state', 'models/net_g_10.pth'])
@pytest.mark.parametrize('auto_resume', [True, False])
def test_an_incomplete_pair_is_named_and_passed_over(opt, tmp_path, capsys, broken, auto_resume):
    opt |= {'auto_resume': auto_resume}
    opt['path']['resume_state'] = str(tmp_path / 'training_states/10.state')
    cut_off(tmp_path / broken)
    (tmp_path / 'models/net_g_9.pth').unlink()
    assert load_resume_state(opt)['iter'] == 8
    first, second, third = capsys.readouterr().err.splitlines()
    assert (
        first == f'warning: cannot resume from {tmp_path}/training_states/10.state: {tmp_path / broken} is truncated.'
    )
    assert second.endswith(f'{tmp_path}/models/net_g_9.pth is missing.')
    assert third == f'warning: resuming from the older {tmp_path}/training_states/8.state instead.'
    assert opt['path']['pretrain_network_g'] == str(tmp_path / 'models/net_g_8.pth')


def test_a_named_state_does_not_give_way_to_a_newer_one(opt, tmp_path):
    opt |= {'auto_resume': False}
    opt['path']['resume_state'] = str(tmp_path / 'training_states/9.state')
    assert load_resume_state(opt)['iter'] == 9
    cut_off(tmp_path / 'training_states/9.state')
    opt['path']['resume_state'] = str(tmp_path / 'training_states/9.state')
    assert load_resume_state(opt)['iter'] == 8


def test_damage_in_the_middle_is_found_too(opt, tmp_path, capsys):
    path = tmp_path / 'training_states/10.state'
    content = bytearray(path.read_bytes())
    content[:200] = bytes(200)
    path.write_bytes(content)
    assert load_resume_state(opt)['iter'] == 9
    assert f'{path} is damaged (' in capsys.readouterr().err


def test_networks_of_another_run_are_not_taken(opt, tmp_path, capsys):
    """A kill between the two files of a pair, where a run that began before it had left one of the same number."""
    network = tmp_path / 'models/net_g_10.pth'
    state = torch.load(tmp_path / 'training_states/10.state', weights_only=True)
    files.save(state | {'networks': {network.name: files.fingerprint(network)}}, opt_state(opt, 10))
    assert load_resume_state(opt)['iter'] == 10
    files.save({'params': {'weight': torch.ones(1)}}, network)
    assert load_resume_state(opt)['iter'] == 9
    assert f'{network} was not saved with it' in capsys.readouterr().err


def test_a_flipped_bit_in_the_weights_is_found(opt, tmp_path, capsys):
    network = tmp_path / 'models/net_g_10.pth'
    files.save({'params': {'weight': torch.ones(1000)}}, network)
    content = bytearray(network.read_bytes())
    content[content.index(torch.ones(4).numpy().tobytes()) + 402] ^= 1
    network.write_bytes(content)
    assert not torch.equal(torch.load(network)['params']['weight'], torch.ones(1000))  # and says nothing
    assert load_resume_state(opt)['iter'] == 9
    assert f'{network} is damaged (at ' in capsys.readouterr().err


def save_state(opt, iteration, **changes):
    """Save the state of an iteration again, with other entries; None takes an entry out."""
    path = opt_state(opt, iteration)
    state = torch.load(path, weights_only=True) | changes
    files.save({key: value for key, value in state.items() if value is not None}, path)


RUN = {
    'manual_seed': 3,
    'epoch_size': 18,
    'batch': 2,
    'drawn': 4,
    'generators': [],
    'best_metric_results': {},
    'validation_due': False,
}


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'iter': None}, 'is not a training state (it lacks iter)'),
        ({'iter': '10'}, 'is not a training state (Expected int, got str - at iter)'),
        ({'epoch': -1}, 'is not a training state (Expected int >= 0 - at epoch)'),
        ({'optimizers': None}, 'is not a training state (it lacks optimizers)'),
        ({'optimizers': {}}, 'is not a training state (Expected array, got object - at optimizers)'),
        ({'schedulers': [3]}, 'is not a training state (Expected object, got int - at schedulers[0])'),
        ({'run': {}}, 'is not a training state (it lacks epoch_size - at run)'),
        ({'iter': 9}, 'holds the state of iteration 9, which is not that of its name'),
    ],
)
def test_a_wrong_state_is_named_and_passed_over(opt, tmp_path, capsys, changes, reason):
    save_state(opt, 10, **changes)
    assert load_resume_state(opt)['iter'] == 9
    first, second = capsys.readouterr().err.splitlines()
    path = f'{tmp_path}/training_states/10.state'
    assert first == f'warning: cannot resume from {path}: {path} {reason}.'
    assert second == f'warning: resuming from the older {tmp_path}/training_states/9.state instead.'


@pytest.mark.parametrize('key', ['epoch_size', 'batch', 'drawn', 'generators', 'best_metric_results', 'validation_due'])
def test_a_run_without_one_of_its_entries_is_passed_over(opt, capsys, key):
    save_state(opt, 10, run={name: value for name, value in RUN.items() if name != key})
    assert load_resume_state(opt)['iter'] == 9
    assert f'is not a training state (it lacks {key} - at run)' in capsys.readouterr().err


def test_what_is_no_state_is_passed_over(opt, tmp_path, capsys):
    files.save([1, 2], opt_state(opt, 10))
    files.save({'params': {}}, opt_state(opt, 11))
    (tmp_path / 'training_states/12.state').mkdir()
    assert load_resume_state(opt)['iter'] == 9
    folder, weights, array, _ = capsys.readouterr().err.splitlines()
    assert folder.endswith('12.state is a folder.')
    assert weights.endswith('11.state is not a training state (it lacks epoch).')
    assert array.endswith('10.state is not a training state (Expected object, got array).')


@pytest.mark.parametrize('run', [RUN, RUN | {'train_options': {'optim_g.type': 'Adam'}}, RUN | {'added': 1}])
def test_states_of_this_and_other_versions_are_taken(opt, one_run, run):
    save_state(opt, 10, run=run, training_step={'skipped_in_row': 0}, networks={})
    assert load_resume_state(opt | {'manual_seed': 3})['run'] == run


@pytest.mark.parametrize('named', ['models/net_g_10.pth', 'training_states', 'training_states/latest.state'])
def test_what_is_named_and_no_state_is_reported_in_one_line(opt, tmp_path, capsys, named):
    opt |= {'auto_resume': False}
    opt['path']['resume_state'] = str(tmp_path / named)
    (tmp_path / 'training_states/latest.state').write_bytes(b'')
    with pytest.raises(InputError) as caught:
        load_resume_state(opt)
    message = str(caught.value)
    assert '\n' not in message
    assert message.startswith('path.resume_state: ')
    assert str(tmp_path / named) in message
    assert any(reason in message for reason in ('is not a training state (', 'is a folder', 'is truncated'))
    assert message.endswith('give a file <iteration>.state in the folder training_states of an experiment.')
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('auto_resume', [True, False])
def test_a_state_behind_the_last_iteration_is_refused(opt, tmp_path, auto_resume):
    """The pipeline would validate its weights, and record them, as those of the last iteration."""
    opt |= {'auto_resume': auto_resume, 'train': {'total_iter': 9}}
    opt['path']['resume_state'] = opt_state(opt, 10)
    with pytest.raises(InputError) as caught:
        load_resume_state(opt)
    assert str(caught.value) == (
        f"train.total_iter is 9, but the training to resume from '{tmp_path}/training_states/10.state' is at iteration "
        '10: raise train.total_iter, or give a state up to iteration 9 (path.resume_state).'
    )
    opt |= {'auto_resume': False}
    opt['path']['resume_state'] = opt_state(opt, 9)
    assert load_resume_state(opt)['iter'] == 9


def opt_state(opt, iteration):
    return f'{opt["path"]["training_states"]}/{iteration}.state'


@pytest.fixture
def seeded(opt):
    """The newest state is that of a run under seed 3."""
    save_state(opt, 10, run=RUN)
    return opt | {'manual_seed': 5, 'rank': 1, 'datasets': {'train': {'seed': 5}, 'val': {'seed': 8}}}


def test_a_drawn_seed_gives_way_to_the_states(seeded, one_run):
    drawn = RunOptions(seeded)
    drawn.seed_is_given = False
    load_resume_state(drawn)
    assert drawn['manual_seed'] == 3
    assert [dataset['seed'] for dataset in drawn['datasets'].values()] == [3, 8]
    assert torch.initial_seed() == 3 + 1


def test_a_given_seed_must_be_the_states(seeded):
    with pytest.raises(InputError, match=r'manual_seed is 5, but the training to resume from .* has 3: set'):
        load_resume_state(RunOptions(seeded))
    load_resume_state(RunOptions(seeded, manual_seed=3))


def test_networks_that_are_not_resumed_need_not_be_there(opt, tmp_path):
    opt |= {'network_d': {}}
    opt['path']['ignore_resume_networks'] = ['network_d']
    assert load_resume_state(opt)['iter'] == 10


def test_nothing_to_resume_from(opt, tmp_path):
    for state in (tmp_path / 'training_states').iterdir():
        state.unlink()
    assert load_resume_state(opt) is None
    assert load_resume_state(opt | {'auto_resume': False}) is None


def test_no_complete_state_is_an_error_not_a_fresh_start(opt, tmp_path):
    for state in (tmp_path / 'training_states').iterdir():
        cut_off(state)
    with pytest.raises(InputError, match='None of the 3 training states'):
        load_resume_state(opt)
    opt |= {'auto_resume': False}
    opt['path']['resume_state'] = 'nowhere/3.state'
    with pytest.raises(InputError, match=r"there is no 'nowhere/3\.state'"):
        load_resume_state(opt)


def test_a_state_of_another_experiment_is_reported_by_its_name(opt, tmp_path):
    opt |= {'auto_resume': False, 'name': 'new'}
    opt['path'] |= {
        'models': str(tmp_path / 'new/models'),
        'training_states': str(tmp_path / 'new/training_states'),
        'resume_state': str(tmp_path / 'training_states/9.state'),
    }
    with pytest.raises(InputError) as caught:
        load_resume_state(opt)
    message = str(caught.value)
    assert f"9.state' belongs to the experiment '{tmp_path.name}'" in message
    assert f'set name: {tmp_path.name} to continue it' in message
    assert f'pretrain_network_g: {tmp_path}/models/net_g_9.pth' in message
    for state in (tmp_path / 'training_states').iterdir():
        network = tmp_path / f'models/net_g_{state.stem}.pth'
        content = torch.load(state, weights_only=True)
        files.save(content | {'networks': {network.name: files.fingerprint(network)}}, state)
        (tmp_path / 'new/models').mkdir(parents=True, exist_ok=True)
        files.save({'params': {'weight': torch.ones(1)}}, tmp_path / 'new/models' / network.name)
    with pytest.raises(InputError) as caught:
        load_resume_state(opt)
    message = str(caught.value)
    assert f"belongs to the experiment '{tmp_path.name}', and '{tmp_path}/new/models/net_g_9.pth' is not its" in message
    assert f'set name: {tmp_path.name} to continue it' in message
    (tmp_path / 'training_states').rename(tmp_path / 'moved')  # a state elsewhere, its networks in their place
    opt['path'] |= {'models': str(tmp_path / 'models'), 'resume_state': str(tmp_path / 'moved/9.state')}
    assert load_resume_state(opt)['iter'] == 9


def test_every_pipeline_gets_it():
    """BasicSR's module, and the ``__main__`` that runs its file."""
    assert train.load_resume_state is load_resume_state
    main = vars(pristine('train'))
    assert main['load_resume_state'] is not load_resume_state
    patch_load_resume_state(main)
    assert main['load_resume_state'] is load_resume_state


def test_a_repaired_or_absent_one_is_left_alone():
    def load_resume_state(opt):
        return torch.load(opt, map_location='cpu')

    namespace = {'load_resume_state': load_resume_state}
    patch_load_resume_state(namespace)
    assert namespace == {'load_resume_state': load_resume_state}
    patch_load_resume_state(empty := {})
    assert empty == {}
