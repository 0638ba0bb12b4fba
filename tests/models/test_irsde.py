"""IRSDEModel: what one training step computes, what a checkpoint carries, what validation leaves alone."""

import copy
import logging
import typing

import pytest
import torch

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.check import check
from tests.support.irsde import batch, model, options, same, spy, weights


@pytest.mark.parametrize('prediction', ['noise', 'x0', 'v'])
def test_the_papers_objective_compares_previous_states(prediction):
    """Written out from the formulas of IR-SDE: the reverse mean under the predicted score, the optimal x_{t-1}."""
    m = model(prediction=prediction)
    data = batch()
    m.feed_data(data)
    m.cri_pix, seen = spy(m.cri_pix)
    t, noise = m.draw(1).t, m.draw(1).noise
    net = copy.deepcopy(m.net_g)
    m.optimize_parameters(1)

    mu, x0 = data['lq'].double(), data['gt'].double()
    theta_bar = (m.process.thetas_cumsum * m.process.dt)[t].view(-1, 1, 1, 1)
    before = (m.process.thetas_cumsum * m.process.dt)[t - 1].view(-1, 1, 1, 1)
    theta, lam, dt = m.process.thetas[t].view(-1, 1, 1, 1), 50 / 255, m.process.dt
    a, std = torch.exp(-theta_bar), lam * torch.sqrt(1 - torch.exp(-2 * theta_bar))
    xt = mu + (x0 - mu) * a + std * noise
    with torch.no_grad():
        output = net(xt.float(), data['lq'], t).double()
    x0_of = {'x0': mu + output, 'v': mu + a * (xt - mu) - std * output}
    predicted = output if prediction == 'noise' else (xt - mu - a * (x0_of[prediction] - mu)) / std
    mean = xt - (theta * (mu - xt) - 2 * lam**2 * theta * (-predicted / std)) * dt
    A, B, C = torch.exp(-theta * dt), a, torch.exp(-before)
    optimum = mu + A * (1 - C**2) / (1 - B**2) * (xt - mu) + C * (1 - A**2) / (1 - B**2) * (x0 - mu)
    torch.testing.assert_close(seen[0][0].double(), mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen[0][1].double(), optimum, rtol=1e-4, atol=1e-4)


def test_objective_x0_compares_with_the_truth():
    m = model(train__objective='x0', prediction='x0')
    m.feed_data(batch())
    m.cri_pix, seen = spy(m.cri_pix)
    m.optimize_parameters(1)
    assert torch.equal(seen[0][1], m.gt)


def test_entropy_stands_beside_l1():
    entropy = {'type': 'SpatialEntropyLoss', 'levels': 8, 'windows': [1, 3], 'loss_weight': 0.1}
    alone, both = (model(train__objective='x0', train__entropy_opt=e) for e in (None, entropy))
    for m in (alone, both):
        m.feed_data(batch())
        m.optimize_parameters(1)
    assert set(both.get_current_log()) == {'l_pix', 'l_entropy'}
    assert both.get_current_log()['l_pix'] == alone.get_current_log()['l_pix']
    assert not same(weights(both.net_g), weights(alone.net_g))


def test_the_number_of_levels_follows_the_iteration():
    m = model(train__pixel_opt={'type': 'SpatialEntropyLoss', 'levels': [[0, 4], [5, 8]], 'windows': [1]})
    for iteration, levels in ((1, 4), (5, 8)):
        m.feed_data(batch())
        m.optimize_parameters(iteration)
        assert m.cri_pix.levels == levels


def test_times_and_noise_are_uniform_and_standard_normal():
    m = model()
    m.feed_data(batch(size=1))
    draws = [m.draw(i) for i in range(400)]
    times = torch.stack([draw.t for draw in draws]).flatten()
    assert (times.min(), times.max()) == (1, 20)
    assert torch.bincount(times)[1:].min() >= 5  # 20 expected of each
    noise = torch.cat([draw.noise.flatten() for draw in draws])
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(1, abs=0.01)


