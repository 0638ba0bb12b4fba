"""How an error that nobody handles is reported: in one line where it can be, and by one process of several."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from entropy_sde_plugin.errors import InputError, print_error
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
        # PyTorch, which is imported by now if it is used, has to be imported after `wait_passively`.
        from entropy_sde_plugin.utils.distributed import OtherProcessError, is_lost_peer

        follows = is_lost_peer(error) or isinstance(error, OtherProcessError)
        if follows or (isinstance(error, (InputError, KeyboardInterrupt)) and is_follower()):
            let_another_process_report()
        if isinstance(error, InputError):
            _report(error)
        elif isinstance(error, KeyboardInterrupt):
            print_error('Interrupted (Ctrl-C).')
        elif is_lost_peer(error):
            print_error('Another process of this run has ended, so this one cannot go on: see what that one printed.')
        else:
            self._others(kind, error, trace)


def _report(error: InputError) -> None:
    # A DataLoader's worker passes its error on as a string that ends in "…InputError: <message>".
    print_error(str(error).split(f'{InputError.__module__}.{InputError.__qualname__}: ')[-1].strip())
