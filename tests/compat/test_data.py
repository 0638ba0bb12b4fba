"""The way of the data: databases, order and draws, workers, loaders."""

import pickle
import random

import lmdb
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.utils import FileClient, imfrombytes
from torch.utils.data import DataLoader, Dataset

from entropy_sde_plugin.data.lmdb import lmdb_writer
from entropy_sde_plugin.data.sample_seeds import DrawIndex
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from tests.support.pristine import pristine


@pytest.fixture
def database(tmp_path):
    path = tmp_path / 'pictures.lmdb'
    with lmdb_writer(path) as writer:
        for name in ('coffee', 'rocket', 'wine'):
            writer.put(name, photograph(name)[:40, :40])
    return path


# --- LMDB -------------------------------------------------------------------------------------------------------------


def test_one_database_as_input_and_truth(database):
    paths = [str(database), str(database)]
    with pytest.raises(lmdb.Error, match='already open'):
        pristine('utils.file_client').FileClient('lmdb', db_paths=paths, client_keys=['lq', 'gt'])
    client = FileClient('lmdb', db_paths=paths, client_keys=['lq', 'gt'])
    for key in ('lq', 'gt'):
        image = imfrombytes(client.get('coffee', key))[..., ::-1]
        assert np.array_equal(image, photograph('coffee')[:40, :40])
    with pytest.raises(AssertionError, match='client_key'):
        client.get('coffee', 'depth')
    with pytest.raises(InputError, match='not an LMDB database'):
        FileClient('lmdb', db_paths='nowhere.lmdb').get('coffee')


def test_one_database_for_training_and_validation_under_forked_workers(database):
    """The order of a training: validation reads in this process, then a worker is forked that reads the same files."""
    opt = {'type': 'PairedImageDataset', 'scale': 1, 'dataroot_gt': str(database), 'dataroot_lq': str(database)}
    opt |= {'name': 'pictures', 'io_backend': {'type': 'lmdb'}, 'gt_size': 16, 'use_hflip': True, 'use_rot': True}
    train, val = (build_dataset(opt | {'phase': phase}) for phase in ('train', 'val'))
    for _ in range(2):
        assert len(list(DataLoader(val))) == 3
        assert len(list(DataLoader(train, num_workers=1, multiprocessing_context='fork'))) == 3


def test_a_client_travels_to_spawned_workers(database):
    client = FileClient('lmdb', db_paths=str(database))
    first = client.get('wine')
    assert pickle.loads(pickle.dumps(client)).get('wine') == first


# --- order and draws --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('size', 'replicas', 'ratio'), [(5, 1, 1), (7, 3, 1), (4, 2, 25)])
def test_the_sampler_keeps_basicsrs_order_and_adds_the_draw(size, replicas, ratio):
    stock = pristine('data.data_sampler').EnlargedSampler
    for epoch in (0, 3):
        draws = []
        for rank in range(replicas):
            ours, theirs = (kind(range(size), replicas, rank, ratio) for kind in (EnlargedSampler, stock))
            ours.set_epoch(epoch)
            theirs.set_epoch(epoch)
            indices = list(ours)
            assert indices == list(theirs)
            assert all(isinstance(index, DrawIndex) and index.epoch == epoch for index in indices)
            draws += [index.draw for index in indices]
        assert sorted(draws) == list(range(len(draws)))


