"""Models, registered in BasicSR's MODEL_REGISTRY."""

from entropy_sde_plugin import register

register()  # before a module of this package is half imported

from entropy_sde_plugin.models.irsde_model import IRSDEModel  # noqa: E402

__all__ = ['IRSDEModel']
