"""Locks on folders, between real processes."""

import errno
import fcntl
import multiprocessing
import os
import signal
import time

import pytest

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils import folder_lock
from entropy_sde_plugin.utils.folder_lock import lock_folder

FORK = multiprocessing.get_context('fork')


def lock_and_wait(folder, ready):
    """Lock a folder, start a worker, and wait."""
    lock_folder(folder)
    worker = os.fork()
    if worker == 0:
        time.sleep(60)
        os._exit(0)
    ready.send(worker)
    time.sleep(60)


@pytest.fixture
def holder(tmp_path):
    """A process that has locked ``run``, and its worker."""
    receiving, sending = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lock_and_wait, args=(tmp_path / 'run', sending))
    process.start()
    worker = receiving.recv()
    yield process
    process.kill()
    os.kill(worker, signal.SIGKILL)


def test_a_folder_in_use_is_named_with_who_uses_it(tmp_path, holder):
    with pytest.raises(InputError, match=rf"run' is in use by another run \(process {holder.pid} on .*\): wait"):
        lock_folder(tmp_path / 'run')
    assert [path.name for path in tmp_path.iterdir()] == ['.run.lock']
    lock_folder(tmp_path / 'another')


def test_a_link_to_a_folder_in_use_is_in_use(tmp_path, holder):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'link').symlink_to('run')
    with pytest.raises(InputError, match="link' is in use by another run"):
        lock_folder(tmp_path / 'link')


def test_a_killed_process_leaves_no_lock_though_its_worker_lives(tmp_path, holder):
    holder.kill()
    holder.join()
    lock_folder(tmp_path / 'run')
    with (tmp_path / '.run.lock').open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_process_may_run_twice_in_one_folder(tmp_path):
    lock_folder(tmp_path / 'run')
    lock_folder(tmp_path / 'run')


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_the_file_system_cannot_lock_there_is_one_warning(tmp_path, monkeypatch, capsys, number):
    """The system call is replaced: there is no such file system here."""

    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder_lock.fcntl, 'flock', flock)
    lock_folder(tmp_path / 'run')
    said = f"warning: '{tmp_path}/run' cannot be locked ({os.strerror(number)}): do not start a second run"
    assert [line[: len(said)] for line in capsys.readouterr().err.splitlines()] == [said]


def test_a_link_to_itself_cannot_be_locked(tmp_path, capsys):
    """The run then fails to make the folder, in one line."""
    (tmp_path / 'loop').symlink_to('loop')
    lock_folder(tmp_path / 'loop' / 'run')
    assert "run' cannot be locked (" in capsys.readouterr().err
