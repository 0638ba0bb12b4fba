"""The datasets; importing this module registers them with BasicSR."""

from entropy_sde_plugin.data import lol_dataset, ntire_dataset, paired_lowlight_dataset, synthetic_lowlight_dataset

__all__ = ['lol_dataset', 'ntire_dataset', 'paired_lowlight_dataset', 'synthetic_lowlight_dataset']
