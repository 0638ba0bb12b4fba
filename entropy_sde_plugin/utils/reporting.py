"""How an error that nobody handles is reported: in one line where it can be, and by one process of several."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from entropy_sde_plugin.errors import InputError, OtherProcessError, print_error
from entropy_sde_plugin.utils.launchers import is_follower, let_another_process_report

__all__ = ['report_input_errors']


def report_input_errors() -> None:
    """Let an uncaught ``InputError``, or Ctrl-C, end this process with ``error: …``, without a traceback.

    Idempotent. Other exceptions are reported as before. In a distributed run torch puts ``[rank0]:`` before the line. A
    fault that all processes of torchrun share is reported by the first of them; a process that fails since another one
    has ended leaves the report to that one.
    """
    if not isinstance(sys.excepthook, _Reporter):
        sys.excepthook = _Reporter(sys.excepthook)


class _Reporter:
    def __init__(self, others: Callable[..., None]) -> None:
        self._others = others

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        lost = _is_lost_peer(error)
        if lost or isinstance(error, OtherProcessError) or (isinstance(error, InputError) and is_follower()):
            let_another_process_report()
        if isinstance(error, InputError):
            _report(error)
        elif isinstance(error, KeyboardInterrupt):  # of all processes: torchrun does not end the others
            if not is_follower():
                print_error('Interrupted (Ctrl-C).')
        elif lost:
            print_error('Another process of this run has ended, so this one cannot go on: see what that one printed.')
        else:
            self._others(kind, error, trace)


def _is_lost_peer(error: BaseException) -> bool:
    if 'torch.distributed' not in sys.modules:  # no collective operation; PyTorch may be missing
        return False
    from entropy_sde_plugin.utils.distributed import is_lost_peer

    return is_lost_peer(error)


def _report(error: InputError) -> None:
    # A DataLoader's worker passes its error on as a string that ends in "…InputError: <message>".
    print_error(str(error).split(f'{InputError.__module__}.{InputError.__qualname__}: ')[-1].strip())
