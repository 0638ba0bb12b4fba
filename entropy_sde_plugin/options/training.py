"""The section ``train``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import torch

from entropy_sde_plugin.errors import InputError, dotted, quoted
from entropy_sde_plugin.losses.exposure import Criterion, Weighting
from entropy_sde_plugin.options.arguments import arguments_of, build_without_memory, culprit, registered
from entropy_sde_plugin.options.optimisation import check_optimiser, check_schedule
from entropy_sde_plugin.utils.schema import AtLeastOne, NotNegative, Positive

__all__ = [
    'LOSSES',
    'DiffusionTrainOptions',
    'DistillationOptions',
    'ExposureTrainOptions',
    'FreezeOptions',
    'IRSDETrainOptions',
    'LLDiffusionTrainOptions',
    'TrainOptions',
    'check_distillation',
    'check_losses',
    'check_training',
]

LOSSES = ('pixel_opt', 'entropy_opt', 'perceptual_opt', 'degradation_opt')
"""The options of ``train`` that name a loss; not every model has all of them."""

_TRIED_SIDE = 64
"""In pixels: smaller than usual crops, but large enough for perceptual and multi-scale losses."""


class TrainOptions(msgspec.Struct, frozen=True):
    """Section ``train`` of every model of this package: BasicSR's options and its own."""

    optim_g: dict[str, Any]
    """Optimiser: ``type``, a name of ``torch.optim``, and its arguments."""
    scheduler: dict[str, Any]
    """Learning rate: ``type``, a scheduler of BasicSR, and its arguments."""
    total_iter: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
    """Iterations of the training."""
    entropy_opt: dict[str, Any] | None = None
    """A ``SpatialEntropyLoss`` in addition to the system's own losses."""
    warmup_iter: int = -1
    """Iterations over which the learning rate rises from 0; -1 for none."""
    ema_decay: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0
    """Decay of the weights' moving average, which is validated and tested in their place; 0 for none. An
    ``LLDiffusionModel`` validates it only with ``validate_ema``."""
    ema_warmup: bool = False
    """Lower the decay in the first iterations: min(ema_decay, (1 + n) / (10 + n))."""
    grad_clip_norm: Positive | None = None
    """Clip the L2 norm of the gradient to this."""
    max_skipped_steps: AtLeastOne = 10
    """End the training after this many consecutive steps with a loss or gradient that is not finite; such steps are
    skipped."""
    accumulate_steps: AtLeastOne = 1
    """Gradient accumulation: number of parts into which the batch of a process is split for one step."""
    precision: Literal['fp32', 'bf16', 'fp16'] = 'fp32'
    """Precision of the network in training (autocast); weights, SDE and loss stay in float32."""
    channels_last: bool = False
    """Use the channels-last memory format for the network and its inputs."""
    compile: bool = False
    """Compile the network for training (``torch.compile``)."""
    tf32: bool | None = None
    """Allow or forbid TF32 in matrix products and convolutions; PyTorch's setting by default."""
    keep_last_checkpoints: AtLeastOne | None = None
    """Number of checkpoints (weights and training state) to keep; all by default."""


class DistillationOptions(msgspec.Struct, frozen=True):
    """Section ``train.distillation``: learn in one call what a trained model, the teacher, reaches in many."""

    teacher: str
    """File of the teacher: a model of the same diffusion and kind of network, of any size and ``prediction``."""
    teacher_steps: AtLeastOne = 8
    """Network calls that take the teacher from pure noise to a clean image."""
    truth: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Share of the ground truth in the target; the rest is the teacher's image."""


class DiffusionTrainOptions(TrainOptions, kw_only=True, frozen=True):
    """Section ``train`` of a model with a Gaussian process."""

    pixel_opt: dict[str, Any]
    """The loss: ``type``, a registered loss, and its arguments; ``reduction`` mean or sum."""
    perceptual_opt: dict[str, Any] | None = None
    """A loss of the estimated clean image in addition to ``pixel_opt``, such as ``LPIPSLoss``."""
    times: Literal['all', 'sampler'] = 'all'
    """Times that training draws: ``all`` of the diffusion, or those that the ``sampler`` visits, for a network of few
    calls."""
    distillation: DistillationOptions | None = None
    """Learn the images of a teacher instead of the ground truth."""


class IRSDETrainOptions(DiffusionTrainOptions, frozen=True):
    """Section ``train`` of ``IRSDEModel``."""

    objective: Literal['previous_state', 'x0'] = 'previous_state'
    """Where the loss compares: at ``previous_state`` (x_{t-1}, the paper's maximum likelihood) or at ``x0``."""
    brightness_prob: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.7
    """Probability that a network with the input ``brightness`` gets the truth's; otherwise it chooses."""


class FreezeOptions(msgspec.Struct, frozen=True):
    """Section ``train.freeze``: when to stop training the encoder and the degradation network."""

    after_iter: NotNegative | None = None
    """The last iteration that trains them; by default they are trained to the end."""
    encoder_eval: bool = False
    """Stop the power iterations of the encoder's spectral norms too; the release continues them, so that its encoder
    still moves a little."""
    skip_degradation: bool = False
    """Leave out the degradation network, whose loss is no longer used; the release continues to compute it."""


