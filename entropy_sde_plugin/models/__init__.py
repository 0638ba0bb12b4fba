"""Models, registered in BasicSR's MODEL_REGISTRY."""

from entropy_sde_plugin.models.irsde_model import IRSDEModel

__all__ = ['IRSDEModel']
