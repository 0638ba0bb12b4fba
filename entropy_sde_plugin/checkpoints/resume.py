"""Resuming: the choice of the training state, its checks, and its seed."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

from entropy_sde_plugin.checkpoints import files, training_state
from entropy_sde_plugin.errors import InputError, first_line
from entropy_sde_plugin.utils.distributed import gather, warn

__all__ = ['load_resume_state', 'network_files']

_NAME_A_STATE = 'give a file <iteration>.state in the folder training_states of an experiment.'


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """Load the training state to resume from, with the networks' paths set beside it.

    With ``--auto_resume`` it is the newest state of the experiment, otherwise ``path.resume_state``. A state that is
    truncated, damaged or of another iteration, or whose networks are truncated, damaged or not those it was saved with,
    is skipped with a warning, and the next older one is used. ``manual_seed`` is the state's by default.

    Called in every process.

    Returns:
        The state, or None if there is nothing to resume from.

    Raises:
        InputError: There are states, but none is complete; the given one does not exist or belongs to another
            experiment; its iteration is after ``train.total_iter``; the options give another ``manual_seed``; or the
            processes would resume from different states.
    """
    state = None

    def choose() -> Any:
        nonlocal state
        state = _chosen(opt)
        return state and (state['iter'], state.get('networks'))

    first, *others = gather(choose)
    for rank, other in enumerate(others, 1):
        if other != first:
            raise InputError(
                f'The processes would resume from different states, process 0 from {_words(first)} and process {rank} '
                f"from {_words(other)}: all of them need the same files in '{opt['path']['experiments_root']}'."
            )
    return state


def _words(chosen: tuple[int, Any] | None) -> str:
    return 'none' if chosen is None else f'iteration {chosen[0]}'


def _chosen(opt: dict[str, Any]) -> dict[str, Any] | None:
    from basicsr.utils import check_resume

    path_opt = opt['path']
    if opt['auto_resume']:
        candidates = _newest_first(Path(path_opt['training_states']))
    elif path_opt.get('resume_state'):
        candidates = _from(Path(path_opt['resume_state']), opt)
    else:
        return None
    if not candidates:
        return None

    is_foreign = False
    for path in candidates:
        try:
            state = _load(path)
            _check_networks(network_files(opt, state['iter']), state.get('networks', {}))
        except IncompleteError as error:
            if not path.stem.isdecimal():  # the user gave this file: use no other instead
                raise InputError(f'path.resume_state: {error}: {_NAME_A_STATE}') from None
            warn(f'cannot resume from {path}: {error}.')
            is_foreign = is_foreign or isinstance(error, ForeignError)
            continue
        if path != candidates[0]:
            warn(f'resuming from the older {path} instead.')
        _check_end(opt, state, path)
        path_opt['resume_state'] = str(path)
        _use_saved_seed(opt, state, path)
        check_resume(opt, state['iter'])
        return state
    if is_foreign and _is_elsewhere(candidates[0], opt):
        raise _of_another_experiment(candidates[0], opt)
    raise InputError(
        f"None of the {len(candidates)} training states in '{candidates[0].parent}' is complete: "
        'move the experiment away and start again.'
    )


class IncompleteError(Exception):
    """A checkpoint file is missing, truncated, damaged, unreadable or of another checkpoint."""


class ForeignError(IncompleteError):
    """A network is that of another state."""


def network_files(opt: dict[str, Any], current_iter: int) -> list[Path]:
    """Return the files of the networks of an iteration's state, by the options that ``check_resume`` sets."""
    ignored = opt['path'].get('ignore_resume_networks') or ()
    labels = [key.removeprefix('network_') for key in opt if key.startswith('network_') and key not in ignored]
    return [Path(opt['path']['models'], f'net_{label}_{current_iter}.pth') for label in labels]


def _newest_first(folder: Path) -> list[Path]:
    states = [path for path in folder.glob('*.state') if path.stem.isdecimal()]
    return sorted(states, key=lambda path: int(path.stem), reverse=True)


