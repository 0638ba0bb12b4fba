"""What `ablation.py` compares: studies of variants, each a change of an option file, mostly `options/ablation.yml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from entropy_sde_plugin.utils.resources import options_folder, packaged_model

__all__ = ['BASE', 'STUDIES', 'Study', 'Variant']

BASE = 1500
"""Iterations of the training under L1 that studies continue."""


@dataclass(frozen=True)
class Variant:
    """A name and the options it changes."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """Variants that are compared with each other.

    Attributes:
        title: For the table.
        variants: Its rows.
        iterations: Length of every run.
        continues: Whether the runs start from the network of the training under L1, not from chance.
        options: What all of its runs change.
        of_pairs: What they also change where the pairs are real.
        file: The option file that is changed; data for validation, its metrics and the log are those of
            ``ablation.yml``.
    """

    title: str
    variants: tuple[Variant, ...]
    iterations: int
    continues: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    of_pairs: Mapping[str, Any] = field(default_factory=dict)
    file: str = 'ablation.yml'


def alone(name: str, **arguments: Any) -> Variant:
    """The entropy in L1's place, as the paper trains."""
    return Variant(name, {'train': {'pixel_opt': {'type': 'SpatialEntropyLoss'} | arguments}})


def beside(name: str, weight: float, **arguments: Any) -> Variant:
    """The entropy beside L1."""
    return Variant(name, {'train': {'entropy_opt': entropy(weight, **arguments)}})


def entropy(weight: float, **arguments: Any) -> dict[str, Any]:
    """The options of a spatial entropy beside another loss."""
    return {'type': 'SpatialEntropyLoss', 'loss_weight': weight} | arguments


HELLINGER, RELATIVE = {'distance': 'hellinger'}, {'distance': 'relative_entropy'}
DETAILS = HELLINGER | {'subtract_local_mean': 15, 'intensity_range': [-0.25, 0.25]}
OPEN = {'clamp': False}
GENERALISED = RELATIVE | OPEN | {'generalised': True}
CONTINUATION = {
    'path': {'pretrain_network_g': 'experiments/base/models/net_g_latest.pth', 'param_key_g': 'params_ema'},
    'train': {'optim_g': {'lr': 3e-4}, 'warmup_iter': -1},
}
FROM_PACKAGED = {
    'network_g': yaml.safe_load((options_folder() / 'train_lowlight_small.yml').read_text())['network_g'],
    'path': {'pretrain_network_g': str(packaged_model())},
    'train': {'optim_g': {'lr': 1e-4}, 'warmup_iter': -1},
}
TABLE_3 = (
    Variant('L1'),
    alone('hellinger', **HELLINGER),
    alone('relative_entropy', **RELATIVE),
)

STUDIES = {
    'scratch': Study(
        "The paper's Table 3 from the first step on, and forms of the entropy that keep a gradient there.",
        (
            *TABLE_3,
            alone('hellinger_no_clamp', **HELLINGER, **OPEN),
            alone('generalised_refining', **GENERALISED, levels=[[0, 8], [233, 16], [467, 32]]),
            beside('L1_and_hellinger', 0.1, **HELLINGER),
            *(
                beside(f'L1_and_hellinger_{levels}_levels', 0.03, **HELLINGER, levels=levels)
                for levels in (8, 16, 32, 64)
            ),
        ),
        iterations=700,
    ),
    'continued': Study(
        "The paper's Table 3, each loss going on from the same network trained under L1.",
        (
            *TABLE_3,
            beside('L1_and_hellinger', 0.1, **HELLINGER),
            alone('generalised', **GENERALISED),
            beside('L1_and_generalised', 0.03, **GENERALISED),
        ),
        iterations=300,
        continues=True,
        options=CONTINUATION,
    ),
    'details': Study(
        'The entropy of details beside L1, each going on from the same network trained under L1.',
        (
            Variant('L1'),
            beside('L1_and_hellinger', 0.3, **HELLINGER),
            *(beside(f'L1_and_details_{weight}', weight, **DETAILS) for weight in (0.1, 0.3, 1.0)),
            beside('L1_and_details_8_levels', 0.3, **DETAILS, levels=8),
        ),
        iterations=1500,
        continues=True,
        options=CONTINUATION,
    ),
    'packaged': Study(
        "The paper's Table 3, each loss going on from the model in the package.",
        (*TABLE_3, alone('hellinger_window_1', **HELLINGER, windows=[1])),
        iterations=600,
        options=FROM_PACKAGED,
    ),
    'forms': Study(
        'Forms of the loss, each alone and going on from the same network trained under L1.',
        (
            alone('window_1', **HELLINGER, windows=[1]),
            alone('window_1_64_levels', **HELLINGER, windows=[1], levels=64),
            alone('windows_1_3_5', **HELLINGER),
            alone('window_11', **HELLINGER, windows=[11]),
            alone('levels_8', **HELLINGER, levels=8),
            alone('levels_16', **HELLINGER, levels=16),
            alone('levels_64', **HELLINGER, levels=64),
            alone('neighbours_mean', **HELLINGER, neighbour_weights='mean'),
            alone('neighbours_legacy', **HELLINGER, neighbour_weights='legacy_normal'),
            alone('no_clamp', **HELLINGER, **OPEN),
            alone('relative_no_clamp', **RELATIVE, **OPEN),
            alone('generalised_refining', **GENERALISED, levels=[[0, 8], [100, 16], [200, 32]]),
        ),
        iterations=300,
        continues=True,
        options=CONTINUATION,
    ),
    'objectives': Study(
        'What the network puts out, and where the loss compares, from the first step on.',
        (
            Variant('x0_at_x0'),
            Variant('x0_at_previous_state', {'train': {'objective': 'previous_state'}}),
            Variant('noise_at_x0', {'prediction': 'noise'}),
            Variant('noise_at_previous_state', {'prediction': 'noise', 'train': {'objective': 'previous_state'}}),
        ),
        iterations=700,
    ),
    'lldiffusion': Study(
        'LLDiffusion with and without its degradation branch, and with the spatial entropy at the estimated image.',
        (
            Variant('as_published'),
            Variant('no_degradation', {'train': {'degradation_opt': None}}),
            *(
                Variant(
                    f'entropy_{weighting}',
                    {'train': {'entropy_opt': entropy(0.03, **HELLINGER, levels=8), 'entropy_weighting': weighting}},
                )
                for weighting in ('abar', 'first_half')
            ),
        ),
        iterations=3000,
        options={
            'datasets': {'train': {'batch_size_per_gpu': 2}},
            'train': {'freeze': {'after_iter': 400}, 'optim_g': {'lr': 1e-3}, 'warmup_iter': 100},
        },
        # Most of an image in half of the crops: a small part does not say how bright the whole becomes.
        of_pairs={'datasets': {'train': {'resize_prob': 0.5, 'resize_factor': 0.25}}},
        file='demo_lldiffusion.yml',
    ),
}
