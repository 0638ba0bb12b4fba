"""Distillation: a network learns to reach in one call what a trained model, the teacher, reaches in many.

The target at a state is where the teacher's deterministic sampler arrives from there (arXiv 2101.02388, section 3.1,
which does so for pure noise).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import msgspec
import torch
from torch import Tensor, nn

from entropy_sde_plugin.checkpoints.model import Model, NoSettingsWarning, load_model
from entropy_sde_plugin.checkpoints.weights import check_settings
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.process import CLEAN
from entropy_sde_plugin.diffusion.samplers import ddim
from entropy_sde_plugin.errors import InputError, about
from entropy_sde_plugin.options.diffusion import DiffusionOptions
from entropy_sde_plugin.options.training import DistillationOptions
from entropy_sde_plugin.utils.distributed import warn

__all__ = ['Distillation', 'read_teacher']


def read_teacher(options: DistillationOptions, student: DiffusionOptions, network: type[nn.Module]) -> Model:
    """Read the teacher.

    Args:
        options: The section ``train.distillation``.
        student: The options of the system in training.
        network: The class of its network.

    Raises:
        InputError: The file does not hold a model, or one of another process or kind of network, or one that was
            trained for a few times only.
    """
    with about('train.distillation.teacher'):
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter('always')
            teacher = load_model(options.teacher)
        for note in noted:  # once, and without the line of code that warned
            warn(str(note.message))
        taught = msgspec.structs.replace(teacher.diffusion, prediction=student.prediction)
        try:
            check_settings(taught.settings(), student)
        except InputError as error:
            if any(issubclass(note.category, NoSettingsWarning) for note in noted):
                raise InputError(
                    f"The teacher '{options.teacher}' has no settings, and the paper's, which it is taken to have, are "
                    "not the options': write its own beside its weights with entropy-sde convert, and name that file."
                ) from None
            raise InputError(f"The teacher '{options.teacher}' was {error}") from None
        if teacher.diffusion.sampler.times is not None:
            raise InputError(
                f"The teacher '{options.teacher}' was trained for {len(teacher.diffusion.sampler.times)} times only "
                '(train.times: sampler): use one that was trained for all.'
            )
        if type(teacher.network) is not network:
            raise InputError(
                f"The teacher '{options.teacher}' is a {type(teacher.network).__name__}, but the network in training "
                f'is a {network.__name__}: use a teacher of the same kind.'
            )
    return teacher


class Distillation:
    """The targets that a teacher sets.

    Args:
        options: The section ``train.distillation``.
        student: The options of the system in training.
        teacher: The trained model, of the same process.
        run: Calls a function of images as the network in training is called (``TrainingStep.run``).

    Example:
        A teacher that knows the clean image, 0.5:

        >>> from entropy_sde_plugin.options.diffusion import IRSDEOptions
        >>> class Network(nn.Module):
        ...     def forward(self, x, cond, time):
        ...         return 0.5 - cond
        >>> student = IRSDEOptions(prediction='x0')
        >>> teacher = Model(Network(), student)
        >>> distillation = Distillation(
        ...     DistillationOptions('teacher.pth'), student, teacher, run=lambda function, *inputs: function(*inputs)
        ... )
        >>> dark, noisy = torch.full((2, 3, 8, 8), 0.1), torch.rand(2, 3, 8, 8)
        >>> distillation.target(dark, noisy, dark, torch.tensor([100, 35])).unique()
        tensor([0.5000])
    """

    def __init__(
        self,
        options: DistillationOptions,
        student: DiffusionOptions,
        teacher: Model,
        run: Callable[..., Sequence[Tensor]],
    ) -> None:
        self._truth_share = options.truth
        self._clip = student.sampler.clip
        self._process = student.process()
        self._grid = self._process.time_grid(options.teacher_steps)
        self._network = teacher.network.requires_grad_(False)
        self._prediction = teacher.prediction
        self._run = run

    @torch.no_grad()
    def target(self, truth: Tensor, xt: Tensor, cond: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """Return the clean images to learn, (B, C, H, W): the teacher's, mixed with their share of the ground truth.

        Args:
            truth: The ground truth, (B, C, H, W), as all images in the process's range.
            xt: Its states.
            cond: The dark images.
            t: The states' times, (B,).
            inputs: Further inputs of the network, (B,) each.
        """
        images = torch.empty_like(truth)
        for time in t.unique().tolist():
            rows = torch.nonzero(t == time).flatten().to(truth.device)
            own = {name: value[rows] for name, value in inputs.items()}
            images[rows] = self._solution(xt[rows], cond[rows], time, own)
        return torch.lerp(images, truth, self._truth_share)

    def _solution(self, xt: Tensor, cond: Tensor, time: int, inputs: dict[str, Tensor]) -> Tensor:
        """Return where the teacher arrives from the states of a time, at the times of its grid that follow."""

        def network(x: Tensor, cond: Tensor, t: int) -> Tensor:
            (output,) = self._run(lambda *images: [self._network(*images, **inputs)], x, cond, torch.tensor([t]))
            return output

        denoiser = NetworkDenoiser(network, self._process, self._prediction)
        times = [time, *(to for to in self._grid if to is CLEAN or to < time)]
        # No noise is drawn: the start is given, and the sampler is deterministic.
        return ddim(denoiser, self._process, cond, times, start=xt, noise=torch.randn_like, clip=self._clip)
