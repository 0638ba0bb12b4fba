"""The records of a validation or test: ``metrics.csv`` and ``run.json``.

They lie in the experiment's folder, or in that of a test's results. Both are replaced whole with every validation; a
run that is killed leaves the files of its last complete one.

**metrics.csv** (UTF-8, comma, header) has a row per validation, seed and image:

========== =================================================================================================
column     content
========== =================================================================================================
iteration  of the training; empty in a test
dataset    the dataset's ``name``
seed       of the sampling
image      the image's name within its set; empty in a row that scores the whole set
*settings* of some systems, what their figures depend on: ``illumination_correction`` of ExposureDiffusion
*metrics*  a column per key of ``val.metrics``, full precision. ``n/a``: the metric could not run (run.json
           says why). Empty: it does not belong in the row: an image's metric in the row of a set, a set's in the
           row of an image, or one that was not asked for in that validation
seconds    of the restoration, loading and metrics left out; empty for a set
========== =================================================================================================

A column's mean over the numbers of one iteration and dataset is the mean that the log shows. A validation takes the
place of an earlier one of the same iteration and dataset, as after a resumed training.

**run.json** says what the figures were made with. ``options`` are those of the last validation; what a resumed run may
have changed since an earlier one is in that one's entry too:

=============== ============================================================================================
key             content
=============== ============================================================================================
name            of the run
options         the option file as it was used: after ``--force_yml`` and defaults
versions        of ``python``, ``torch``, ``basicsr`` and ``entropy_sde_plugin``
device          ``cpu``, or the name of the GPU
sampler         the section ``sampler`` with its defaults; ``steps`` is the number of network calls per image
validations     a list, one for each iteration and dataset, of: ``iteration`` (null in a test), ``dataset``,
                ``seeds``, ``images``, ``data_sha256`` (names and images, input and truth, as the network and
                the metrics receive them), ``weights_sha256`` (of the tensors that restored, see ``weights_sha256``),
                ``weights_file`` and ``weights_file_sha256`` (what a test loaded; null in a training),
                ``processes``, ``seconds_per_image``, ``unavailable`` (why, by the key of each metric that is
                n/a); and ``sampler``, ``device`` and ``versions`` as above
=============== ============================================================================================
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor

from entropy_sde_plugin import __version__
from entropy_sde_plugin.errors import InputError, MetricUnavailableError
from entropy_sde_plugin.evaluation.scoring import Score
from entropy_sde_plugin.evaluation.validator import Validation
from entropy_sde_plugin.utils.atomic_file import write_file
from entropy_sde_plugin.utils.paths import read_text

__all__ = ['METRICS_FILE', 'RUN_FILE', 'file_sha256', 'read_metrics', 'read_run', 'weights_sha256', 'write_records']

METRICS_FILE = 'metrics.csv'
RUN_FILE = 'run.json'
UNAVAILABLE = 'n/a'
_FIRST, _LAST = ('iteration', 'dataset', 'seed', 'image'), ('seconds',)


def write_records(
    folder: Path,
    validation: Validation,
    iteration: int | None,
    run: Mapping[str, Any],
    made_with: Mapping[str, Any],
    beside: Mapping[str, str],
) -> None:
    """Add a validation to ``metrics.csv`` and ``run.json``.

    Args:
        folder: Where they lie; it exists.
        validation: The table.
        iteration: Iteration of the training, None in a test.
        run: ``name``, ``options``, ``sampler`` and ``device`` of the run.
        made_with: ``weights_sha256``, ``weights_file`` and ``weights_file_sha256`` of this validation.
        beside: Settings to show beside the figures of every row.

    Raises:
        InputError: A file of one of these names exists, and this package did not write it.
        WriteError: They could not be written.
    """
    key = {'iteration': '' if iteration is None else str(iteration), 'dataset': validation.dataset}
    rows = [row for row in read_metrics(folder) if any(row[name] != value for name, value in key.items())]
    rows += [
        {
            **key,
            'seed': str(row.seed),
            'image': row.image,
            **beside,
            **{name: _text(score) for name, score in row.scores.items()},
            'seconds': '' if row.seconds is None else f'{row.seconds:.4f}',
        }
        for row in validation.rows
    ]
    versions = _versions()
    entry = {
        'iteration': iteration,
        'dataset': validation.dataset,
        'seeds': list(validation.seeds),
        'images': validation.images,
        'data_sha256': validation.data_sha256,
        **made_with,
        'processes': validation.processes,
        'seconds_per_image': validation.seconds_per_image,
        'unavailable': _reasons(validation),
        'sampler': run['sampler'],
        'device': run['device'],
        'versions': versions,
    }
    earlier = [
        other
        for other in read_run(folder).get('validations', [])
        if (other['iteration'], other['dataset']) != (iteration, validation.dataset)
    ]
    content = {**run, 'versions': versions, 'validations': [*earlier, entry]}
    write_file(folder / METRICS_FILE, _csv(rows).encode())
    write_file(folder / RUN_FILE, (json.dumps(content, indent=2, default=str) + '\n').encode())


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Read ``metrics.csv``, its cells as they are written; no rows where there is no such file.

    Raises:
        InputError: This package did not write the file of that name.
    """
    path = folder / METRICS_FILE
    try:
        reader = csv.DictReader(io.StringIO(read_text(path)), restval='')
        rows = list(reader)
    except FileNotFoundError:
        return []
    except (OSError, csv.Error) as error:
        raise InputError(f'{path}: it cannot be read ({_reason(error)}); move it away.') from None
    if missing := [name for name in (*_FIRST, *_LAST) if name not in (reader.fieldnames or ())]:
        raise InputError(f"{path}: no column '{missing[0]}', so it is not a table of validations; move it away.")
    if longer := [number for number, row in enumerate(rows, 1) if None in row]:
        raise InputError(f'{path}: row {longer[0]} has more cells than the table has columns; move it away.')
    return rows


