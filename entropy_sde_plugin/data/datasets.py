"""The datasets; importing this module registers them with BasicSR."""

from entropy_sde_plugin.data.lol_dataset import LOLDataset
from entropy_sde_plugin.data.ntire_dataset import NTIRELowLightDataset
from entropy_sde_plugin.data.paired_lowlight_dataset import PairedLowLightDataset
from entropy_sde_plugin.data.synthetic_lowlight_dataset import SyntheticLowLightDataset

__all__ = ['LOLDataset', 'NTIRELowLightDataset', 'PairedLowLightDataset', 'SyntheticLowLightDataset']