def test_draws_belong_to_the_place_in_the_global_batch():
    one = model()
    one.feed_data(batch(size=4))
    t, noise = one.draw(7).t, one.draw(7).noise
    for rank in (0, 1):
        half = model(rank=rank, world_size=2)
        half.feed_data({'lq': one.lq[rank::2], 'gt': one.gt[rank::2], 'lq_path': ['a', 'b']})
        half_t, half_noise = half.draw(7).t, half.draw(7).noise
        assert torch.equal(half_t, t[rank::2])
        assert torch.equal(half_noise, noise[rank::2])
    assert not torch.equal(one.draw(8).noise, noise)
    assert len({row.sum().item() for row in noise}) == 4


def test_training_learns_and_its_average_follows():
    m = model(train__objective='x0', prediction='x0', train__ema_decay=0.9, train__ema_warmup=True)
    losses = []
    for i in range(1, 60):
        m.feed_data(batch())
        m.optimize_parameters(i)
        losses.append(m.get_current_log()['l_pix'])
    assert losses[-1] < 0.5 * losses[0]
    average, current = weights(m.net_g_ema), weights(m.net_g)
    assert not same(average, current)
    torch.testing.assert_close(average['ending.bias'], current['ending.bias'], rtol=0, atol=0.05)


def test_the_gradient_is_clipped():
    free, clipped = model(), model(train__grad_clip_norm=1e-3)
    norms = []
    for m in (free, clipped):
        m.feed_data(batch())
        m.optimize_parameters(1)
        norms.append(torch.cat([p.grad.flatten() for p in m.net_g.parameters() if p.grad is not None]).norm().item())
    assert norms[1] == pytest.approx(1e-3, rel=1e-3)
    assert norms[0] > 1e-2


def test_sampling_is_keyed_by_the_picture_and_leaves_training_alone():
    m, data = model(), batch(size=1)
    before, state = weights(m.net_g), torch.get_rng_state()
    outputs = {}
    for name in ('a', 'b', 'a'):
        m.feed_data({**data, 'lq_path': [f'folder/{name}.png']})
        m.test()
        outputs.setdefault(name, []).append(m.output)
    assert torch.equal(*outputs['a'])
    assert not torch.equal(outputs['a'][0], outputs['b'][0])
    assert outputs['a'][0].min() >= 0
    assert outputs['a'][0].max() <= 1
    assert torch.equal(torch.get_rng_state(), state)
    assert same(weights(m.net_g), before)
    assert m.net_g.training
    assert not m.net_g_ema.training


def test_pictures_without_truth_are_not_compared_with_the_last_batch():
    m = model()
    m.feed_data(batch())
    m.optimize_parameters(1)
    alone = batch(size=1)
    del alone['gt']
    m.feed_data(alone)
    m.test()
    assert 'gt' not in m.get_current_visuals()

    class Dark(torch.utils.data.Dataset):
        opt: typing.ClassVar = {'name': 'dark'}

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return {'lq': alone['lq'][0], 'lq_path': 'a.png'}

    with pytest.raises(InputError, match="psnr compare with ground truth, and 'dark' has none"):
        m.validation(torch.utils.data.DataLoader(Dark()), 1, None)


def test_results_of_reduced_inputs_are_enlarged_again():
    m = model()
    m.feed_data({**batch(size=1), 'full_size': torch.tensor([[33, 31]])})
    m.test()
    assert m.output.shape == (1, 3, 33, 31)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of a model, as BasicSR's trainer has it saved."""
    m = model(path__models=str(tmp_path))
    m.feed_data(batch())
    m.optimize_parameters(1)
    m.save_network([m.net_g, m.net_g_ema], 'net_g', 5, param_key=['params', 'params_ema'])
    return m, tmp_path / 'net_g_5.pth'


