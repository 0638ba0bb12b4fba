"""LPIPS and DISTS against their equations, written out in float64 over the same real weights."""

from importlib.resources import files

import lpips
import numpy as np
import pytest
import torch
import torchvision.models
from basicsr.metrics import calculate_metric
from torch.nn.functional import conv2d

from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError, MetricUnavailableError
from entropy_sde_plugin.metrics import backbones
from entropy_sde_plugin.metrics.perceptual import calculate_dists, calculate_lpips

BUILDERS = {'alex': 'alexnet', 'vgg': 'vgg16', 'squeeze': 'squeezenet1_1'}
# After which layers of torchvision's ``features`` LPIPS looks.
TAPS = {'alex': (1, 4, 7, 9, 11), 'vgg': (3, 8, 15, 22, 29), 'squeeze': (1, 4, 7, 9, 10, 11, 12)}
MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)


@pytest.fixture(scope='module')
def pictures():
    """A dark photograph lifted by a gain, and the bright one: RGB, uint8, (72, 100, 3)."""
    bright = photograph('coffee')[120:192, 200:300]
    dark = darken(bright, exposure=0.2, rng=np.random.default_rng(0))
    return np.clip(dark * 2.0, 0, 255).astype(np.uint8), bright


def bgr(picture):
    return np.ascontiguousarray(picture[..., ::-1])


def batch(picture):
    return torch.from_numpy(picture.transpose(2, 0, 1).copy()).double()[None] / 255


def features(net, file):
    weights = torch.load(file, weights_only=True)
    network = empty(net)
    network.load_state_dict({k[9:]: v for k, v in weights.items() if k.startswith('features.')}, assign=True)
    return network.double().requires_grad_(False)


def empty(net):
    with torch.device('meta'):  # VGG16's classifier would take seconds to draw
        return torchvision.models.get_model(BUILDERS[net]).features


def lpips_by_equation(net, file, first, second):
    """Eq. 1: unit vectors along the channels, squared difference, weighted by the head, mean over space, sum."""
    heads = torch.load(str(files(lpips) / f'weights/v0.1/{net}.pth'), map_location='cpu', weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64).view(1, 3, 1, 1)
    x, y = ((2 * batch(picture) - 1 - shift) / scale for picture in (first, second))
    total = 0.0
    for index, layer in enumerate(features(net, file)):
        x, y = layer(x), layer(y)
        if index in TAPS[net]:
            unit_x, unit_y = (v / (v.norm(dim=1, keepdim=True) + 1e-10) for v in (x, y))
            weight = heads[f'lin{TAPS[net].index(index)}.model.1.weight'].double()
            total += float(((unit_x - unit_y) ** 2 * weight.view(1, -1, 1, 1)).sum(1).mean())
    return total


def test_the_weights_are_torchvisions(real_weights):
    """First values of the first kernels as they are printed wherever these networks are shown."""
    alex, vgg = (
        torch.load(real_weights / 'checkpoints' / name, weights_only=True)['features.0.weight'][0, 0]
        for name in ('alexnet-owt-7be5be79.features.pth', 'vgg16-397923af.features.pth')
    )
    assert alex[0, :3].tolist() == pytest.approx([1.1864e-01, 9.4069e-02, 9.5435e-02], rel=1e-4)
    assert vgg[0].tolist() == pytest.approx([-5.5373e-01, 1.4270e-01, 5.2896e-01], rel=1e-4)
    assert vgg[1].tolist() == pytest.approx([-5.8312e-01, 3.5655e-01, 7.6566e-01], rel=1e-4)


@pytest.mark.parametrize('net', ['alex', 'vgg'])
def test_lpips_is_its_equation(net, real_weights, cache, pictures):
    dark, bright = pictures
    file = backbones.features_file(backbones.FEATURE_URLS[BUILDERS[net]])
    opt = {'type': 'calculate_lpips', 'better': 'lower', 'net': net}
    value = calculate_metric({'img': bgr(dark), 'img2': bgr(bright)}, opt)
    assert value == pytest.approx(lpips_by_equation(net, file, dark, bright), rel=1e-4)
    assert value > 0.1
    assert calculate_metric({'img': bgr(bright), 'img2': bgr(bright)}, opt) == 0