class Draws(Dataset):
    """Draws as BasicSR's datasets do: from the global generators."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor([random.random(), np.random.random()], dtype=torch.float64)


def epochs(workers, seed=0, resume=(0, 0), **kwargs):
    """The draws of three epochs, by image, as far as they are drawn."""
    sampler = EnlargedSampler(Draws(), 1, 0)
    sampler.drawn_before = resume
    opt = {'phase': 'train', 'batch_size_per_gpu': 2, 'num_worker_per_gpu': workers}
    loader = build_dataloader(Draws(), opt | kwargs, sampler=sampler, seed=seed)
    drawn = []
    for epoch in range(resume[0], 3):
        sampler.set_epoch(epoch)
        drawn.append(torch.cat(list(loader)))
    return drawn


@pytest.mark.parametrize('workers', [{'workers': 2}, {'workers': 1, 'persistent_workers': True}])
def test_draws_differ_between_epochs_and_follow_from_the_seed_alone(one_run, workers):
    """Whatever the training drew before, and however many workers share the work."""
    drawn = epochs(0)
    assert len(torch.cat(drawn).unique()) == 24
    torch.rand(5)
    assert all(map(torch.equal, drawn, epochs(**workers)))
    assert not torch.equal(drawn[0], epochs(0, seed=1)[0])


def test_a_resumed_epoch_passes_over_what_it_drew_before(one_run):
    drawn, resumed = epochs(0), epochs(1, resume=(1, 2))
    assert torch.equal(resumed[0], drawn[1][2:])
    assert torch.equal(resumed[1], drawn[2])


def test_two_processes_go_on_where_one_was():
    """A resumed run may be shared by more processes: what is left of the permutation is dealt out to them."""
    whole = EnlargedSampler(range(12), 1, 0)
    shares = [EnlargedSampler(range(12), 2, rank) for rank in (0, 1)]
    for sampler in (whole, *shares):
        sampler.set_epoch(3)
    for share in shares:
        share.drawn_before = (3, 4)
    assert [index.draw for pair in zip(*shares, strict=True) for index in pair] == [i.draw for i in list(whole)[4:]]


def test_loading_leaves_the_trainings_generators_alone(one_run):
    """A training and a validation set, their loaders started: the next numbers of the training are those without."""
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = random.random(), np.random.random(), torch.rand(())
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    epochs(0)
    list(build_dataloader(Pictures(2), {'phase': 'val', 'name': 'val'}))
    assert (random.random(), np.random.random(), torch.rand(())) == expected


def test_draws_in_a_thread_beside_the_training_are_reported(capsys):
    epochs(0, prefetch_mode='cpu')
    assert "prefetch_mode: 'cpu' without workers" in capsys.readouterr().err


# --- loaders ----------------------------------------------------------------------------------------------------------


class Pictures(Dataset):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return int(index)


@pytest.mark.parametrize(('size', 'world_size', 'batch', 'batches'), [(3, 1, 2, 2), (485, 1, 16, 31), (485, 4, 4, 31)])
def test_an_epoch_has_the_batches_that_basicsr_counts(size, world_size, batch, batches):
    opt = {'phase': 'train', 'batch_size_per_gpu': batch, 'num_worker_per_gpu': 0}
    drawn = []
    for rank in range(world_size):
        sampler = EnlargedSampler(Pictures(size), world_size, rank)
        loader = build_dataloader(Pictures(size), opt, dist=world_size > 1, sampler=sampler)
        assert len(loader) == len(list(loader)) == batches
        drawn += [int(index) for batch in loader for index in batch]
    assert len(drawn) == batches * batch * world_size
    assert set(drawn) == set(range(size))


def test_a_dataset_without_a_batch_is_an_error():
    opt = {'phase': 'train', 'name': 'few', 'batch_size_per_gpu': 4, 'num_worker_per_gpu': 0}
    sampler = EnlargedSampler(Pictures(3), 1, 0)
    with pytest.raises(InputError, match=r"'few' gives a process 3 images per epoch, fewer than its batch of 4"):
        build_dataloader(Pictures(3), opt, sampler=sampler)
    repeated = EnlargedSampler(Pictures(3), 1, 0, ratio=2)
    assert len(build_dataloader(Pictures(3), opt, sampler=repeated)) == 2
    with pytest.raises(InputError, match="'none' gives a process 0 images"):
        build_dataloader(Pictures(0), {'phase': 'val', 'name': 'none'})


class Broken(Pictures):
    def __getitem__(self, index):
        raise InputError('coffee.png is no image.')