class LLDiffusionTrainOptions(DiffusionTrainOptions, frozen=True):
    """Section ``train`` of an ``LLDiffusionModel``; its defaults follow the release."""

    degradation_opt: dict[str, Any] | None = None
    """Loss of the degradation network's dark image, clamped to [0, 1]; the network is not trained without one."""
    entropy_weighting: Literal['abar', 'first_half'] = 'abar'
    """Weight of an image in ``entropy_opt``: ``abar`` (abar_t, the clean image's share of the variance of x_t), 1 for
    t <= T/2 and 0 above for ``first_half``."""
    freeze: FreezeOptions = FreezeOptions()
    """When to stop training encoder and degradation network."""
    validate_ema: bool = False
    """Validate the weights' moving average; the release validates the current weights."""
    resume_schedule: bool = False
    """Continue the learning rate's schedule and the best validation results when resumed. The release begins both anew:
    the milestones are reached a second time."""

    def __post_init__(self) -> None:
        if self.validate_ema and self.ema_decay == 0:
            raise InputError(
                "'validate_ema' is true, but 'ema_decay' is 0, so that there is no moving average: set ema_decay, or "
                'leave validate_ema out.',
                option='validate_ema',
            )


class ExposureTrainOptions(TrainOptions, frozen=True):
    """Section ``train`` of an ``ExposureDiffusionModel``; its defaults follow the release."""

    criterion: Criterion = 'l1'
    """How the image of a network call is compared with the truth: ``l1``, the paper's divergence of Poisson
    distributions (``poisson_kl``), or the divergence that the release offers (``released_kl``)."""
    auxiliary_loss: bool = True
    """Compare the parts of the adaptive residual layer with the truth too."""
    call_weights: Weighting = 'released'
    """Weights of the network calls in the loss: learned without a bound (``released``), learned above 0 with the sum 1
    (``softmax``), all the same (``fixed``), or all 1 (``sum``)."""
    full_ladder: bool = False
    """Make all network calls in steps of one image too; the release then draws whole exposures from 1 on, and drawing
    1 leaves one call fewer."""


def check_losses(section: Mapping[str, Any]) -> None:
    """Check the names and arguments of the losses in a section ``train`` of any model.

    Raises:
        InputError: Unknown loss; unknown, missing or wrong argument.
    """
    for name in LOSSES:
        if section.get(name) is not None:
            build_without_memory('loss', section[name], f'train.{name}')


def check_training(train: TrainOptions) -> None:
    """Check the optimiser, the schedule and the losses.

    Raises:
        InputError: One of them is wrong; a loss has no finite ``loss_weight``, or its ``reduction`` is none; a loss of
            BasicSR cannot be built, or does not return a scalar.
    """
    check_optimiser(train.optim_g)
    check_schedule(train.scheduler, train.total_iter)
    if train.entropy_opt is not None and train.entropy_opt['type'] != 'SpatialEntropyLoss':
        raise InputError(
            "'train.entropy_opt.type' must be SpatialEntropyLoss; use pixel_opt for other losses.",
            'train.entropy_opt.type',
        )
    for name in LOSSES:
        if (loss := getattr(train, name, None)) is not None:
            _check_loss(loss, f'train.{name}')


def check_distillation(train: DiffusionTrainOptions, states: int) -> None:
    """Check the teacher's number of steps.

    Args:
        train: The section.
        states: Number of noisy states of the process.

    Raises:
        InputError: The teacher takes more steps than there are states.
    """
    steps = 0 if train.distillation is None else train.distillation.teacher_steps
    if steps > states:
        path = 'train.distillation.teacher_steps'
        raise InputError(f"'{path}' must lie in 1…{states} (the noisy states), got {steps}.", path)


def _check_loss(section: Mapping[str, Any], where: str) -> None:
    """Check that a loss has a finite weight and returns a scalar."""
    weight = section.get('loss_weight', 1)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
        path = f'{where}.loss_weight'
        raise InputError(f"Option '{path}': expected a finite number, but it is {quoted(weight)}.", path)
    if section.get('reduction') == 'none':
        path = f'{where}.reduction'
        raise InputError(f"'{path}' is none, but a training step needs a scalar: mean or sum.", path)
    loss = registered('loss', section['type'], f'{where}.type')
    if loss.__module__.startswith('basicsr.'):  # a user's own loss is not called: it may have side effects
        _call_once(loss, section, where)


def _call_once(loss: Any, section: Mapping[str, Any], where: str) -> None:
    arguments = arguments_of(section)

    def call(**arguments: Any) -> Any:
        with torch.random.fork_rng(devices=[]):  # does not change the training's random numbers
            truth = torch.rand(1, 3, _TRIED_SIDE, _TRIED_SIDE)
            return loss(**arguments)(torch.rand_like(truth).requires_grad_(), truth)

    try:
        value = call(**arguments)
    except Exception as error:  # of any kind
        reason = ' '.join(str(error).split()).rstrip('.')
        raise InputError(
            f"Section '{where}': {section['type']} rejects its options or the images: {reason}.",
            dotted(where, culprit(call, arguments)),
        ) from None
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        path = f'{where}.type'
        raise InputError(f"'{path}': {section['type']} does not return a scalar for a batch of images.", path)
