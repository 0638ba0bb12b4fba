"""How the threads of PyTorch wait for each other.

OpenMP's threads spin between two parallel loops, for milliseconds by default. On a machine with other work that is time
taken from the thread they wait for: enhancing a 600x400 image beside busy processes cost eight times the core-seconds.
"""

from __future__ import annotations

import os

__all__ = ['wait_passively']

POLICY = {
    # GNU's library, which PyTorch's packages for Linux bring, and LLVM's: sleep while waiting.
    'OMP_WAIT_POLICY': 'PASSIVE',
    # GNU's: but first spin for some tens of microseconds, as long as putting a thread to sleep and waking it takes.
    # A third of it makes training steps a third slower on a quiet machine; twice as much costs more on a busy one.
    'GOMP_SPINCOUNT': '3000',
}


def wait_passively() -> None:
    """Let this process and its children wait without spinning for long.

    OpenMP reads the variables when PyTorch is imported: call this before. Where one of them is set, the user has
    chosen, and none is changed.
    """
    if not POLICY.keys() & os.environ.keys():
        os.environ.update(POLICY)