def _from(state: Path, opt: dict[str, Any]) -> list[Path]:
    """Return the given state and, in case it is incomplete, the older ones in its folder."""
    if state.is_dir():
        raise InputError(f"path.resume_state: '{state}' is a folder: {_NAME_A_STATE}")
    if not state.is_file():
        raise InputError(f"path.resume_state: there is no '{state}'.")
    if not state.stem.isdecimal():
        return [state]
    _check_experiment(state, opt)
    return [state] + [path for path in _newest_first(state.parent) if int(path.stem) < int(state.stem)]


def _check_experiment(state: Path, opt: dict[str, Any]) -> None:
    """Reject a state of another experiment: its networks would be looked for in the folder of the options' ``name``."""
    networks = network_files(opt, int(state.stem))
    if _is_elsewhere(state, opt) and networks and not any(path.exists() for path in networks):
        raise _of_another_experiment(state, opt)


def _is_elsewhere(state: Path, opt: dict[str, Any]) -> bool:
    return state.parent.resolve() != Path(opt['path']['training_states']).resolve()


def _of_another_experiment(state: Path, opt: dict[str, Any]) -> InputError:
    network = network_files(opt, int(state.stem))[0]
    other = state.resolve().parent.parent
    fault = f"and '{network}' is not its network" if network.exists() else f"and there is no '{network}'"
    return InputError(
        f"path.resume_state: '{state}' belongs to the experiment '{other.name}', {fault}: "
        f"set name: {other.name} to continue it, or start '{opt['name']}' from its weights "
        f'(path.pretrain_network_g: {other / "models" / network.name}).'
    )


def _check_whole(path: Path) -> None:
    if damage := files.damage(path):
        raise IncompleteError(f'{path} {damage}')


def _check_networks(networks: list[Path], fingerprints: dict[str, str]) -> None:
    for path in networks:
        _check_whole(path)
        saved_as = fingerprints.get(path.name)  # None: saved without this plugin
        if saved_as is not None and files.fingerprint(path) != saved_as:
            raise ForeignError(f'{path} was not saved with it')


def _load(path: Path) -> dict[str, Any]:
    _check_whole(path)
    try:
        # On the CPU: the optimisers move what they load to where their parameters are.
        state = files.load(path)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise IncompleteError(f'{path} is unreadable ({first_line(error)})') from error
    if fault := training_state.fault(state, path):
        raise IncompleteError(f'{path} {fault}')
    return state


def _check_end(opt: dict[str, Any], state: dict[str, Any], path: Path) -> None:
    """Reject a state after ``train.total_iter``: its weights would be saved as the last iteration's."""
    last = int(opt['train']['total_iter'])
    if state['iter'] > last:
        raise InputError(
            f"train.total_iter is {last}, but the training to resume from '{path}' is at iteration {state['iter']}: "
            f'raise train.total_iter, or give a state up to iteration {last} (path.resume_state).'
        )


def _use_saved_seed(opt: dict[str, Any], state: dict[str, Any], path: Path) -> None:
    """Use the seed of the resumed run.

    P+M options.py:107 draws a seed if the options give none. Symptom: a resumed run uses another seed.
    """
    saved, present = state.get('run', {}).get('manual_seed'), opt.get('manual_seed')
    if saved is None or saved == present:
        return
    if getattr(opt, 'seed_is_given', True):
        raise InputError(
            f"manual_seed is {present}, but the training to resume from '{path}' has {saved}: set "
            f'manual_seed: {saved}, or leave it out. For a training under another seed, start from the weights '
            '(path.pretrain_network_g).'
        )
    opt['manual_seed'] = saved
    for name, section in opt['datasets'].items():
        # By default its seed is the run's. A plain section: a data set that is already built has the other seed.
        if section.get('seed') == present:
            opt['datasets'][name] = OrderedDict(section, seed=saved)
    from basicsr.utils.misc import set_random_seed

    set_random_seed(saved + opt['rank'])
