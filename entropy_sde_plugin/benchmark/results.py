"""What a benchmark has found, in a folder: ``results.json``, and the same as tables in ``results.md``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from entropy_sde_plugin.benchmark.part import Row
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.atomic_file import write_file

__all__ = ['Found', 'Machine', 'Results']

JSON_FILE = 'results.json'
TABLES_FILE = 'results.md'


class Machine(msgspec.Struct, frozen=True):
    """What all parts of a folder have in common.

    Attributes:
        device: ``'cuda'`` or ``'cpu'``.
        name: The device's name.
        quick: As in `part.Settings`.
        torch: Version of PyTorch.
        version: Version of this package.
    """

    device: str
    name: str
    quick: bool
    torch: str
    version: str

    def __str__(self) -> str:
        quick = ', quick' if self.quick else ''
        return f'{self.name}{quick}, PyTorch {self.torch}, entropy_sde_plugin {self.version}'


class Found(msgspec.Struct, frozen=True):
    """The rows of a part under a title, and the seconds that its process took."""

    title: str
    rows: list[Row]
    seconds: float

    @property
    def problems(self) -> list[Row]:
        """The rows in which something is wrong."""
        return [row for row in self.rows if row.problem]

    def __str__(self) -> str:
        problems = f', {len(self.problems)} with a problem' if self.problems else ''
        return f'{len(self.rows)} rows in {self.seconds:.0f} s{problems}'


class Results(msgspec.Struct):
    """What was found on a machine, by the names of the parts."""

    machine: Machine
    parts: dict[str, Found] = {}

    @classmethod
    def read(cls, folder: Path, machine: Machine) -> Results:
        """Read what an earlier run left in a folder; nothing if there was none.

        Raises:
            InputError: The folder's results are damaged, or those of another machine.
        """
        path = folder / JSON_FILE
        if not path.exists():
            return cls(machine)
        try:
            results = msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.MsgspecError as error:
            raise InputError(f"'{path}' does not hold results of bench-gpu ({error}): choose another folder.") from None
        if results.machine != machine:
            raise InputError(
                f"'{path}' was measured on {results.machine}, but this run is on {machine}: choose another folder."
            )
        return results

    def has(self, part: str) -> bool:
        """Return whether a part was finished without a problem."""
        return part in self.parts and not self.parts[part].problems

    def write(self, folder: Path) -> None:
        """Replace both files; the folder is created.

        Raises:
            WriteError: They could not be written.
        """
        write_file(folder / JSON_FILE, msgspec.json.format(msgspec.json.encode(self)) + b'\n')
        write_file(folder / TABLES_FILE, self.tables().encode())

    def tables(self) -> str:
        """Format the results as Markdown."""
        lines = [f'# bench-gpu: {self.machine}']
        for name, found in self.parts.items():
            lines += ['', f'## {found.title}', '', *_table(found.rows), '', f'`{name}`: {found}.']
        return '\n'.join(lines) + '\n'


def _table(rows: Sequence[Row]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row.values))
    with_problems = any(row.problem for row in rows)
    header = ['case', *columns, *(['problem'] if with_problems else [])]
    lines = [_line(header), '|---' * len(header) + '|']
    for row in rows:
        cells = [row.case, *(_cell(row.values.get(column, '')) for column in columns)]
        lines.append(_line([*cells, row.problem] if with_problems else cells))
    return lines


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f'{value:.4g}'


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cell.replace("|", "/") for cell in cells)} |'
