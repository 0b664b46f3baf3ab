"""`filters` against torch, scipy and autograd, and against what notebook 02 writes by hand."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from coursekit import convolution, filters
from tests.notebook_functions import functions_of


@pytest.fixture(scope="module")
def by_hand():
    return functions_of("02_conv2d_filters")


@st.composite
def layers(draw):
    """Input [B,C,H,W] and weight in float64 with the options of a convolution that fits, each option a pair."""
    pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))  # noqa: E731
    options = {"stride": draw(pair(1, 3)), "padding": draw(pair(0, 3)), "dilation": draw(pair(1, 3))}
    kernel, (height, width) = draw(pair(1, 4)), draw(pair(1, 9))
    for size, k, p, d in zip((height, width), kernel, options["padding"], options["dilation"], strict=True):
        assume(d * (k - 1) + 1 <= size + 2 * p)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    batch, inputs, outputs = (draw(st.integers(1, 3)) for _ in range(3))
    x = torch.randn(batch, inputs, height, width, dtype=torch.double, generator=generator)
    weight = torch.randn(outputs, inputs, *kernel, dtype=torch.double, generator=generator)
    return x, weight, options


# Images and layers


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1), (5, 7, 1)])
def test_to_batch(shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    batch = filters.to_batch(image)
    assert batch.shape == (1, 1 if len(shape) == 2 else shape[2], *shape[:2])
    assert batch.dtype == torch.float32
    np.testing.assert_array_equal(batch[0].permute(1, 2, 0).numpy(), image if len(shape) == 3 else image[..., None])


def test_to_batch_keeps_values_and_owns_its_memory():
    image = np.full((3, 4), 200, np.uint8)
    batch = filters.to_batch(image)
    image[:] = 0
    assert (batch == 200).all()


@pytest.mark.parametrize("view", [lambda a: a[::-1, ::-2], lambda a: a.swapaxes(0, 1), np.asfortranarray])
def test_to_batch_takes_any_memory_layout(view):
    image = view(np.random.default_rng(0).random((6, 8, 3)))
    np.testing.assert_allclose(filters.to_batch(image)[0].permute(1, 2, 0).numpy(), image, rtol=1e-6)


def test_to_batch_takes_a_tensor():
    image = torch.rand(4, 5)
    assert torch.equal(filters.to_batch(image)[0, 0], image)


@pytest.mark.parametrize("shape", [(5,), (1, 1, 5, 5), (0, 5)])
def test_to_batch_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"\[H,W\] or \[H,W,C\]"):
        filters.to_batch(np.zeros(shape))


def test_sobel_in_a_layer_correlates():
    from scipy import signal

    image = np.random.default_rng(0).random((20, 30))
    kernels = np.stack([convolution.SOBEL_X, convolution.SOBEL_Y])
    result = filters.conv2d_from_kernels(kernels)(filters.to_batch(image))[0]
    for channel, kernel in zip(result.detach().numpy(), kernels, strict=True):
        np.testing.assert_allclose(channel, signal.correlate2d(image, kernel, "valid"), atol=1e-5)
        assert not np.allclose(channel, signal.convolve2d(image, kernel, "valid"))


@pytest.mark.parametrize(
    ("shape", "weight"), [((3, 5), (1, 1, 3, 5)), ((4, 3, 3), (4, 1, 3, 3)), ((4, 2, 1, 3), (4, 2, 1, 3))]
)
def test_layer_takes_kernels_of_two_to_four_axes(shape, weight):
    kernels = np.random.default_rng(0).random(shape)
    layer = filters.conv2d_from_kernels(kernels)
    assert layer.weight.shape == weight
    assert layer.bias is None
    assert layer.weight.dtype == torch.float32
    np.testing.assert_allclose(layer.weight.detach().numpy().ravel(), kernels.ravel(), rtol=1e-6)


def test_layer_takes_the_options_of_torch():
    x, kernels = torch.randn(2, 3, 12, 12), torch.randn(4, 3, 3, 3)
    layer = filters.conv2d_from_kernels(kernels, stride=2, padding=(1, 2), dilation=2)
    torch.testing.assert_close(layer(x), F.conv2d(x, kernels, None, 2, (1, 2), 2))


def test_layer_does_not_share_memory_with_the_kernels():
    for kernels in (np.ones((1, 3, 3), np.float32), torch.ones(1, 3, 3, requires_grad=True)):
        layer = filters.conv2d_from_kernels(kernels)
        with torch.no_grad():
            kernels[:] = 5
        assert (layer.weight == 1).all()
        assert layer.weight.requires_grad


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (np.zeros(3), "kernels must be"),
        (np.zeros((1, 1, 1, 3, 3)), "kernels must be"),
        (np.zeros((0, 3, 3)), "kernels must be"),
        (np.full((2, 3, 3), np.nan), "NaN or infinite"),
    ],
)
def test_layer_refuses_what_does_not_fit(kernels, message):
    with pytest.raises(ValueError, match=message):
        filters.conv2d_from_kernels(kernels)


# The layer as a matrix


@given(layer=layers())
@settings(max_examples=200, deadline=None)
def test_matrix_is_the_layer(layer):
    x, weight, options = layer
    matrix = filters.conv_matrix(weight, tuple(x.shape[1:]), **options)
    expected = F.conv2d(x, weight, **options)
    assert matrix.shape == (expected[0].numel(), x[0].numel())
    for one, result in zip(x, expected, strict=True):
        np.testing.assert_allclose(matrix @ one.flatten().numpy(), result.flatten().numpy(), atol=1e-12)


def test_matrix_of_a_kernel_without_channels_and_of_other_layouts():
    kernel = np.arange(9.0).reshape(3, 3)
    matrix = filters.conv_matrix(kernel, (6, 6))
    assert matrix.shape == (16, 36)
    turned = filters.conv_matrix(torch.tensor(kernel.T.copy()).T[None, None], (1, 6, 6))  # not contiguous
    assert abs(matrix - turned).max() == 0


@pytest.mark.parametrize(
    ("weight", "shape", "message"),
    [
        ((3, 3), (4, 6, 6), r"got \[1, 1, 3, 3\] and \(4, 6, 6\)"),
        ((2, 3, 3), (6, 6), "weight must be"),
        ((2, 2, 3, 3), (6, 6), "with C = in"),
        ((3, 3), (6,), "shape \\(H,W\\)"),
        ((3, 3), (2, 6), "does not fit into 2"),
    ],
)
def test_matrix_refuses_what_does_not_fit(weight, shape, message):
    with pytest.raises(ValueError, match=message):
        filters.conv_matrix(torch.zeros(weight), shape)


@pytest.mark.parametrize(("options", "message"), [({"stride": 0}, "stride"), ({"padding": (0, -1)}, "padding")])
def test_matrix_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=f"{message} must be at least"):
        filters.conv_matrix(np.ones((3, 3)), (6, 6), **options)


# Receptive fields


def random_model(seed: int) -> nn.Sequential:
    """Make a random nest of layers, with one input channel and at most three others."""
    draw, channels, model = random.Random(seed), 1, nn.Sequential()
    torch.manual_seed(seed)

    def pair(low, high):
        return draw.randint(low, high), draw.randint(low, high)

    for _ in range(draw.randint(1, 5)):
        kind, kernel = draw.choice(["conv", "conv", "max", "mean", "point"]), pair(1, 3)
        pads = tuple(draw.randint(0, k // 2) for k in kernel)
        if kind == "conv":
            layer = nn.Conv2d(channels, draw.randint(1, 3), kernel, pair(1, 2), pads, pair(1, 2))
            channels = layer.out_channels
        elif kind == "max":
            layer = nn.MaxPool2d(kernel, pair(1, 2), pads, draw.randint(1, 2))
        elif kind == "mean":
            layer = nn.AvgPool2d(kernel, pair(1, 2), pads)
        else:
            layer = draw.choice([nn.LeakyReLU(0.3), nn.BatchNorm2d(channels), nn.Tanh(), nn.Dropout(0.5)])
        model.append(nn.Sequential(nn.Identity(), layer) if draw.random() < 0.3 else layer)
    return model


def seen_by(model, side, position, samples):
    """Which pixels move one output, by the gradients of random inputs: a max-pooling passes them to one pixel only."""
    x = torch.randn(samples, 1, side, side, dtype=torch.double, requires_grad=True)
    y = copy.deepcopy(model).double().eval()(x)[:, :, *position]
    (gradient,) = torch.autograd.grad((y @ torch.randn(y.shape[1], dtype=torch.double)).sum(), x)
    return gradient.abs().sum(dim=(0, 1)) > 0


@pytest.mark.parametrize("seed", range(25))
def test_formula_agrees_with_the_gradient(seed):
    model = random_model(seed)
    _, size, stride, start = filters.receptive_field(model)[-1]
    position = tuple(-(b // j) for b, j in zip(start, stride, strict=True))  # the first output that sees no padding
    side = max(s + j for s, j in zip(size, stride, strict=True)) - 2 * min(start)
    seen = seen_by(model, side, position, 40)
    for axis in (0, 1):
        touched = seen.any(1 - axis).nonzero().flatten()
        begin = start[axis] + position[axis] * stride[axis]
        assert (touched.min(), touched.max()) == (begin, begin + size[axis] - 1), model


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(("kernel", "dilation"), [(2, 1), (3, 1), (4, 1), (4, 2), (5, 3)])
def test_padding_same_begins_where_torch_begins(kernel, dilation):
    layer = nn.Conv2d(1, 1, kernel, padding="same", dilation=dilation)
    field = filters.receptive_field(layer)[-1]
    seen = seen_by(layer, 20, (0, 0), 16)
    assert field.start[0] <= 0
    assert seen.any(1).nonzero().max() == field.start[0] + field.size[0] - 1


def test_known_receptive_fields():
    five = nn.Sequential(*[nn.Conv2d(1, 1, 3) for _ in range(5)])
    assert filters.receptive_field(five)[-1].size == (11, 11)
    import torchvision

    with torch.device("meta"):
        alexnet, vgg = torchvision.models.alexnet().features, torchvision.models.vgg16().features
    assert filters.receptive_field(alexnet)[-1].size == (195, 195)  # Araujo et al. (2019), table 1
    assert filters.receptive_field(vgg)[-1][1:3] == ((212, 212), (32, 32))


def test_receptive_field_names_layers_and_reads_all_ways_of_padding():
    pool = nn.MaxPool2d(2)  # one object in two places counts twice
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding="same"), nn.Sequential(nn.ReLU(), pool), pool)
    model.append(nn.Conv2d(1, 1, (1, 3), padding="valid"))
    fields = filters.receptive_field(model)
    assert [field.layer for field in fields] == ["input", "0", "1.0", "1.1", "2", "3"]
    assert [field.size for field in fields] == [(1, 1), (3, 3), (3, 3), (4, 4), (6, 6), (6, 14)]
    assert [field.start for field in fields][:2] == [(0, 0), (-1, -1)]
    assert filters.receptive_field(nn.Sequential()) == fields[:1]
    assert filters.receptive_field(nn.Conv2d(1, 1, 3))[-1].layer == "model"


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d"),
        (nn.Flatten(), "Flatten"),
        (nn.ConvTranspose2d(1, 1, 3), "ConvTranspose2d"),
        (nn.GroupNorm(1, 1), "GroupNorm"),
        (nn.Conv1d(1, 1, 3), "Conv1d"),
    ],
)
def test_unknown_layers_are_named(layer, name):
    with pytest.raises(ValueError, match=f"layer '1.0' is a {name}"):
        filters.receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Sequential(layer)))


# What the notebook writes by hand is what the package does


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_matrix_is_the_response_to_unit_images_as_in_the_notebook(stride):
    weight = torch.randn(4, 3, 3, 3, dtype=torch.double)
    unit_images = torch.eye(3 * 9 * 11, dtype=torch.double).view(-1, 3, 9, 11)
    by_responses = F.conv2d(unit_images, weight, stride=stride).flatten(1).T
    np.testing.assert_allclose(filters.conv_matrix(weight, (3, 9, 11), stride=stride).toarray(), by_responses)


def test_notebook_batch_and_layer(by_hand):
    for image in (np.random.default_rng(0).random((5, 6)), np.random.default_rng(0).random((5, 6, 3))):
        assert torch.equal(by_hand.to_batch(image), filters.to_batch(image))
    kernels, x = torch.randn(4, 3, 5, 5), torch.randn(2, 3, 9, 9)
    assert torch.equal(by_hand.conv2d_from_kernels(kernels)(x), filters.conv2d_from_kernels(kernels)(x))


def test_notebook_custom_function_passes_gradcheck(by_hand):
    shapes = [(1, 2, 5, 5), (2, 2, 3, 3), (2,)]
    given = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(by_hand.ByHand.apply, given)
    assert not torch.autograd.gradcheck(by_hand.NotFlipped.apply, given, raise_exception=False)


@pytest.mark.parametrize("seed", range(8))
def test_notebook_receptive_field(by_hand, seed):
    draw = random.Random(seed)
    numbers = [[draw.randint(1, 5), draw.randint(1, 3), draw.randint(1, 3)] for _ in range(draw.randint(0, 6))]
    model = nn.Sequential(*[nn.Conv2d(1, 1, k, stride=s, dilation=d) for k, s, d in numbers])
    assert (by_hand.receptive_field(numbers),) * 2 == filters.receptive_field(model)[-1].size


def test_notebook_gradient_map_sees_what_the_package_sees(by_hand):
    model = nn.Sequential(nn.Conv2d(1, 3, 3, dilation=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(3, 2, 3))
    assert torch.equal(by_hand.gradient_map(model, 21) > 0, seen_by(model, 21, (3, 3), 16))


@pytest.mark.parametrize("model", [[nn.ReLU()], nn.ReLU])
def test_receptive_fields_need_a_module(model):
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        filters.receptive_field(model)
