"""Datasets that BasicSR's loaders read: pairs of dark and bright images, and pairs synthesised while training."""

from __future__ import annotations

from entropy_sde_plugin.data.datasets.eld import ELDDataset
from entropy_sde_plugin.data.datasets.lol import LOLDataset
from entropy_sde_plugin.data.datasets.ntire import NTIRELowLightDataset
from entropy_sde_plugin.data.datasets.paired import PairedLowLightDataset
from entropy_sde_plugin.data.datasets.raw_pairs import RawPairDataset
from entropy_sde_plugin.data.datasets.sid import SIDDataset
from entropy_sde_plugin.data.datasets.synthetic import SyntheticLowLightDataset
from entropy_sde_plugin.data.datasets.synthetic_raw import SyntheticRawDataset

__all__ = [
    'ELDDataset',
    'LOLDataset',
    'NTIRELowLightDataset',
    'PairedLowLightDataset',
    'RawPairDataset',
    'SIDDataset',
    'SyntheticLowLightDataset',
    'SyntheticRawDataset',
]
