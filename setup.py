"""Build steps that pyproject.toml cannot say: the start-up file beside the package, the option files inside it."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

STARTUP_FILE = 'entropy_sde_plugin.pth'


def native_extensions() -> list[Extension]:
    """Return the spatial entropy's native engine, optional: a machine without a compiler installs all the same.

    It is loaded through ctypes and needs no Python headers. The flags are those of GCC and Clang; for another compiler
    the build fails and is skipped. Nothing is compiled for the building machine's processor alone: the code holds
    several instruction sets and chooses when it runs.
    """
    native = runpy.run_path('entropy_sde_plugin/losses/spatial_entropy/native/__init__.py')
    source, *headers = [str(path) for path in native['sources']()]
    return [
        Extension(
            'entropy_sde_plugin.losses.spatial_entropy.native._spatial_entropy',
            [source],
            depends=headers,
            define_macros=[('SPATIAL_ENTROPY_SOURCES', f'"{native["digest"]()}"')],
            language='c++',
            extra_compile_args=[
                '-std=c++17',
                '-O3',
                '-g0',
                '-fvisibility=hidden',
                '-fno-math-errno',
                '-ffp-contract=off',
                '-pthread',
            ],
            extra_link_args=['-pthread'],
            optional=True,
        )
    ]


class BuildWithStartupFile(build_py):
    """Put the start-up file at the root of the wheel, where Python reads it, and the option files into the package.

    An editable wheel has no ``build_lib`` of its own: what shall lie at its root goes where the ``install`` command
    would put libraries. Its option files stay in the checkout.
    """

    def run(self) -> None:
        # What an earlier build left here, deleted modules included, would go into the wheel.
        shutil.rmtree(Path(self.build_lib, 'entropy_sde_plugin'), ignore_errors=True)
        super().run()
        root = self.get_finalized_command('install').install_lib if self.editable_mode else self.build_lib
        for source, target in self._extra_files(root):
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target, preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return super().get_outputs(include_bytecode) + [target for _, target in self._extra_files(self.build_lib)]

    def get_source_files(self) -> list[str]:
        return super().get_source_files() + [source for source, _ in self._extra_files(self.build_lib)]

    def _extra_files(self, root: str) -> list[tuple[str, str]]:
        files = [(STARTUP_FILE, str(Path(root, STARTUP_FILE)))]
        if not self.editable_mode:
            folder = Path(root, 'entropy_sde_plugin', 'options_files')
            files += [(str(source), str(folder / source.name)) for source in sorted(Path('options').glob('*.yml'))]
        return files


class BuildPlainLibrary(build_ext):
    """Name the native engine without Python's version: ctypes loads it, and it serves every interpreter."""

    def get_ext_filename(self, fullname: str) -> str:
        name = Path(super().get_ext_filename(fullname))
        return str(name.with_name(name.name.partition('.')[0] + name.suffix))


class WheelForEveryPython(bdist_wheel):
    """Tag the wheel ``py3-none-<platform>``: it holds a library of the platform and nothing of an interpreter's."""

    def get_tag(self) -> tuple[str, str, str]:
        return 'py3', 'none', super().get_tag()[2]


setup(
    cmdclass={'build_py': BuildWithStartupFile, 'build_ext': BuildPlainLibrary, 'bdist_wheel': WheelForEveryPython},
    ext_modules=native_extensions(),
)