@pytest.mark.parametrize('param_key', ['params', 'params_ema'])
def test_a_checkpoint_comes_back(saved, param_key):
    m, path = saved
    again = model(path__pretrain_network_g=str(path), path__param_key_g=param_key)
    source = m.net_g if param_key == 'params' else m.net_g_ema
    assert same(weights(source), weights(again.net_g))
    assert same(weights(m.net_g_ema), weights(again.net_g_ema))


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('wrapped', [True, False])
def test_released_layouts_load_strictly(saved, tmp_path, prefix, wrapped, log):
    m, _ = saved
    state = {prefix + key: value for key, value in m.net_g.state_dict().items()}
    torch.save({'params': state} if wrapped else state, tmp_path / 'released.pth')
    log.set_level('INFO', 'basicsr')
    again = model(path__pretrain_network_g=str(tmp_path / 'released.pth'))
    assert same(weights(m.net_g), weights(again.net_g))
    assert ('released.pth [params].' in log.text) == wrapped  # the entry that was read, not the one asked for


def test_weights_of_another_diffusion_are_refused(saved):
    _, path = saved
    with pytest.raises(InputError, match=r'sde\.max_sigma: trained with 50\.0, the options have 30\.0'):
        model(path__pretrain_network_g=str(path), sde__max_sigma=30)
    with pytest.raises(InputError, match='prediction: trained with noise, the options have x0'):
        model(path__pretrain_network_g=str(path), prediction='x0')


def test_weights_of_another_network_and_no_weights_are_refused(saved, tmp_path):
    _, path = saved
    with pytest.raises(InputError, match='do not fit'):
        model(path__pretrain_network_g=str(path), network_g__width=16)
    with pytest.raises(InputError, match='do not exist'):
        model(path__pretrain_network_g=str(tmp_path / 'nothing.pth'))
    (tmp_path / 'text.pth').write_text('no checkpoint')
    with pytest.raises(InputError, match='cannot be read as a checkpoint'):
        model(path__pretrain_network_g=str(tmp_path / 'text.pth'))
    torch.save({'epoch': 3}, tmp_path / 'state.pth')
    with pytest.raises(InputError, match='do not hold a state dict'):
        model(path__pretrain_network_g=str(tmp_path / 'state.pth'))


def test_loading_weights_executes_nothing(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (logging.getLogger, ('the bomb went off',))

    torch.save({'params': Bomb()}, tmp_path / 'bomb.pth')
    with pytest.raises(InputError, match='cannot be read'):
        model(path__pretrain_network_g=str(tmp_path / 'bomb.pth'))
    assert 'the bomb went off' not in logging.root.manager.loggerDict


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'sde__max_sgima': 50}, "Unknown option 'sde.max_sgima'. Did you mean 'max_sigma'?"),
        ({'sde__eps': 2}, 'sde.eps'),
        ({'sampler__type': 'posteror'}, "'posterior'"),
        ({'sampler__steps': 21}, 'sampler.steps'),
        ({'prediction': 'image'}, 'prediction'),
        ({'predictions': 'x0'}, "Did you mean 'prediction'?"),
        ({'train__objectve': 'x0'}, "Did you mean 'objective'?"),
        ({'train__pixel_opt': {'type': 'SpatialEntropyLoss', 'levles': 8}}, "Did you mean 'levels'?"),
        ({'train__entropy_opt': {'type': 'SpatialEntropyLos'}}, "Did you mean 'SpatialEntropyLoss'?"),
        ({'network_g__widht': 8}, "Did you mean 'width'?"),
        ({'path__pretrain_netwrok_g': 'a.pth'}, "Did you mean 'pretrain_network_g'?"),
        ({'logger__print_frq': 1}, "Did you mean 'print_freq'?"),
        ({'val__metrics': {'p': {'type': 'calculate_pnsr'}}}, "Did you mean 'calculate_psnr'?"),
        ({'val__metrics': {'p': {'type': 'calculate_psnr', 'crop_bordr': 0}}}, "Did you mean 'crop_border'?"),
        (
            {'val__metrics': {'p': {'type': 'calculate_psnr'}}},
            "'val.metrics.p.crop_border' of calculate_psnr",
        ),
        ({'model_type': 'IRSDEModell'}, "Did you mean 'IRSDEModel'?"),
        ({'train__pixel_opt': {'type': 'L1Loss', 'loss_wieght': 1}}, "Did you mean 'loss_weight'?"),
        ({'train__pixel_opt': {'type': 'L1Loss', 'reduction': 'none'}}, 'needs a scalar'),
        ({'train__entropy_opt': {'type': 'L1Loss'}}, 'must be SpatialEntropyLoss'),
        ({'train__optim_g': {'type': 'AdamW', 'lr': 1e-3, 'weight_deca': 0}}, "Did you mean 'weight_decay'?"),
        ({'train__optim_g': {'type': 'AdmaW', 'lr': 1e-3}}, "Did you mean 'AdamW'?"),
        (
            {'train__scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [50], 'restart_weights': [1]}},
            'cover 50 iterations, but the training has 100',
        ),
        ({'train': None}, "Section 'train' is missing"),
        ({'network_g': 'ConditionalNAFNet'}, "'network_g' must be a section"),
        ({'network_g__width': 7}, "Section 'network_g': width must be even"),
        ({'train__pixel_opt': {'type': 'SpatialEntropyLoss', 'windows': [2]}}, "Section 'train.pixel_opt'"),
        ({'datasets__train': {'type': 'LOLDatset'}}, "Did you mean 'LOLDataset'?"),
        (
            {'datasets__train': {'type': 'LOLDataset', 'phase': 'train', 'dataroot': '.', 'verison': 'v1'}},
            "Unknown option 'datasets.train.verison'. Did you mean 'version'?",
        ),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(changes, expected):
    with pytest.raises(InputError) as caught:
        check(options(**changes))
    assert expected in str(caught.value)
    assert '\n' not in str(caught.value)


def test_text_numbers_of_yaml_are_numbers():
    check(options(sde__eps='5e-3', train__grad_clip_norm='1e-1'))
    assert model(sde__eps='5e-3').options.sde.eps == 0.005


LUMA = torch.tensor([0.299, 0.587, 0.114])


def luma(images):
    return (images.mean((2, 3)) * LUMA).sum(1)


def told_model(**changes):
    return model(network_g__brightness=True, prediction='x0', train__objective='x0', **changes)


def inputs_of(network):
    """What the network's brightness input gets from now on."""
    seen = []
    network.brightness.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[1].clone()))
    return seen


