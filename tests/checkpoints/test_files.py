"""Checkpoints survive kills and full disks."""

import itertools
import multiprocessing
import random
import resource
import signal
import time

import pytest
import torch

from entropy_sde_plugin.checkpoints import files
from tests.support.disks import small_disk

FORK = multiprocessing.get_context('fork')


def test_a_saved_checkpoint_reads_back(tmp_path):
    content = {'params': {'weight': torch.arange(6.0).reshape(2, 3)}, 'iter': 3}
    files.save(content, tmp_path / 'a.pth')
    read = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert read['iter'] == 3
    assert torch.equal(read['params']['weight'], content['params']['weight'])
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_a_kill_while_saving_leaves_the_old_or_the_new(tmp_path):
    """A process that saves without end is killed, at no particular moment; again and again."""
    path = tmp_path / 'a.pth'
    files.save(weights_of_step(0), path)
    interrupted = 0
    for _ in range(20):
        before = torch.load(path, weights_only=True)['step']
        saving = FORK.Process(target=save_forever, args=(path, before + 1))
        saving.start()
        time.sleep(random.uniform(0.02, 0.1))
        saving.kill()
        saving.join()
        assert saving.exitcode == -signal.SIGKILL
        content = torch.load(path, weights_only=True)
        assert content['step'] >= before
        assert content['weights'].unique().tolist() == [content['step']]
        interrupted += len(list(tmp_path.glob('.*.part')))
    assert interrupted > 0, 'no kill met a save: the test shows nothing'


def weights_of_step(step):
    return {'step': step, 'weights': torch.full((1 << 20,), float(step))}


def save_forever(path, start):
    for step in itertools.count(start):
        files.save(weights_of_step(step), path)


def test_a_disk_that_takes_no_more(tmp_path):
    """The system refuses one process files over 64 KiB: what was there stays, and nothing is left aside."""
    files.save('old', tmp_path / 'a.pth')
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=save_too_much, args=(tmp_path / 'a.pth', sender))
    process.start()
    assert receiver.recv().startswith(
        f"'{tmp_path / 'a.pth'}' could not be saved: File too large. Earlier checkpoints "
    )
    process.join()
    assert torch.load(tmp_path / 'a.pth', weights_only=True) == 'old'
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def save_too_much(path, sender):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    try:
        files.save(torch.zeros(1 << 20), path)
    except OSError as error:
        sender.send(str(error))


def test_a_full_disk(tmp_path):
    """It fails while the tensors are written, or, the smaller the rest, the archive's end or the file's name."""
    with small_disk(tmp_path / 'disk', '1m') as disk:
        path = disk / '1.state'
        files.save(torch.zeros(1 << 16), path)
        before = path.read_bytes()
        for size in (1 << 20, 1 << 18, (1 << 17) + (1 << 16) - 400, (1 << 17) + (1 << 16) - 100):
            with pytest.raises(
                files.CheckpointError, match=r"2\.state' could not be saved: No space left on device\. "
            ):
                files.save(torch.ones(size), disk / '2.state')
            assert [entry.name for entry in disk.iterdir()] == ['1.state']
            assert path.read_bytes() == before


def test_no_flipped_bit_goes_unseen(tmp_path):
    """Every byte of a file in turn: it is found damaged, or the file reads as before (names, dates, padding)."""
    path = tmp_path / 'a.pth'
    content = {'params': {'weight': torch.arange(8.0)}, 'iter': 3}
    files.save(content, path)
    whole = path.read_bytes()
    fingerprint = files.fingerprint(path)
    unseen = 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        if files.damage(path) is None and files.fingerprint(path) == fingerprint:
            unseen += 1
            read = torch.load(path, weights_only=True)
            assert torch.equal(read['params']['weight'], torch.arange(8.0))
            assert read['iter'] == 3
    assert 0 < unseen < len(whole) / 2  # torch pads its archives


def test_a_file_cut_off_anywhere_is_damaged(tmp_path):
    path = tmp_path / 'a.pth'
    assert files.damage(path) == 'is missing'
    files.save({'params': torch.arange(8.0)}, path)
    whole = path.read_bytes()
    assert files.damage(path) is None
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert files.damage(path) is not None


def test_a_fingerprint_tells_tensors_apart(tmp_path):
    prints = []
    for name, value in (('a', 1.0), ('b', 1.0), ('c', 2.0)):
        files.save({'params': torch.full((4,), value)}, tmp_path / name)
        prints.append(files.fingerprint(tmp_path / name))
    assert prints[0] == prints[1] != prints[2]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match='nowhere'):
        files.save({}, tmp_path / 'nowhere' / 'a.pth')


@pytest.fixture
def experiment(tmp_path):
    """Pairs of iterations 5 to 10, and the latest weights; 9's state is truncated and 7's weights are missing."""
    for iteration in range(5, 11):
        files.save_networks(tmp_path, 'net_g', iteration, {'params': torch.nn.Linear(2, 2)})
        files.save_training_state(tmp_path, 0, iteration, [], [])
    files.save_networks(tmp_path, 'net_g', -1, {'params': torch.nn.Linear(2, 2)})
    (tmp_path / '9.state').write_bytes((tmp_path / '9.state').read_bytes()[:-30])
    (tmp_path / 'net_g_7.pth').unlink()
    return tmp_path


@pytest.mark.parametrize(
    ('count', 'iteration', 'kept'),
    [
        (1, 10, {10}),
        (2, 10, {8, 9, 10}),  # 9 is incomplete and does not count
        (3, 10, {6, 7, 8, 9, 10}),
        (9, 10, {5, 6, 7, 8, 9, 10}),
        (1, 8, {8, 9, 10}),  # resumed from before 8: what it has not reached again stays
        (1, 9, {8, 9, 10}),
    ],
)
def test_old_pairs_go_and_the_newest_complete_one_never(experiment, count, iteration, kept):
    files.keep_last(count, iteration, experiment, experiment, 'net_g')
    names = {f'{i}.state' for i in kept} | {f'net_g_{i}.pth' for i in kept - {7}} | {'net_g_latest.pth'}
    assert {path.name for path in experiment.iterdir()} == names
