"""The layout: few loose modules in the package; test folders mirror it, and what is shared lies in tests/support.

Tests of the repository itself (this one, the import order) and of `_bootstrap` lie at the top, those of several parts
together in tests/integration, those of README and docs in tests/docs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.commands import ROOT

TESTS = ROOT / 'tests'
NOT_MIRRORED = {'docs', 'integration', 'support'}


def imported(path: Path) -> Iterator[str]:
    """Yield the modules and, of ``from``, the names that a file imports, with their packages."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = '.'.join([*base, node.module] if node.module else base)
            yield from (f'{module}.{alias.name}' for alias in node.names)


def test_the_package_has_few_loose_modules():
    loose = [path.name for path in (ROOT / 'entropy_sde_plugin').glob('*.py')]
    assert len(loose) <= 6, 'a new module belongs into a package: see docs/architecture.md'


def test_of_the_tests_only_the_support_is_imported():
    files = [*TESTS.rglob('*.py'), *(ROOT / 'scripts').rglob('*.py')]
    wrong = [
        f'{path.relative_to(ROOT)} imports {name}'
        for path in files
        for name in imported(path)
        if name.split('.')[0] == 'tests' and name.split('.')[:2] != ['tests', 'support']
    ]
    assert not wrong


def test_folders_mirror_the_package():
    """tests/X/test_Y.py tests the module or package Y of entropy_sde_plugin/X; tests/scripts, a program in scripts/."""
    wrong = []
    for test in TESTS.rglob('test_*.py'):
        place = test.relative_to(TESTS).parent
        name = test.stem.removeprefix('test_')
        if not place.parts or place.parts[0] in NOT_MIRRORED:
            continue
        if place == Path('scripts'):
            found = any((ROOT / 'scripts').glob(f'*/{name}.py'))
        else:
            subject = ROOT / 'entropy_sde_plugin' / place / name
            found = subject.is_dir() or subject.with_suffix('.py').is_file()
        if not found:
            wrong.append(str(test.relative_to(ROOT)))
    assert not wrong
    assert not [str(path) for path in (TESTS / 'support').rglob('test_*.py')]


def test_class_variables_say_their_type():
    """Under Python 3.10 the annotations of a struct with a plain ClassVar cannot be read."""
    plain = re.compile(r': ClassVar( =|$)', re.MULTILINE)
    assert not [str(path) for path in (ROOT / 'entropy_sde_plugin').rglob('*.py') if plain.search(path.read_text())]
