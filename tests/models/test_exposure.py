"""ExposureDiffusionModel: its steps against the release's, and what each of its options changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from entropy_sde_plugin.checkpoints.model import load_model, save_model
from entropy_sde_plugin.data.raw_view import developed
from entropy_sde_plugin.diffusion import CLEAN, ExposureProcess
from entropy_sde_plugin.diffusion.exposure_sampler import ExposureDenoiser, restore
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.losses import SpatialEntropyLoss
from entropy_sde_plugin.models import exposure as exposure_model
from entropy_sde_plugin.models.exposure import LadderDraw
from entropy_sde_plugin.models.system import _seed_of
from entropy_sde_plugin.networks.exposure_inference import ExposureStrips
from entropy_sde_plugin.options.check import check
from tests.support import ENTROPY, GOLDEN, irsde
from tests.support.exposure import golden_network
from tests.support.exposure_model import batch, model, options
from tests.support.irsde import check_same_step, same, spy, weights

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')
DESCENT = {'train__optim_g': {'type': 'SGD', 'lr': 1e-2}}


def train(m, iterations, data=None):
    for iteration in iterations:
        m.feed_data(data or batch())
        m.optimize_parameters(iteration)


# --- the released training step ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('correction', ['in_loop', 'none'])
def test_a_step_has_the_released_losses_and_gradients(correction, monkeypatch):
    """The exposures 1, 17 and 60, and the mean of the photons in place of their number."""
    m = model(
        network_g={'type': 'ExposureNAFNet'},
        exposure={'calls': 3},
        illumination_correction=correction,
        train__ema_decay=0,
        **DESCENT,
    )
    m.net_g.load_state_dict(golden_network('naf1_8').state_dict())
    times = [torch.tensor([exposure]).double() for exposure in (1, 17, 60)]
    monkeypatch.setattr(m, 'draw', lambda i: LadderDraw(i, [*times, CLEAN], [torch.Generator()]))
    monkeypatch.setattr(exposure_model, 'photon_counts', lambda _: lambda mean: mean)
    one = {key: value[:1] for key, value in batch().items()}
    given = {'lq': torch.from_numpy(GIVEN['x']).float(), 'gt': torch.from_numpy(GIVEN['gt']).float()}
    exposure = {'ratio': torch.tensor([250.0]), 'gain': torch.tensor([2.0]), 'value_range': torch.tensor([15583.0])}
    train(m, [1], one | given | exposure)

    prefix = f'train_naf1_8_{correction}'
    pixels, auxiliary = GIVEN[f'{prefix}_step_l1_aux'].mean(0)
    losses = m._losses_of_step
    assert losses['l_pix'].item() == pytest.approx(pixels, rel=1e-4)
    assert losses['l_aux'].item() == pytest.approx(auxiliary, rel=1e-4)
    assert sum(losses.values()).item() == pytest.approx(GIVEN[f'{prefix}_loss'].item(), rel=1e-4)
    np.testing.assert_allclose(m.call_weights.w.grad, GIVEN[f'{prefix}_w_grad'], rtol=1e-3, atol=1e-5)
    parameters = dict(m.net_g.named_parameters())
    norms = [parameters[name].grad.norm().item() for name in GIVEN['grad_names_naf1']]
    np.testing.assert_allclose(norms, GIVEN[f'{prefix}_grad_norms'], rtol=1e-2)


# --- draws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('full', 'fewest'), [(False, 2), (True, 3)])
def test_a_step_of_one_picture_may_lose_a_call_unless_the_ladder_is_full(full, fewest):
    m, data = model(train__full_ladder=full), {key: value[:1] for key, value in batch().items()}
    m.feed_data(data | {'ratio': torch.tensor([6.4])})
    calls = {len(m.draw(iteration).times) - 1 for iteration in range(40)}
    assert calls == {fewest, 3}


def test_processes_share_the_draws_of_one():
    """Rows 0 and 2 lie in the first process, 1 and 3 in the second: exposures and photon counts are the same."""
    whole, data = model(), batch(4)
    whole.feed_data(data)
    expected = whole.draw(3)
    for rank in (0, 1):
        half = model(rank=rank, world_size=2)
        half.feed_data({key: value[rank::2] for key, value in data.items()})
        draw = half.draw(3)
        for exposure, others in zip(draw.times[:-1], expected.times[:-1], strict=True):
            assert torch.equal(exposure, others[rank::2])
        for generator, other in zip(draw.generators, expected.generators[rank::2], strict=True):
            assert torch.equal(generator.get_state(), other.get_state())
    assert [text.count(',') for text in expected.descriptions()] == [2] * 4


@pytest.mark.parametrize('weighting', ['released', 'fixed'])
def test_parts_make_the_step_of_the_whole_batch(weighting):
    settings = {'train__call_weights': weighting, 'train__entropy_opt': ENTROPY} | DESCENT
    whole, divided = model(**settings), model(**settings, train__accumulate_steps=2)
    start = weights(whole.net_g)
    for m in (whole, divided):
        train(m, [1], batch(3))
    check_same_step(divided, whole, start)


# --- the weights of the calls -----------------------------------------------------------------------------------------


def test_learned_weights_are_trained_saved_and_resumed(tmp_path):
    paths = {'path__models': str(tmp_path), 'path__training_states': str(tmp_path)}
    m = model(**paths)
    train(m, [1])
    assert m.get_current_log()['w_1'] == pytest.approx(m.call_weights.w[0].item())
    assert not torch.equal(m.call_weights.w, torch.full((2,), 1 / 3))
    m.save(0, 1)
    checkpoint, state = (torch.load(tmp_path / name, weights_only=True) for name in ('net_g_1.pth', '1.state'))
    assert torch.equal(checkpoint['call_weights']['w'], m.call_weights.w)

    resumed = model(**paths, path__pretrain_network_g=str(tmp_path / 'net_g_1.pth'))
    resumed.resume_training(state)
    for each in (m, resumed):
        train(each, [2])
    assert torch.equal(resumed.call_weights.w, m.call_weights.w)
    assert same(weights(resumed.net_g), weights(m.net_g))

    other = model(**paths, train__call_weights='softmax')
    with pytest.raises(InputError, match=r'^train\.call_weights is not that of the training to resume'):
        other.resume_training(state)


def test_the_weights_of_a_checkpoint_are_where_a_training_starts(tmp_path):
    m = model(path__models=str(tmp_path))
    train(m, [1])
    m.save_network(m.net_g, 'net_g', 1)
    started = model(path__pretrain_network_g=str(tmp_path / 'net_g_1.pth'))
    assert torch.equal(started.call_weights.w, m.call_weights.w)
    softmax = model(path__pretrain_network_g=str(tmp_path / 'net_g_1.pth'), train__call_weights='softmax')
    assert torch.equal(softmax.call_weights.w, torch.zeros(3))


def test_a_checkpoint_names_its_system(tmp_path):
    m = model(path__models=str(tmp_path), exposure={'calls': 2, 'keep_negative': True})
    m.save_network([m.net_g, m.net_g_ema], 'net_g', 1, param_key=['params', 'params_ema'])
    loaded = load_model(tmp_path / 'net_g_1.pth')
    assert loaded.options.settings() == {
        'system': 'exposurediffusion',
        'exposure': {'calls': 2, 'keep_negative': True},
    }
    assert same(loaded.network.state_dict(), m.net_g_ema.state_dict())
    save_model(loaded, tmp_path / 'converted.safetensors')
    assert load_model(tmp_path / 'converted.safetensors').options == loaded.options
    with pytest.raises(InputError, match='ExposureNAFNet restores raw images, not RGB ones'):
        Enhancer(loaded)
    with pytest.raises(InputError, match=r'exposure\.keep_negative: trained with True, the options have False'):
        model(path__pretrain_network_g=str(tmp_path / 'net_g_1.pth'))


# --- the objective ----------------------------------------------------------------------------------------------------


def test_the_entropy_is_that_of_the_developed_picture():
    m, data = model(train__entropy_opt={**ENTROPY, 'loss_weight': 0.5}), batch()
    m.cri_entropy, seen = spy(m.cri_entropy)
    train(m, [1], data)
    ((shown, true),) = seen
    for row, image in enumerate(true):
        expected = developed(*(data[key][row].numpy() for key in ('gt', 'white_balance', 'matrix')))
        assert np.abs(np.floor(255 * image.permute(1, 2, 0).numpy()) - expected).max() <= 1
    assert shown.shape == (2, 3, 16, 16)
    assert 'l_entropy' in m.get_current_log()
    assert isinstance(model(train__entropy_opt=ENTROPY).cri_entropy, SpatialEntropyLoss)


def test_one_call_is_a_plain_restoration():
    m, data = model(exposure={'calls': 1}), batch()
    train(m, [1], data)
    assert set(m.get_current_log()) == {'l_pix', 'l_aux'}
    assert len(list(m.call_weights.parameters())) == 0


def test_the_network_alone_runs_in_low_precision():
    full, low = model(), model(train__precision='bf16')
    seen = []
    low.net_g.ending.register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    for m in (full, low):
        train(m, [1])
    assert seen == [torch.bfloat16] * 3
    assert low.get_current_log()['l_pix'] == pytest.approx(full.get_current_log()['l_pix'], rel=1e-2)


def test_a_step_that_is_not_finite_is_skipped_and_named(caplog):
    m, data = model(), batch()
    data['gt'][1, 0, 0, 0] = float('nan')
    before = weights(m.net_g), m.call_weights.w.clone()
    with caplog.at_level('WARNING'):
        train(m, [1], data)
    assert same(before[0], weights(m.net_g))
    assert torch.equal(before[1], m.call_weights.w)
    assert 'exposures 1, ' in caplog.text
    assert 'picture1.dng' in caplog.text


# --- restoring --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('correction', ['in_loop', 'final', 'none'])
def test_a_picture_is_restored_by_its_own_photons(correction):
    m, data = model(illumination_correction=correction), {key: value[:1] for key, value in batch(side=20).items()}
    m.feed_data(data | {'key': ['night']})
    m.test()
    process = ExposureProcess(data['ratio'], data['gain'], data['value_range'])
    expected = restore(
        ExposureDenoiser(ExposureStrips(copy.deepcopy(m.net_g_ema).eval()), process),
        data['lq'],
        process.time_grid(2),
        generator=torch.Generator().manual_seed(_seed_of(0, 'night')),
        truth=data['gt'],
        illumination_correction=correction,
    )
    assert torch.equal(m.output, expected)
    assert m.sampler_settings['illumination_correction'] == correction


def test_without_truth():
    data = {key: value[:1] for key, value in batch(side=20).items() if key != 'gt'}
    m = model()
    m.feed_data(data)
    m.test()
    restoration = m.restoration('night')
    assert restoration.truth is None
    planes, truth = restoration.planes
    assert planes.shape == (20, 20, 4)
    assert truth is None
    expected = developed(m.output[0].numpy(), data['white_balance'][0].numpy(), data['matrix'][0].numpy())
    assert np.abs(restoration.image[..., ::-1].astype(int) - expected).max() <= 1
    assert np.array_equal(np.floor(255 * restoration.unrounded), restoration.image)

    corrected = model(illumination_correction='final')
    corrected.feed_data(data)
    with pytest.raises(InputError, match="'final' needs the ground truth"):
        corrected.test()


# --- what the options must agree on -----------------------------------------------------------------------------------

RAW = {'name': 'raw', 'type': 'SyntheticRawDataset', 'phase': 'train', 'dataroot_gt': 'photographs', 'gt_size': 16}
RAW |= {'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}
SHORT = {'name': 'short', 'type': 'RawPairDataset', 'phase': 'test', 'dataroot_lq': 'short', 'ratio': 100}
WEIGHTS = {'datasets': {}, 'path__pretrain_network_g': 'weights.pth'}
RGB = {'name': 'rgb', 'type': 'PairedLowLightDataset', 'phase': 'val', 'dataroot_lq': 'lq', 'dataroot_gt': 'gt'}


@pytest.mark.parametrize(
    ('made', 'changes', 'message'),
    [
        (
            options,
            {'datasets__val': RGB},
            r"'datasets\.val\.type': PairedLowLightDataset holds RGB images, but",
        ),
        (
            irsde.options,
            {'datasets': {'train': RAW}},
            r"'datasets\.train\.type': SyntheticRawDataset holds raw planes",
        ),
        (options, {'exposure': {'keep_negative': True}}, r"'datasets\.train\.keep_negative' must be true, as exposure"),
        (
            options,
            {'datasets__test': SHORT, 'is_train': False, 'illumination_correction': 'final', **WEIGHTS},
            r"'illumination_correction' is final, but 'datasets\.test' has no ground truth: write none",
        ),
        (irsde.options, {'val__metrics__psnr': {'type': 'calculate_psnr_raw'}}, 'compares raw planes, not RGB images'),
        (
            options,
            {'network_g': irsde.OPTIONS['network_g']},
            'ConditionalNAFNet is not a network for Exposure',
        ),
    ],
)
def test_what_does_not_go_together_is_refused(made, changes, message):
    opt = made(**({'datasets': {'train': RAW}} if made is options else {}) | changes)
    with pytest.raises(InputError, match=message):
        check(opt)
