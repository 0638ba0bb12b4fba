"""ExposureDiffusionModel: raw low-light images, exposed longer and longer (ExposureDiffusion, ICCV 2023)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from entropy_sde_plugin.data.options import Pictures
from entropy_sde_plugin.data.raw_view import eight_bits, viewed
from entropy_sde_plugin.diffusion import ExposureProcess
from entropy_sde_plugin.diffusion.exposure import photon_counts
from entropy_sde_plugin.diffusion.exposure_sampler import ExposureDenoiser, network_calls, restore
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.evaluation.validator import Restoration
from entropy_sde_plugin.inference.restoration import check_finite
from entropy_sde_plugin.losses.exposure import CallWeights, call_loss
from entropy_sde_plugin.models.system import SystemModel
from entropy_sde_plugin.networks.architectures import find_architecture
from entropy_sde_plugin.networks.exposure import ResidualParts
from entropy_sde_plugin.options.exposure import ExposureOptions
from entropy_sde_plugin.options.system import SystemOptions
from entropy_sde_plugin.options.training import ExposureTrainOptions
from entropy_sde_plugin.options.training import TrainOptions as CommonTrainOptions
from entropy_sde_plugin.training.step import Losses

__all__ = ['ExposureDiffusionModel', 'LadderDraw']


@dataclass(frozen=True)
class LadderDraw:
    """The random draws of a training step, or of a part of it.

    Attributes:
        iteration: The step's iteration.
        times: Increasing exposures, (B,) each, and ``CLEAN``.
        generators: Sources of each image's photon counts.
    """

    iteration: int
    times: list[Any]
    generators: list[torch.Generator]

    def __len__(self) -> int:
        return len(self.generators)

    def descriptions(self) -> list[str]:
        """Return the exposures of each image, for the log."""
        rows = torch.stack(self.times[:-1], dim=1).tolist()
        return [f'exposures {", ".join(f"{exposure:g}" for exposure in row)}' for row in rows]

    def part(self, part: slice) -> LadderDraw:
        """Return the draws of some images of the batch."""
        *exposures, clean = self.times
        return LadderDraw(self.iteration, [*(each[part] for each in exposures), clean], self.generators[part])


class ExposureDiffusionModel(SystemModel[LadderDraw]):
    """Trains, validates and tests ExposureDiffusion.

    One training step draws exposures between the short frame's and the reference for each image. The network predicts
    the clean image at each of them, and its photons lengthen the exposure to the next. Every prediction is compared
    with the truth; ``train.call_weights`` weigh the calls. ``entropy_opt`` compares the last prediction with the truth
    as both look when developed.

    Options: sections ``exposure``, ``sampler``, ``illumination_correction`` and ``train``
    (:mod:`entropy_sde_plugin.options`).

    Example:
        BasicSR builds it from an option file; its options can be read alone:

        >>> options = ExposureDiffusionModel.Options.from_options({'exposure': {'calls': 2}})
        >>> options.steps, options.illumination_correction
        (2, 'none')
    """

    Options: ClassVar[type[SystemOptions]] = ExposureOptions
    TrainOptions: ClassVar[type[CommonTrainOptions]] = ExposureTrainOptions
    pictures: ClassVar[Pictures] = 'raw'
    network_inputs: ClassVar[Mapping[str, str]] = {'planes': 'the planes of an exposure'}
    options: ExposureOptions
    train_options: ExposureTrainOptions

    def init_training_settings(self) -> None:
        weighting = self.train_options.call_weights
        self.call_weights = CallWeights(self.options.exposure.calls - 1, weighting).to(self.device)
        if (path := self.opt['path'].get('pretrain_network_g')) is not None:
            self._take_call_weights(self.weights_file(path).entry('call_weights') or {})
        super().init_training_settings()

    def setup_optimizers(self) -> None:
        """Let the optimiser train the weights of the calls too, as the release does."""
        optimiser = dict(self.train_options.optim_g)
        parameters = [*self.net_g.parameters(), *self.call_weights.parameters()]
        self.optimizer_g = self.get_optimizer(optimiser.pop('type'), parameters, **optimiser)
        self.optimizers.append(self.optimizer_g)

    @property
    def sampler_settings(self) -> dict[str, Any]:
        return {
            'type': ExposureOptions.system,
            'steps': self.options.steps,
            'seed': self.options.sampler.seed,
            **self.shown_settings,
        }

    @property
    def shown_settings(self) -> dict[str, str]:
        return {'illumination_correction': self.options.illumination_correction}

    def feed_data(self, data: dict[str, Any]) -> None:
        super().feed_data(data)
        self._exposure = {name: data[name] for name in ('ratio', 'gain', 'value_range')}
        self._colours = [self.on_device(data[name]).float() for name in ('white_balance', 'matrix')]

    def draw(self, current_iter: int) -> LadderDraw:
        """Draw exposures of each image, and seed its photon counts."""
        generators = [generator for _, generator in self.generators(current_iter)]
        released = not self.train_options.full_ladder
        times = self._process(slice(None)).draw_times(
            self.options.exposure.calls - 1,
            generators,
            from_one=released and len(generators) * self.opt['world_size'] == 1,
        )
        return LadderDraw(current_iter, times, generators)

    def losses(self, part: slice, draw: LadderDraw) -> Losses:
        train, truth = self.train_options, self.gt[part]
        corrected = self.options.illumination_correction == 'in_loop'
        denoiser = self._denoiser(self._predict, part)
        counts = photon_counts(draw.generators)
        calls = list(network_calls(denoiser, self.lq[part], draw.times, counts, truth if corrected else None))
        compared = [
            call_loss(call.picture, call.parts if train.auxiliary_loss else None, truth, train.criterion)
            for call in calls
        ]
        losses = {'l_pix': self.call_weights([each.picture for each in compared])}
        if train.auxiliary_loss and calls[0].parts is not None:
            losses['l_aux'] = self.call_weights([each.parts for each in compared])
        losses = {name: loss * self.share(len(draw)) for name, loss in losses.items()}
        if self.cri_entropy is not None:
            shown, true = (self._viewed(planes, part) for planes in (calls[-1].picture, truth))
            losses |= self.weighted({'l_entropy': self.cri_entropy}, shown, true, draw)
        return losses

    def get_current_log(self) -> dict[str, float]:
        """The losses of the last step, and the learned weights of the calls."""
        log = super().get_current_log()
        if not list(self.call_weights.parameters()):
            return log
        weights = self.call_weights.weights(self.options.exposure.calls).tolist()
        return log | {f'w_{number}': weight for number, weight in enumerate(weights, 1)}

    def restored(self, network: nn.Module, generator: torch.Generator) -> Tensor:
        """Restore the images fed in, (B, 4, H, W), of any size."""
        everything = slice(None)
        output = restore(
            self._denoiser(_for_whole_frames(network), everything),
            self.lq,
            self._process(everything).time_grid(self.options.steps),
            generator=generator,
            truth=getattr(self, 'gt', None),
            illumination_correction=self.options.illumination_correction,
        )
        check_finite(output)
        return output

    def restoration(self, name: str) -> Restoration:
        """Return the image that was restored, with its name: as planes and developed."""
        whole, truth = slice(None), getattr(self, 'gt', None)
        view = self._viewed(self.output, whole)[0]
        return Restoration(
            name,
            _bgr(eight_bits(view)),
            None if truth is None else _bgr(eight_bits(self._viewed(truth, whole)[0])),
            _bgr(_last_axis(view)),
            (_last_axis(self.output[0]), None if truth is None else _last_axis(truth[0])),
        )

    def checkpoint_entries(self) -> dict[str, Any]:
        return super().checkpoint_entries() | {'call_weights': self.call_weights.state_dict()}

    def state_entries(self) -> dict[str, Any]:
        return super().state_entries() | {'call_weights': self.call_weights.state_dict()}

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        try:
            self.call_weights.load_state_dict(resume_state['call_weights'])
        except RuntimeError:
            raise InputError(
                'train.call_weights is not that of the training to resume: set the value it was trained with, or '
                'start from the weights (path.pretrain_network_g).',
                'train.call_weights',
            ) from None
        super().resume_training(resume_state)

    def _take_call_weights(self, learned: Mapping[str, Tensor]) -> None:
        """Start from the learned weights of the calls in a checkpoint, if it has any."""
        shapes = [
            {name: value.shape for name, value in each.items()} for each in (learned, self.call_weights.state_dict())
        ]
        if shapes[0] == shapes[1]:
            self.call_weights.load_state_dict(dict(learned))

    def _process(self, part: slice) -> ExposureProcess:
        return ExposureProcess(**{name: values[part] for name, values in self._exposure.items()})

    def _denoiser(self, predict: Callable[[Tensor], Any], part: slice) -> ExposureDenoiser[ResidualParts | None]:
        network: Any = self.get_bare_model(self.net_g)
        return ExposureDenoiser(
            predict,
            self._process(part),
            photon_plane=network.photon_plane,
            concat_origin=network.concat_origin,
        )

    def _predict(self, planes: Tensor) -> tuple[Tensor, ResidualParts | None]:
        """Call the network in training."""

        def outputs(planes: Tensor) -> list[Tensor]:
            picture, parts = self.net_g(planes)
            return [picture, *(parts or ())]

        picture, *parts = self.training_step.run(outputs, planes)
        return picture, ResidualParts(*parts) if parts else None

    def _viewed(self, planes: Tensor, part: slice) -> Tensor:
        white_balance, matrix = (colours[part] for colours in self._colours)
        return viewed(planes, white_balance, matrix)


def _for_whole_frames(network: nn.Module) -> Callable[[Tensor], Any]:
    """Prepare a network of this package for frames of any size; any other is returned as it is."""
    architecture = find_architecture(network)
    prepare = architecture and architecture.for_raw_inference
    return prepare(network) if prepare else network


def _last_axis(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).float().cpu().numpy()


def _bgr(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])
