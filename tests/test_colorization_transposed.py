"""Transposed convolution: three ways and torch's layer, for random shapes and options; sizes; checkerboards."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coursekit import colorization
from coursekit.colorization import transposed
from tests.notebook_functions import functions_of

WAYS = [transposed.by_matrix, transposed.by_zeros, transposed.by_gradient]
OPTIONS = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}


@st.composite
def layers(draw):
    """An input, a weight and options that fit, each option a pair."""
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    kernel, stride, dilation = ([number(1, most) for _ in "hw"] for most in (4, 4, 3))
    size = [number(1, 5) for _ in "hw"]
    extra = [number(0, s - 1) for s in stride]
    largest = [
        (n - 1) * s + d * (k - 1) + e for n, s, d, k, e in zip(size, stride, dilation, kernel, extra, strict=True)
    ]
    padding = [number(0, min(most // 2, 4)) for most in largest]
    torch.manual_seed(number(0, 1000))
    inputs, outputs = number(1, 3), number(1, 3)
    x = torch.randn(number(1, 3), inputs, *size, dtype=torch.double)
    weight = torch.randn(inputs, outputs, *kernel, dtype=torch.double)
    options = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation}
    return x, weight, {name: tuple(values) for name, values in options.items()}


@settings(max_examples=120, deadline=None)
@given(layers())
def test_three_ways_equal_torch(case):
    x, weight, options = case
    expected = F.conv_transpose2d(x, weight, **options)
    for way in WAYS:
        torch.testing.assert_close(way(x, weight, **options), expected)


@settings(max_examples=80, deadline=None)
@given(layers())
def test_the_size_is_torchs_and_a_convolution_leads_back(case):
    x, weight, options = case
    expected = F.conv_transpose2d(x, weight, **options).shape[2:]
    for axis in (0, 1):
        one = {name: values[axis] for name, values in options.items()}
        rows = colorization.transposed_size(x.shape[2 + axis], weight.shape[2 + axis], **one)
        assert rows == expected[axis]
    del options["output_padding"]
    image = torch.zeros(1, weight.shape[1], *expected, dtype=torch.double)
    assert F.conv2d(image, weight, **options).shape[2:] == x.shape[2:]


@settings(max_examples=60, deadline=None)
@given(layers())
def test_it_is_the_adjoint(case):
    """What makes a matrix the transpose: <C x, y> = <x, C^T y> for all x and y."""
    y, weight, options = case
    for way in WAYS:
        back = way(y, weight, **options)
        x = torch.randn(back.shape, dtype=torch.double)
        plain = {name: value for name, value in options.items() if name != "output_padding"}
        torch.testing.assert_close((F.conv2d(x, weight, **plain) * y).sum(), (x * back).sum())


def test_the_lectures_example():
    """A 3 x 3 kernel on 4 x 4: the matrix has 16 rows and 4 columns; the first column is the kernel in its corner."""
    weight = torch.arange(1.0, 10).view(1, 1, 3, 3)
    columns = [transposed.by_matrix(y.view(1, 1, 2, 2), weight).flatten() for y in torch.eye(4)]
    matrix = torch.stack(columns, dim=1)
    assert matrix.shape == (16, 4)
    assert matrix[:, 0].tolist() == [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0, 0]
    assert matrix[:, 3].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9]


@pytest.mark.parametrize("way", WAYS)
def test_types_and_memory_layouts_are_kept(way):
    weight = torch.randn(2, 3, 3, 3)
    x = torch.randn(1, 5, 4, 2).permute(0, 3, 1, 2)
    result = way(x, weight, stride=2)
    assert result.dtype == torch.float32
    assert not result.requires_grad
    torch.testing.assert_close(result, F.conv_transpose2d(x, weight, stride=2))
    needs = x.clone().requires_grad_()
    torch.testing.assert_close(way(needs, nn.Parameter(weight), stride=2).detach(), result)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((1, 2, 3, 3), (3, 1, 2, 2)), {}, r"x must be \[N, in, h, w\].*\[1, 2, 3, 3\] and \[3, 1, 2, 2\]"),
        (((2, 3, 3), (2, 1, 2, 2)), {}, r"x must be \[N, in, h, w\]"),
        (((0, 2, 3, 3), (2, 1, 2, 2)), {}, r"x must be \[N, in, h, w\]"),
        (((1, 1, 3, 3), (1, 1, 2, 2)), {"stride": 0}, "stride must be a whole number of at least 1"),
        (((1, 1, 3, 3), (1, 1, 2, 2)), {"stride": 1.5}, "stride must be a whole number"),
        (((1, 1, 3, 3), (1, 1, 2, 2)), {"padding": -1}, "padding must be a whole number of at least 0"),
        (((1, 1, 3, 3), (1, 1, 2, 2)), {"output_padding": 1}, "output_padding must be less than the stride 1, not 1"),
        (((1, 1, 3, 3), (1, 1, 2, 2)), {"dilation": (1, 0)}, "dilation must be a whole number of at least 1"),
        (((1, 1, 1, 1), (1, 1, 2, 2)), {"padding": 1}, "nothing is left: the output would have 0 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(way, shapes, options, message):
    x, weight = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=message):
        way(x, weight, **options)


def test_a_plain_transposed_convolution_is_larger_by_the_kernel_less_one():
    assert colorization.transposed_size(5, 3) == 7
    assert colorization.coverage(5, 3).shape == (7, 7)
    for way in WAYS:
        assert way(torch.ones(1, 1, 5, 4), torch.ones(1, 1, 3, 2)).shape == (1, 1, 7, 5)


@pytest.mark.parametrize(("name", "value"), [("size", 0), ("kernel", True), ("kernel", 2.0)])
def test_sizes_are_whole_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
        colorization.transposed_size(**({"size": 3, "kernel": 3} | {name: value}))


@given(size=st.integers(3, 8), stride=st.integers(1, 4), times=st.integers(1, 3), more=st.integers(0, 3))
def test_coverage_is_even_where_the_stride_divides_the_kernel(size, stride, times, more):
    kernel = stride * times + more
    counts = colorization.coverage(size, kernel, stride=stride)
    inside = counts[kernel - 1 : 1 - kernel or None, kernel - 1 : 1 - kernel or None]
    if inside.numel() and inside.shape[0] >= stride:
        assert (inside.min() == inside.max()) == (kernel % stride == 0)
        assert inside.max() == (-(-kernel // stride)) ** 2
    assert counts.sum() == size**2 * kernel**2


def test_checkerboards_are_measured():
    rows, columns = np.mgrid[:32, :32]
    board = torch.tensor((rows + columns) % 2, dtype=torch.float)
    assert colorization.checkerboard(2 * board - 1) == pytest.approx(1)
    assert colorization.checkerboard(1e-3 * (2 * board - 1)) == pytest.approx(1)  # a share: the size does not count
    assert colorization.checkerboard(2 * board - 1, margin=0) == pytest.approx(1)
    stripes = torch.tensor(rows % 2 * 2.0 - 1)
    assert colorization.checkerboard(stripes) == pytest.approx(1)
    smooth = torch.tensor(np.cos(columns / 5) + rows / 7)
    assert colorization.checkerboard(smooth) < 0.05
    assert colorization.checkerboard(torch.full((32, 32), 3.0)) == 0
    assert colorization.checkerboard(torch.zeros(32, 32)) == 0
    wide = torch.tensor((rows // 2 % 2) * 2.0 - 1)
    assert colorization.checkerboard(wide) == pytest.approx(0)
    assert colorization.checkerboard(wide, period=4, margin=1) == pytest.approx(1)
    assert colorization.checkerboard(torch.stack([board, smooth]).expand(5, 2, 32, 32)).shape == (5, 2)
    border = board.clone()
    border[4:-4, 4:-4] = 1  # only the margin has the pattern
    assert colorization.checkerboard(border) == 0


@pytest.mark.parametrize(
    ("shape", "options"), [((32,), {}), ((11, 32), {}), ((32, 32), {"period": 1}), ((32, 32), {"margin": -1})]
)
def test_checkerboards_need_room(shape, options):
    with pytest.raises(ValueError, match="at least"):
        colorization.checkerboard(torch.zeros(shape), **options)


def test_repeating_makes_no_checkerboard_and_an_uneven_kernel_does():
    flat = torch.ones(1, 4, 16, 16)
    with torch.no_grad():
        even = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1))(flat)
        layer = nn.ConvTranspose2d(4, 4, 3, 2, 1, 1)
        layer.weight.fill_(0.1)
        uneven = layer(flat)
        layer = nn.ConvTranspose2d(4, 4, 4, 2, 1)
        layer.weight.fill_(0.1)
        filled = layer(flat)
    assert colorization.checkerboard(even).max() < 1e-5
    assert colorization.checkerboard(filled).max() < 1e-5
    assert colorization.checkerboard(uneven).min() > 0.3


# Notebook == package


NOTEBOOK = functions_of("06_colorization")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_notebooks_three_ways_are_the_packages(data):
    kernel, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    padding, extra = data.draw(st.integers(0, (kernel - 1) // 2)), data.draw(st.integers(0, stride - 1))
    y, weight = torch.randn(4, 3), torch.randn(kernel, kernel)
    size = [NOTEBOOK.transposed_size(n, kernel, stride, padding, extra) for n in y.shape]
    assert size == [
        colorization.transposed_size(n, kernel, stride=stride, padding=padding, output_padding=extra) for n in y.shape
    ]
    for ours in WAYS:
        kept = ours(y[None, None], weight[None, None], stride=stride, padding=padding, output_padding=extra)[0, 0]
        shown = getattr(NOTEBOOK, ours.__name__)(y, weight, tuple(size), stride, padding)
        torch.testing.assert_close(shown, kept, atol=1e-5, rtol=1e-5)


def test_the_notebooks_checkerboard_is_the_packages():
    maps = torch.randn(3, 2, 32, 32).cumsum(-1)
    for period, margin in ((2, 4), (8, 8)):
        kept = colorization.checkerboard(maps, period, margin // period)
        torch.testing.assert_close(NOTEBOOK.checkerboard(maps, period, margin), kept)


@pytest.mark.parametrize("wrong", [None, [1.0], np.ones((1, 1, 3, 3)), torch.ones(1, 1, 3, 3, dtype=torch.bool)])
def test_float_tensors_are_needed(wrong):
    """Of bools, the answer was once cast back to bools."""
    right = torch.ones(1, 1, 3, 3)
    for way in WAYS:
        for arguments in ((wrong, right), (right, wrong)):
            with pytest.raises(TypeError, match=r"must be a (float )?tensor"):
                way(*arguments)


@pytest.mark.parametrize("options", [{"size": 3.0}, {"kernel": "3"}, {"size": None}])
def test_coverage_counts_whole_pixels(options):
    with pytest.raises(TypeError, match="must be a whole number"):
        colorization.coverage(**{"size": 3, "kernel": 3, **options})


def test_checkerboard_needs_a_tensor():
    with pytest.raises(TypeError, match="maps must be a tensor"):
        colorization.checkerboard([[1.0]])
    with pytest.raises(TypeError, match="period must be a whole number"):
        colorization.checkerboard(torch.ones(12, 12), 2.0)
    with pytest.raises(ValueError, match="the shape is"):
        colorization.checkerboard(torch.ones(0, 12, 12), 2)
