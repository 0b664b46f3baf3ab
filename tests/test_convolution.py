"""`convolution` against scipy, torch and scikit-image, and against what notebook 01 writes by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coursekit import convolution
from tests.notebook_functions import functions_of

ORDINARY = st.floats(-10, 10, width=32)
pixels = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=ORDINARY)
kernels = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=ORDINARY)
modes, boundaries = st.sampled_from(["valid", "same", "full"]), st.sampled_from(["fill", "symm", "wrap"])


@pytest.fixture(scope="module")
def by_hand():
    return functions_of("01_convolution")


@given(image=pixels, kernel=kernels, mode=modes, boundary=boundaries, stride=st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_correlation_equals_scipy_at_every_nth_position(image, kernel, mode, boundary, stride):
    if mode == "valid" and any(k > n for k, n in zip(kernel.shape, image.shape, strict=True)):
        with pytest.raises(ValueError, match="does not fit"):
            convolution.correlate2d(image, kernel, mode, boundary, stride=stride)
        return
    from scipy import signal  # it takes a second

    expected = signal.correlate2d(image, kernel, mode, boundary)[::stride, ::stride]
    result = convolution.correlate2d(image, kernel, mode, boundary, stride=stride)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-9)


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 5),
    padding=st.integers(0, 6),
    dilation=st.integers(1, 4),
)
@settings(max_examples=200, deadline=None)
def test_output_size_equals_torch(size, kernel, stride, padding, dilation):
    layer = torch.nn.Conv1d(1, 1, kernel, stride=stride, padding=padding, dilation=dilation)
    if dilation * (kernel - 1) + 1 > size + 2 * padding:
        with pytest.raises(ValueError, match="does not fit"):
            convolution.output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    else:
        result = convolution.output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
        assert result == layer(torch.zeros(1, 1, size)).shape[-1]


def test_input_is_not_changed_and_bytes_do_not_wrap():
    image = np.full((4, 4), 200, np.uint8)
    result = convolution.correlate2d(image, np.ones((2, 2), np.uint8))
    assert result.dtype == np.float64
    assert (result == 800).all()
    assert (image == 200).all()


def test_gradient_points_to_the_bright_side():
    ramp = np.arange(8.0) * np.ones((8, 1))
    for turned, angle in [(ramp, 0), (ramp.T, np.pi / 2), (ramp[:, ::-1], np.pi), (ramp.T[::-1], -np.pi / 2)]:
        magnitude, direction = convolution.gradient(turned)
        assert magnitude.shape == direction.shape == (8, 8)
        np.testing.assert_allclose(magnitude[1:-1, 1:-1], 8)
        np.testing.assert_allclose(direction[1:-1, 1:-1], angle, atol=1e-12)


def test_gradient_equals_scikit_image_up_to_its_scale():
    image = np.random.default_rng(0).random((20, 30))
    from skimage import filters

    magnitude = convolution.gradient(image)[0]
    np.testing.assert_allclose(magnitude[1:-1, 1:-1], np.sqrt(32) * filters.sobel(image)[1:-1, 1:-1])


def test_sobel_constants_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        convolution.SOBEL_X[0, 0] = 5


@given(size=st.integers(1, 31), sigma=st.floats(0.02, 8))
@settings(deadline=None)
def test_kernels_that_average_sum_to_one(size, sigma):
    for kernel in (convolution.uniform_kernel(size), convolution.gaussian_kernel(size, sigma)):
        assert kernel.shape == (size, size)
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1])


@given(frequency=st.floats(0.05, 0.5), theta=st.floats(-4, 4), sigma=st.floats(0.8, 5))
@settings(deadline=None, max_examples=50)
def test_gabor_equals_scikit_image(frequency, theta, sigma):
    from skimage import filters

    expected = filters.gabor_kernel(frequency, theta=theta, sigma_x=sigma, sigma_y=sigma)
    size = max(expected.shape)
    result = convolution.gabor_kernel(size, frequency, theta, sigma)
    rows, columns = ((size - n) // 2 for n in expected.shape)
    inner = result[rows : size - rows, columns : size - columns]
    np.testing.assert_allclose(inner, expected, atol=1e-12)


BAD_ARRAYS = {
    "three dimensions": (np.zeros((4, 4, 3)), ValueError, "rgb2gray"),
    "one dimension": (np.zeros(4), ValueError, "two dimensions"),
    "empty": (np.zeros((0, 4)), ValueError, "at least one pixel"),
    "NaN": (np.array([[np.nan, 1.0]]), ValueError, "NaN"),
    "text": (np.array([["a", "b"]]), TypeError, "real numbers"),
    "complex": (np.array([[1j, 2]]), TypeError, "real numbers"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_named(case):
    bad, error, text = BAD_ARRAYS[case]
    with pytest.raises(error, match=f"image.*{text}"):
        convolution.correlate2d(bad, np.ones((1, 1)))
    with pytest.raises(error, match=f"kernel.*{text}"):
        convolution.correlate2d(np.ones((5, 5)), bad)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda i, k: convolution.correlate2d(i, k, "reflect"), "mode must be one of 'valid'"),
        (lambda i, k: convolution.correlate2d(i, k, "same", "zeros"), "boundary must be one of 'fill'"),
        (lambda i, k: convolution.correlate2d(i, k, stride=0), "stride must be at least 1"),
        (lambda i, k: convolution.output_size(5, 3, padding=-1), "padding must be at least 0"),
        (lambda i, k: convolution.output_size(0, 3), "size must be at least 1"),
        (lambda i, k: convolution.output_size(5, 2.0), "kernel must be a whole number"),
        (lambda i, k: convolution.uniform_kernel(0), "size must be"),
        (lambda i, k: convolution.gaussian_kernel(3, 0), "sigma must be between"),
        (lambda i, k: convolution.gaussian_kernel(2, 0.01), "sigma must be between"),
        (lambda i, k: convolution.gaussian_kernel(3, float("nan")), "sigma must be between"),
        (lambda i, k: convolution.gabor_kernel(7, 0.7, 0, 2), "at most 0.5"),
        (lambda i, k: convolution.gabor_kernel(8, 0.2, 0, 2), "odd"),
        (lambda i, k: convolution.gabor_kernel(7, 0.2, 0, -2), "sigma must be between"),
    ],
)
def test_bad_options_are_named(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call(np.ones((5, 5)), np.ones((3, 3)))


@given(image=pixels, kernel=kernels)
@settings(max_examples=50, deadline=None)
def test_notebook_correlation_is_the_package(by_hand, image, kernel):
    if all(k <= n for k, n in zip(kernel.shape, image.shape, strict=True)):
        np.testing.assert_allclose(by_hand.correlate(image, kernel), convolution.correlate2d(image, kernel), atol=1e-9)
        turned = convolution.correlate2d(image, kernel[::-1, ::-1])
        np.testing.assert_allclose(by_hand.convolve(image, kernel), turned, atol=1e-9)


@given(size=st.integers(0, 7), sigma=st.floats(0.5, 6), frequency=st.floats(0.05, 0.5), theta=st.floats(-4, 4))
@settings(max_examples=50, deadline=None)
def test_notebook_kernels_are_the_package(by_hand, size, sigma, frequency, theta):
    odd = 2 * size + 1
    np.testing.assert_allclose(by_hand.gaussian(size + 1, sigma), convolution.gaussian_kernel(size + 1, sigma))
    np.testing.assert_allclose(
        by_hand.gabor(odd, frequency, theta, sigma), convolution.gabor_kernel(odd, frequency, theta, sigma)
    )


@given(size=st.integers(5, 40), k=st.integers(1, 5), s=st.integers(1, 4), p=st.integers(0, 3), d=st.integers(1, 2))
@settings(deadline=None)
def test_notebook_output_size_is_the_package(by_hand, size, k, s, p, d):
    if d * (k - 1) + 1 <= size + 2 * p:
        expected = convolution.output_size(size, k, stride=s, padding=p, dilation=d)
        assert by_hand.output_size(size, k, s, p, d) == expected