def test_lpips_squeeze_is_its_equation_over_random_weights(cache, pictures):
    """No package carries SqueezeNet's weights: random ones stand where torchvision's would lie in torch's cache."""
    torch.manual_seed(0)
    file = backbones.cached_file(backbones.FEATURE_URLS['squeezenet1_1'])
    file.parent.mkdir(parents=True)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), file)
    value = calculate_lpips(bgr(pictures[0]), bgr(pictures[1]), net='squeeze')
    assert value == pytest.approx(lpips_by_equation('squeeze', file, *pictures), rel=1e-4)


def test_dists_is_its_equation(real_weights, cache, pictures):
    """Eq. 6-9: 1 - sum of alpha l + beta s over the input and five stages, each but the first after L2 pooling."""
    heads = torch.load(str(files('DISTS_pytorch') / 'weights.pt'), map_location='cpu', weights_only=True)
    sizes = [3, 64, 128, 256, 512, 512]
    total = heads['alpha'].double().sum() + heads['beta'].double().sum()
    alphas, betas = ((heads[name].double() / total).split(sizes, dim=1) for name in ('alpha', 'beta'))
    window = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)  # Hanning of 5 without its zeros
    window = (window[:, None] * window) / 4
    stages = [batch(picture) for picture in pictures]
    outputs = [tuple(stages)]
    stages = [(stage - MEAN) / STD for stage in stages]
    file = backbones.features_file(backbones.FEATURE_URLS['vgg16'])
    for index, layer in enumerate(features('vgg', file)):
        if isinstance(layer, torch.nn.MaxPool2d):
            channels = stages[0].shape[1]
            kernel = window.expand(channels, 1, 3, 3)
            stages = [(conv2d(v**2, kernel, stride=2, padding=1, groups=channels) + 1e-12).sqrt() for v in stages]
        else:
            stages = [layer(stage) for stage in stages]
        if index in TAPS['vgg']:
            outputs.append(tuple(stages))
    similarity = 0.0
    for (x, y), alpha, beta in zip(outputs, alphas, betas, strict=True):
        (mean_x, mean_y), (var_x, var_y) = zip(
            *((v.mean((2, 3)), v.var((2, 3), correction=0)) for v in (x, y)), strict=True
        )
        covariance = ((x - mean_x[..., None, None]) * (y - mean_y[..., None, None])).mean((2, 3))
        texture = (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
        structure = (2 * covariance + 1e-6) / (var_x + var_y + 1e-6)
        similarity += float((alpha[..., 0, 0] * texture + beta[..., 0, 0] * structure).sum())
    assert calculate_dists(bgr(pictures[0]), bgr(pictures[1])) == pytest.approx(1 - similarity, rel=1e-3)
    assert calculate_dists(bgr(pictures[1]), bgr(pictures[1])) == pytest.approx(0, abs=1e-6)


def test_crop_order_and_colour(real_weights, cache, pictures):
    """The border is left out, CHW is HWC, and red is not blue."""
    dark, bright = (bgr(picture) for picture in pictures)
    inner = calculate_lpips(dark[4:-4, 4:-4], bright[4:-4, 4:-4])
    assert calculate_lpips(dark, bright, crop_border=4) == inner
    chw = [picture.transpose(2, 0, 1) for picture in (dark, bright)]
    assert calculate_lpips(*chw, crop_border=4, input_order='CHW') == inner
    assert calculate_lpips(dark[..., ::-1], bright[..., ::-1], crop_border=4) != pytest.approx(inner, rel=1e-3)


def test_a_metric_leaves_no_trace_in_a_training(real_weights, cache, pictures):
    """It draws no random numbers, whether built or called, and heeds neither autocast nor gradients."""
    dark, bright = (bgr(picture) for picture in pictures)
    state = torch.get_rng_state()
    value = calculate_lpips(dark, bright)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.autocast('cpu', torch.bfloat16):
        assert calculate_lpips(dark, bright) == value


@pytest.mark.parametrize(
    ('metric', 'file'),
    [
        (lambda *pictures: calculate_lpips(*pictures), 'alexnet-owt-7be5be79.pth'),
        (lambda *pictures: calculate_lpips(*pictures, net='vgg'), 'vgg16-397923af.pth'),
        (lambda *pictures: calculate_lpips(*pictures, net='squeeze'), 'squeezenet1_1-b8a52dc0.pth'),
        (lambda *pictures: calculate_dists(*pictures), 'vgg16-397923af.pth'),
    ],
)
def test_offline_names_the_file_and_its_place(metric, file, cache, pictures):
    with pytest.raises(MetricUnavailableError) as error:
        metric(*pictures)
    assert f'https://download.pytorch.org/models/{file}' in str(error.value)
    assert f'place it as {cache / "checkpoints" / file}' in str(error.value)
    assert '\n' not in str(error.value)


def test_an_unreachable_host_is_asked_once(cache, pictures, monkeypatch):
    asked = []
    offline = torch.hub.download_url_to_file

    def counted(url, *args, **kwargs):
        asked.append(url)
        offline(url, *args, **kwargs)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', counted)
    for _ in range(2):
        with pytest.raises(MetricUnavailableError):
            calculate_lpips(*pictures)
    assert len(asked) == 1


@pytest.mark.parametrize('content', [b'', b'<html>404</html>', 'other network', 'no dictionary'])
def test_damaged_weights_are_named(content, cache, pictures):
    file = backbones.cached_file(backbones.FEATURE_URLS['alexnet'])
    file.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save({'features.0.weight': torch.zeros(3)} if content == 'other network' else [1], file)
    with pytest.raises(MetricUnavailableError, match=f'{file} is damaged or does not hold .*alexnet: remove it'):
        calculate_lpips(*pictures)


@pytest.mark.parametrize(
    ('first', 'second', 'options', 'message'),
    [
        ((40, 40, 3), (40, 41, 3), {}, r'the same shape, not \(40, 40, 3\) and \(40, 41, 3\)'),
        ((40, 40), (40, 40), {}, r'colour images, not one of shape \(40, 40\)'),
        ((40, 40, 4), (40, 40, 4), {}, 'colour images'),
        ((40, 40, 3), (40, 40, 3), {'crop_border': 20}, 'crop_border 20 .* nothing of an image of 40x40'),
        ((40, 40, 3), (40, 40, 3), {'crop_border': -1}, 'crop_border -1'),
        ((40, 40, 3), (40, 40, 3), {'input_order': 'WHC'}, "input_order 'WHC'"),
        ((40, 40, 3), (40, 40, 3), {'net': 'alexx'}, r"LPIPS has no backbone 'alexx'\. Did you mean 'alex'"),
        ((30, 99, 3), (30, 99, 3), {}, r'LPIPS \(alex\) needs images of at least 31x31 pixels, not 99x30'),
        ((40, 40, 3), (40, 40, 3), {'crop_border': 5}, 'needs images of at least 31x31 pixels, not 30x30'),
    ],
)
def test_bad_input(first, second, options, message):
    with pytest.raises(InputError, match=message):
        calculate_lpips(np.zeros(first, np.uint8), np.zeros(second, np.uint8), **options)


def test_floats_are_refused():
    """An image in 0…1 would pass for a black one."""
    with pytest.raises(InputError, match='8-bit images, not float32'):
        calculate_lpips(np.zeros((40, 40, 3), np.float32), np.zeros((40, 40, 3), np.float32))


@pytest.mark.parametrize(('net', 'side'), [('alex', 31), ('vgg', 16), ('squeeze', 17)])
def test_the_smallest_picture_works(net, side, cache):
    """Over random weights: the limits are those of the networks' shapes."""
    file = backbones.cached_file(backbones.FEATURE_URLS[BUILDERS[net]])
    file.parent.mkdir(parents=True)
    torch.save({f'features.{key}': torch.randn(value.shape) for key, value in empty(net).state_dict().items()}, file)
    black, white = np.zeros((side, side, 3), np.uint8), np.full((side, side, 3), 255, np.uint8)
    assert calculate_lpips(black, white, net=net) > 0
