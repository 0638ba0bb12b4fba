"""Options of a system: what training and test share, in option files and in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import msgspec

from entropy_sde_plugin.data.options import DatasetOptions
from entropy_sde_plugin.utils.schema import parse

__all__ = ['SystemOptions']

Own = TypeVar('Own', bound='SystemOptions')


class SystemOptions(msgspec.Struct, frozen=True):
    """Options of a system at the top level of an option file.

    A system adds its sections, among them ``sampler`` with a ``seed``, and lists in ``trained`` those that its weights
    depend on.
    """

    system: ClassVar[str]
    """Name of the system, in checkpoints."""
    trained: ClassVar[tuple[str, ...]]
    """The options that weights depend on."""
    adjustable: ClassVar[frozenset[str]] = frozenset()
    """Of these, by dotted names, the ones that a further training or a test may change."""

    carried_of_sampler: ClassVar[tuple[str, ...]] = ()
    """The options of ``sampler`` that a checkpoint carries where they are given."""

    def settings(self) -> dict[str, Any]:
        """Return the options that weights depend on, as plain values, and the system's name, for a checkpoint."""
        return {name: msgspec.to_builtins(getattr(self, name)) for name in self.trained} | {'system': self.system}

    def carried(self) -> dict[str, Any]:
        """Return what a checkpoint says of its weights: the settings, and how to use the weights."""
        own: Any = self
        sampler = {name: getattr(own.sampler, name) for name in self.carried_of_sampler}
        given = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in sampler.items()
            if value is not None
        }
        return self.settings() | ({'sampler': given} if given else {})

    @classmethod
    def from_settings(cls: type[Own], settings: Mapping[str, Any]) -> Own:
        """Read what :meth:`carried` returned, or a part of it.

        Raises:
            InputError: Unknown setting, or one out of its range.
        """
        return parse(cls, {key: value for key, value in settings.items() if key != 'system'}, '')

    @classmethod
    def from_options(cls: type[Own], opt: Mapping[str, Any]) -> Own:
        """Read the system's options from a BasicSR option dictionary.

        Raises:
            InputError: Unknown option, or one out of its range.
        """
        names = {field.name for field in msgspec.structs.fields(cls)}
        return parse(cls, {key: opt[key] for key in names if key in opt}, '')

    def with_seed(self: Own, seed: int) -> Own:
        """Return the options with another seed of the sampler."""
        own: Any = self
        return msgspec.structs.replace(own, sampler=msgspec.structs.replace(own.sampler, seed=seed))

    def check_datasets(self, datasets: Mapping[str, DatasetOptions]) -> None:
        """Check what the system asks of the data sets of a run.

        Args:
            datasets: Options of our data sets, by their keys.

        Raises:
            InputError: One of them contradicts the options.
        """
