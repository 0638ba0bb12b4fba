"""What the networks of ExposureDiffusion (ICCV 2023) have in common: planes in, and the adaptive residual out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from entropy_sde_plugin.errors import InputError

__all__ = ['RAW_PLANES', 'ResidualParts', 'adaptive_residual', 'input_planes', 'output_planes', 'plane_options']

RAW_PLANES = 4
"""Of a packed Bayer picture."""


class ResidualParts(NamedTuple):
    """What the adaptive residual layer mixes; the auxiliary loss compares each part with the truth.

    Attributes:
        mask: M, the share of ``direct``, (B, 1, H, W), in (0, 1).
        direct: X, the image predicted as such, (B, 4, H, W), not clipped.
        residual: The image predicted as a change of the state, clip(x_t + R), (B, 4, H, W), in [0, 1].
    """

    mask: Tensor
    direct: Tensor
    residual: Tensor


def adaptive_residual(output: Tensor, state: Tensor) -> tuple[Tensor, ResidualParts]:
    """Mix two predictions of the clean image pixel by pixel (formula 12 of the paper).

    Args:
        output: Output of the last convolution, (B, 9, H, W): M before its sigmoid, X, R.
        state: x_t, (B, 4, H, W).

    Returns:
        F = M clip(X) + (1 - M) clip(x_t + R), in [0, 1], and its parts.
    """
    mask = output[:, :1].sigmoid()
    direct, change = output[:, 1 : 1 + RAW_PLANES], output[:, 1 + RAW_PLANES :]
    residual = (state + change).clamp(0, 1)
    return mask * direct.clamp(0, 1) + (1 - mask) * residual, ResidualParts(mask, direct, residual)


def input_planes(photon_plane: bool, concat_origin: bool) -> int:
    """Number of planes that go in: the state's, and four for each of the two others."""
    return RAW_PLANES * (1 + photon_plane + concat_origin)


def output_planes(adaptive: bool) -> int:
    """Number of planes of the last convolution."""
    return 1 + 2 * RAW_PLANES if adaptive else RAW_PLANES


def plane_options(first: int, last: int, name: str) -> dict[str, bool]:
    """Read ``adaptive``, ``photon_plane`` and ``concat_origin`` off the numbers of planes.

    Eight planes are taken for the state and the photon plane, as in all published weights.

    Args:
        first: Planes that the first convolution takes.
        last: Planes that the last convolution gives.
        name: Name of the network, for the message.

    Raises:
        InputError: No network of ExposureDiffusion has these.
    """
    adaptive: Mapping[int, bool] = {output_planes(each): each for each in (False, True)}
    if first not in (4, 8, 12) or last not in adaptive:
        raise InputError(
            f'These weights do not belong to the network {name}: they take {first} planes and return {last}.'
        )
    return {'adaptive': adaptive[last], 'photon_plane': first >= 8, 'concat_origin': first == 12}
