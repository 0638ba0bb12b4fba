"""Reading ahead: failures, the start of the loader, the end."""

import itertools
import threading

import pytest
from basicsr.data.prefetch_dataloader import CPUPrefetcher, PrefetchDataLoader, PrefetchGenerator
from torch.utils.data import Dataset

from entropy_sde_plugin.compat.prefetching import join_prefetchers
from entropy_sde_plugin.errors import InputError


class Numbers(Dataset):
    def __init__(self, last=None):
        self.last = last

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == self.last:
            raise InputError('coffee is no image.')
        return index


def test_a_failing_dataset_ends_prefetching():
    assert [int(batch) for batch in PrefetchDataLoader(1, dataset=Numbers())] == [0, 1, 2]
    with pytest.raises(InputError, match='coffee'):
        list(PrefetchDataLoader(1, dataset=Numbers(last=1)))


def test_the_prefetcher_starts_its_loader_once():
    starts = []

    class Loader:
        def __iter__(self):
            starts.append(self)
            return iter([1, 2])

    prefetcher = CPUPrefetcher(Loader())
    prefetcher.reset()
    assert [prefetcher.next() for _ in range(3)] == [1, 2, None]
    assert len(starts) == 1


@pytest.mark.parametrize('taken', [0, 3])
def test_threads_that_read_ahead_end_with_the_run(taken):
    """One that waits for room in its queue; and of those after it, each works again."""
    ahead = PrefetchGenerator(itertools.count(), 1)
    assert [next(ahead) for _ in range(taken)] == list(range(taken))
    join_prefetchers()
    assert not [thread for thread in threading.enumerate() if isinstance(thread, PrefetchGenerator)]
    assert list(PrefetchGenerator(iter(range(5)), 1)) == list(range(5))