def test_training_tells_the_truths_brightness():
    m = told_model(train__brightness_prob=1.0)
    data = batch()
    m.feed_data(data)
    seen = inputs_of(m.net_g)
    m.optimize_parameters(1)
    torch.testing.assert_close(seen[0], luma(data['gt']))


def test_training_leaves_it_to_the_network_as_often_as_asked():
    m = told_model(train__brightness_prob=0.7)
    data = batch()
    m.feed_data(data)
    seen = inputs_of(m.net_g)
    for iteration in range(200):
        m.losses(slice(None), m.draw(iteration))
    told = torch.cat(seen) > 0
    assert abs(told.float().mean() - 0.7) < 0.1
    torch.testing.assert_close(torch.cat(seen)[told], luma(data['gt']).repeat(200)[told])


def test_the_choice_belongs_to_the_image_and_not_to_the_part():
    """The parts of an accumulated batch draw what the whole one does."""
    m = told_model(train__brightness_prob=0.5)
    m.feed_data(batch())
    seen = inputs_of(m.net_g)
    draw = m.draw(3)
    m.losses(slice(None), draw)
    for i in range(len(draw.t)):
        m.losses(slice(i, i + 1), draw.part(slice(i, i + 1)))
    assert torch.equal(seen[0], torch.cat(seen[1:]))


def test_validation_can_ask_for_the_truths_brightness():
    m = told_model(sampler__brightness='truth')
    data = batch()
    m.feed_data(data)
    torch.nn.init.zeros_(m.net_g_ema.ending.weight)
    torch.nn.init.constant_(m.net_g_ema.ending.bias, 0.3)  # results that neither end of the range clips
    seen = inputs_of(m.net_g_ema)
    m.test()
    torch.testing.assert_close(seen[0], luma(data['gt']))
    torch.testing.assert_close(luma(m.output), luma(data['gt']), atol=1e-3, rtol=0)


def test_a_network_without_the_input_is_left_alone():
    m = model(prediction='x0', train__objective='x0')
    m.feed_data(batch())
    m.optimize_parameters(1)
    assert m._brightness_input(m.gt, m.draw(1).chance) == {}