def read_run(folder: Path) -> dict[str, Any]:
    """Read ``run.json``; an empty dictionary where there is no such file.

    Raises:
        InputError: This package did not write the file of that name.
    """
    path = folder / RUN_FILE
    try:
        content = json.loads(read_text(path))
        msgspec.convert(content, _Record)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f'{path}: it cannot be read ({_reason(error)}); move it away.') from None
    except (ValueError, RecursionError) as error:  # of JSON, or of another structure
        raise InputError(f'{path}: it is not the record of a run ({_reason(error)}); move it away.') from None
    return content


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class _ValidationEntry(msgspec.Struct):
    """What readers need of an entry of ``validations``."""

    iteration: int | None
    dataset: str
    seeds: Annotated[list[int], msgspec.Meta(min_length=1)]
    images: int
    data_sha256: str
    weights_sha256: str
    processes: int
    seconds_per_image: float
    unavailable: dict[str, str]
    sampler: dict[str, Any]


class _Sampler(msgspec.Struct):
    """What readers need of ``sampler``."""

    type: str
    steps: Any


class _Val(msgspec.Struct):
    """What readers need of the section ``val`` of the options."""

    metrics: dict[str, dict[str, Any]] | None = None


class _Options(msgspec.Struct):
    """What readers need of ``options``."""

    datasets: dict[str, dict[str, Any]] = {}  # none where a model is used without BasicSR's pipeline
    val: _Val | None = None


class _Record(msgspec.Struct):
    """What readers need of ``run.json``."""

    name: str
    options: _Options
    versions: dict[str, Any]
    device: str
    sampler: _Sampler
    validations: list[_ValidationEntry]


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """Hash a state dict: of each entry, by name, its name, dtype, shape and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def file_sha256(path: str | Path) -> str:
    """Hash a file, as ``sha256sum`` does."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _text(score: Score) -> str:
    return UNAVAILABLE if isinstance(score, MetricUnavailableError) else repr(score)


def _reasons(validation: Validation) -> dict[str, str]:
    scores = (item for row in validation.rows for item in row.scores.items())
    return {name: str(score) for name, score in scores if isinstance(score, MetricUnavailableError)}


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    metrics = dict.fromkeys(name for row in rows for name in row if name not in (*_FIRST, *_LAST))
    text = io.StringIO()
    writer = csv.DictWriter(text, (*_FIRST, *metrics, *_LAST), restval='', lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _versions() -> dict[str, str]:
    import basicsr

    return {
        'python': platform.python_version(),
        'torch': torch.__version__,
        'basicsr': basicsr.__version__,
        'entropy_sde_plugin': __version__,
    }
