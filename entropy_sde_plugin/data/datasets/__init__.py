"""Datasets that BasicSR's loaders read: pairs of dark and bright images, and pairs synthesised while training."""

from __future__ import annotations

from entropy_sde_plugin.data.datasets.lol import LOLDataset
from entropy_sde_plugin.data.datasets.ntire import NTIRELowLightDataset
from entropy_sde_plugin.data.datasets.paired import PairedLowLightDataset
from entropy_sde_plugin.data.datasets.synthetic import SyntheticLowLightDataset

__all__ = ['LOLDataset', 'NTIRELowLightDataset', 'PairedLowLightDataset', 'SyntheticLowLightDataset']
