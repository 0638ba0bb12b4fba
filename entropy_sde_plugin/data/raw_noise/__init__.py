"""The noise of raw images: its models, and cameras for which it was calibrated."""

from __future__ import annotations

from entropy_sde_plugin.data.raw_noise.cameras import CAMERAS, RawCamera, camera, draw_parameters, gain_for
from entropy_sde_plugin.data.raw_noise.model import NoiseDraws, NoiseModel, NoiseParameters

__all__ = [
    'CAMERAS',
    'NoiseDraws',
    'NoiseModel',
    'NoiseParameters',
    'RawCamera',
    'camera',
    'draw_parameters',
    'gain_for',
]
