"""Colours and back, the network, colours as classes, whole photos of any kind, metrics against other sources."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from coursekit import colorization, data, pretrained
from coursekit.colorization import Bins, Colorizer
from coursekit.data.folders import ImageFileError
from tests.notebook_functions import functions_of

CORNERS = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)


@pytest.fixture(scope="module")
def notebook():
    return functions_of("06_colorization")


def colours(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


# Lab


def lab_of(rgb):
    """An independent way to CIELAB: from CIE's definitions, in exact fractions where they have them."""
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
    matrix = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
    xyz = [sum(m * c for m, c in zip(row, light, strict=True)) for row in matrix]
    scaled = [v / w for v, w in zip(xyz, (0.95047, 1.0, 1.08883), strict=True)]
    x, y, z = (v ** (1 / 3) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in scaled)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("rgb", [*CORNERS.tolist(), [1, 2, 3], [119, 119, 119], [10, 200, 90]])
def test_lab_is_what_cie_defines(rgb):
    np.testing.assert_allclose(colorization.rgb_to_lab(np.uint8(rgb)), lab_of(rgb), atol=0.02)


def test_lab_of_published_corners():
    """Lindbloom's values for the primaries of sRGB."""
    known = {
        (255, 0, 0): (53.24, 80.09, 67.20),
        (0, 255, 0): (87.73, -86.18, 83.18),
        (0, 0, 255): (32.30, 79.19, -107.86),
    }
    for rgb, lab in known.items():
        np.testing.assert_allclose(colorization.rgb_to_lab(np.uint8(rgb)), lab, atol=0.03)
    assert np.abs(colorization.rgb_to_lab(np.uint8([255, 255, 255])) - (100, 0, 0)).max() < 0.02


def test_every_colour_comes_back():
    steps = np.unique(np.linspace(0, 255, 24).astype(np.uint8))
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    for image in (cube, CORNERS, colours(50, 40), colours(3), colours(1)[0]):
        lab = colorization.rgb_to_lab(image)
        assert lab.dtype == np.float32
        assert lab.shape == image.shape
        np.testing.assert_array_equal(colorization.lab_to_rgb(lab), image)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_floats_come_back_within_half_a_step(values):
    back = colorization.lab_to_rgb(colorization.rgb_to_lab(np.array(values)))
    assert np.abs(back / 255 - values).max() <= 0.5 / 255 + 1e-6


def test_gray_has_no_colour_and_nearly_its_own_lightness():
    grays = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    lab = colorization.rgb_to_lab(grays)
    assert np.abs(lab[:, 1:]).max() < 0.01
    assert (np.diff(lab[:, 0]) > 0).all()
    assert np.abs(lab[:, 0] / 100 - grays[:, 0] / 255).max() < 0.035


def test_colours_outside_srgb_are_brought_to_its_edge_without_a_warning():
    wild = np.array([[50, 120, -120], [0, -100, 100], [100, 100, 100], [1, 0, -128]], float)
    rgb = colorization.lab_to_rgb(wild)
    assert rgb.dtype == np.uint8
    assert ((rgb == 0) | (rgb == 255)).any(axis=1).all()


def test_tensors_and_many_pixels(monkeypatch):
    image = colours(31, 17)
    expected = colorization.rgb_to_lab(image)
    np.testing.assert_array_equal(colorization.rgb_to_lab(torch.from_numpy(image)), expected)
    np.testing.assert_array_equal(colorization.rgb_to_lab(image[::-1])[::-1], expected)
    monkeypatch.setattr("coursekit.colorization.cielab._AT_ONCE", 100)
    np.testing.assert_array_equal(colorization.rgb_to_lab(image), expected)
    np.testing.assert_array_equal(colorization.lab_to_rgb(expected), image)


@pytest.mark.parametrize("function", [colorization.rgb_to_lab, colorization.lab_to_rgb])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 4)), r"last axis.*of a gray image np\.stack"),
        (np.zeros((3, 4, 5)), r"last axis.*\(3, 4, 5\)\. Of \[3, H, W\] take np\.moveaxis"),
        (np.zeros((0, 3)), "at least one pixel"),
        (np.float32(3), "last axis"),
        (np.array([[0.1, np.nan, 0.2]]), "NaN"),
        (np.array([[0.1, 0.2, np.inf]]), "NaN or infinite"),
    ],
)
def test_lab_refuses_what_is_no_colour(function, values, message):
    with pytest.raises(ValueError, match=message):
        function(values)


@pytest.mark.parametrize("values", [[0, 0, 1.5], [-0.1, 0, 0], [0, 128.0, 255.0], [0, 128, 255]])
def test_rgb_floats_beyond_one_are_refused(values):
    with pytest.raises(ValueError, match=r"expected bytes \(uint8\) 0\.\.255 or floats 0\.\.1\. Divide by 255"):
        colorization.rgb_to_lab(np.array(values))


def test_lab_in_bytes_is_refused_with_a_conversion_that_is_right():
    red = np.array([[[136, 208, 195]]], np.uint8)  # as some libraries store it
    with pytest.raises(ValueError, match=r"bytes.*L 0\.\.100.*Of Lab in bytes take 100 / 255 \* L, a - 128\.0"):
        colorization.lab_to_rgb(red)
    lab = np.stack([100 / 255 * red[..., 0], red[..., 1] - 128.0, red[..., 2] - 128.0], axis=-1)
    assert np.abs(colorization.lab_to_rgb(lab).astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(
    ("lab", "message"),
    [
        ([136.0, 0.0, 0.0], r"L, the first channel of lab, goes from 136 to 136; expected 0\.\.100\. Of Lab in bytes"),
        ([-1.0, 0.0, 0.0], r"L, .*expected 0\.\.100"),
        ([50.0, 208.0, 0.0], r"a or b, .* goes from 0 to 208; expected -128\.\.128"),
        ([50.0, 0.0, -300.0], r"a or b, .*expected -128\.\.128"),
    ],
)
def test_lab_out_of_range_is_refused(lab, message):
    for values in (np.array(lab), torch.tensor(lab), np.tile(lab, (3, 4, 1))):
        with pytest.raises(ValueError, match=message):
            colorization.lab_to_rgb(values)


@pytest.mark.parametrize(
    ("light", "ab", "message"),
    [
        (50.0, 0.3, r"light goes from 50 to 50; expected L / 100, which is 0\.\.1"),
        (-0.5, 0.3, "light goes from -0.5"),
        (0.5, 30.0, r"ab goes from 30 to 30; expected a / 100 and b / 100, which are -1\.1\.\.1"),
        (0.5, math.nan, "ab holds NaN"),
        (math.inf, 0.0, "light holds NaN or infinite"),
    ],
)
def test_pairs_of_another_scale_are_refused(light, ab, message):
    with pytest.raises(ValueError, match=message):
        colorization.pairs_to_rgb(torch.full((1, 1, 2, 2), light), torch.full((1, 2, 2, 2), ab))


def test_lab_in_any_other_type_that_holds_its_numbers():
    expected = colorization.lab_to_rgb(np.array([50.0, 20, -30]))
    for lab in ([50, 20, -30], np.array([50, 20, -30], np.int16), torch.tensor([50.0, 20, -30], requires_grad=True)):
        np.testing.assert_array_equal(colorization.lab_to_rgb(lab), expected)
    light, guess = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 2, 2, 2), 2.0)
    assert colorization.pairs_to_rgb(light, guess).max() == 255  # a network may guess beyond what there is
    guess = torch.tensor([0.1, 40.0, -0.2, 0.0]).view(1, 1, 2, 2).expand(-1, 2, -1, -1)  # and far beyond in places
    assert colorization.pairs_to_rgb(light, guess).max() == 255


def test_pairs_are_lightness_and_colour():
    images = torch.from_numpy(colours(5, 9, 7)).permute(0, 3, 1, 2)
    light, ab = colorization.lab_pairs(images).tensors
    assert light.shape == (5, 1, 9, 7)
    assert ab.shape == (5, 2, 9, 7)
    assert light.dtype == ab.dtype == torch.float32
    assert 0 <= light.min() <= light.max() <= 1.0001
    lab = colorization.rgb_to_lab(images.permute(0, 2, 3, 1)) / 100
    np.testing.assert_allclose(torch.cat([light, ab], dim=1).permute(0, 2, 3, 1), lab, atol=1e-6)
    np.testing.assert_array_equal(colorization.pairs_to_rgb(light, ab), images.permute(0, 2, 3, 1))
    image, target = colorization.lab_pairs(data.photo_crops(3, 2, 16).train)[1]
    assert image.shape == (1, 16, 16)
    assert target.shape == (2, 16, 16)


def test_pairs_refuse_gray_sets_and_strangers():
    gray = data.ImageSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 0]), ("gray",))
    with pytest.raises(ValueError, match="needs colour images"):
        colorization.lab_pairs(gray)
    with pytest.raises(ValueError, match="needs colour images"):
        colorization.lab_pairs(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    for light, ab in (((2, 1, 4, 4), (2, 2, 4, 5)), ((1, 4, 4), (2, 4, 4)), ((2, 2, 4, 4), (2, 2, 4, 4))):
        with pytest.raises(ValueError, match=r"light must be \[N, 1, H, W\]"):
            colorization.pairs_to_rgb(torch.zeros(light), torch.zeros(ab))


def test_the_notebooks_lightness_is_that_of_lab(notebook):
    image = colours(40, 40)
    np.testing.assert_allclose(notebook.lightness(image / 255), colorization.rgb_to_lab(image)[..., 0], atol=0.01)


# The network


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_lectures_numbers():
    import torchvision

    resnet = torchvision.models.resnet18()
    first = nn.Sequential(*list(resnet.children())[:6]).eval()
    assert count(first) == 683_072
    encoder = colorization.gray_encoder(resnet).eval()
    assert encoder[0].in_channels == 1
    assert count(encoder) == 683_072 - 2 * 64 * 49
    decoder = colorization.upsampling_decoder().eval()
    assert count(decoder) == 277_922
    kinds = [type(layer) for layer in decoder]
    assert kinds.count(nn.Conv2d) == 5
    assert kinds.count(nn.Upsample) == 3
    with torch.no_grad():
        features = encoder(torch.rand(1, 1, 256, 256))
        assert features.shape == (1, 128, 32, 32)
        assert decoder(features).shape == (1, 2, 256, 256)
        assert first(torch.rand(1, 3, 256, 256)).shape == features.shape


def test_equal_response_to_gray_rgb_and_the_network_is_left_alone():
    resnet = pretrained.resnet18(0.25).eval()
    before = {name: value.clone() for name, value in resnet.state_dict().items()}
    encoder = colorization.gray_encoder(resnet).eval()
    gray = torch.rand(2, 1, 33, 47)
    with torch.no_grad():
        expected = nn.Sequential(*list(resnet.children())[:6])(gray.expand(-1, 3, -1, -1))
        torch.testing.assert_close(encoder(gray), expected, atol=1e-4, rtol=1e-4)
        encoder[0].weight.zero_()
        encoder[4][0].conv1.weight.zero_()
    assert all(torch.equal(before[name], value) for name, value in resnet.state_dict().items())
    assert resnet.conv1.in_channels == 3
    encoder(torch.rand(2, 1, 16, 16)).sum().backward()
    assert all(parameter.grad is None for parameter in resnet.parameters())


def test_encoders_of_other_layout_are_refused():
    other_start, other_layers = pretrained.resnet18(0.125), pretrained.resnet18(0.125)
    other_start.conv1 = nn.Identity()
    del other_layers.layer2
    plain = nn.Sequential(nn.Conv2d(3, 4, 3))
    for stranger in (plain, pretrained.vgg16(0.125), nn.Identity(), other_start, other_layers):
        with pytest.raises(ValueError, match="layout of torchvision's ResNet"):
            colorization.gray_encoder(stranger)
    del (whole := pretrained.resnet18(0.125)).layer4
    with pytest.raises(ValueError, match="layout of torchvision's ResNet"):
        colorization.UNet(whole, 2)


@pytest.mark.parametrize("decoder", [colorization.upsampling_decoder, colorization.transposed_decoder])
@pytest.mark.parametrize("outputs", [1, 2, 7])
def test_decoders_enlarge_eightfold(decoder, outputs):
    with torch.no_grad():
        assert decoder(0.25, outputs)(torch.rand(2, 32, 3, 5)).shape == (2, outputs, 24, 40)


def test_the_channels_of_the_transposed_decoder():
    layers = [m for m in colorization.transposed_decoder() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in layers] == [128, 128, 64, 32]
    assert [layer.out_channels for layer in layers] == [128, 64, 32, 2]
    assert [layer.kernel_size[0] for layer in layers] == [4, 4, 3, 4]


def test_transposed_decoders_of_other_kernels():
    for kernel in (2, 3, 4):
        layers = colorization.transposed_decoder(0.25, kernel=kernel)
        assert layers(torch.rand(2, 32, 2, 3)).shape == (2, 2, 16, 24)
        assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in layers) == 3
    with pytest.raises(ValueError, match="kernel must be 2, 3 or 4"):
        colorization.transposed_decoder(kernel=5)


def small_model(outputs=2, seed=0):
    torch.manual_seed(seed)
    encoder = colorization.gray_encoder(pretrained.resnet18(0.125))
    return Colorizer(encoder, colorization.upsampling_decoder(0.125, outputs)).eval()


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (1, 200), (37, 50), (7, 9), (8, 16)])
def test_colorizers_take_any_size(size):
    with torch.no_grad():
        assert small_model(3)(torch.rand(2, 1, *size)).shape == (2, 3, *size)


def test_normalization_belongs_to_the_model():
    light, model = torch.rand(1, 1, 16, 16), small_model()
    with torch.no_grad():
        expected = model.decoder(model.encoder((light - 0.449) / 0.226))
        torch.testing.assert_close(model(light), expected)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (1, 200), (37, 50), (7, 9)])
def test_the_unet_answers_at_half_of_any_size(size):
    model = colorization.UNet(pretrained.resnet18(0.125), 3).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 1, *size)).shape == (2, 3, -(-size[0] // 2), -(-size[1] // 2))


def test_skip_connections_carry_what_the_deepest_maps_have_lost():
    """With the deepest maps held at zero, a single bright pixel still reaches the answer, at its own place."""
    torch.manual_seed(0)
    model = colorization.UNet(pretrained.resnet18(0.125), 2).eval()
    model.down[-1].register_forward_hook(lambda block, inputs, output: torch.zeros_like(output))
    dark, point = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    point[..., 20, 40] = 1
    with torch.no_grad():
        change = (model(point) - model(dark)).abs().sum(1)[0]
    row, column = divmod(int(change.argmax()), 32)
    assert abs(row - 10) <= 3
    assert abs(column - 20) <= 3
    assert change[:, :2].max() < 0.01 * change.max()  # far away next to nothing changes


def test_the_unet_begins_with_the_given_network_made_gray():
    resnet = pretrained.resnet18(0.125).eval()
    model = colorization.UNet(resnet, 2).eval()
    gray = torch.rand(1, 1, 64, 64)
    seen = []
    model.down[-1].register_forward_hook(lambda block, inputs, output: seen.append(output))
    with torch.no_grad():
        model(gray)
        expected = nn.Sequential(*list(resnet.children())[:8])(((gray - 0.449) / 0.226).expand(-1, 3, -1, -1))
    torch.testing.assert_close(seen[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 2), (2, 3), (2, 4), (3, 4), (3, 6)])
def test_coverage_is_even_where_the_stride_divides_the_kernel(stride, kernel):
    counts = colorization.coverage(8, kernel, stride=stride)
    assert counts.shape == (7 * stride + kernel,) * 2
    inside = counts[kernel - 1 : 1 - kernel, kernel - 1 : 1 - kernel]
    assert (inside.min() == inside.max()) == (kernel % stride == 0)
    assert inside.max() == (-(-kernel // stride)) ** 2
    assert counts.sum() == 8**2 * kernel**2
    assert torch.equal(colorization.coverage(8, kernel, stride=stride, padding=1), counts[1:-1, 1:-1])


def test_the_notebooks_decoder_is_the_packages(notebook):
    for width, outputs in ((1.0, 2), (0.25, 9)):
        ours, theirs = notebook.decoder(width, outputs), colorization.upsampling_decoder(width, outputs)
        theirs.load_state_dict(ours.state_dict())
        x = torch.rand(2, round(128 * width), 4, 4)
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


# Colours as classes


def test_bins_are_a_grid_around_gray():
    ab = torch.tensor([[0.0, 0.02], [0.0, -0.03], [0.31, 0.0], [0.31, -0.19]]).T.reshape(1, 2, 2, 2)
    bins = Bins.of(ab, step=10)
    assert len(bins) == 3
    rows = zip(bins.centres.tolist(), bins.shares.tolist(), strict=True)
    found = {tuple(round(100 * value) for value in centre): share for centre, share in rows}
    assert found == {(0, 0): 0.5, (30, 0): 0.25, (30, -20): 0.25}
    assert (bins.centres[bins.encode(ab)].movedim(-1, 1) - ab).abs().max() <= 0.05 + 1e-6
    assert len(Bins.of(ab, step=10, least=0.25)) == 3  # a share of just `least` is kept
    assert len(Bins.of(ab, step=10, least=0.3)) == 1
    torch.testing.assert_close(Bins.of(ab).centres, Bins.of(ab, step=15).centres)
    assert "3 colours" in repr(bins)
    assert "50%" in repr(bins)


def test_encode_takes_the_nearest_and_decode_brings_it_back():
    ab = (torch.rand(3, 2, 8, 6, generator=torch.Generator().manual_seed(0)) - 0.5) * 1.5
    bins = Bins.of(ab, step=15, least=0)
    labels = bins.encode(ab)
    assert labels.shape == (3, 8, 6)
    assert labels.dtype == torch.int64
    distances = (ab.movedim(1, -1)[..., None, :] - bins.centres).norm(dim=-1)
    assert torch.equal(labels, distances.argmin(-1))
    sure = F.one_hot(labels, len(bins)).movedim(-1, 1) * 1000.0
    for temperature in (1.0, 0.38, 0.0):
        assert (bins.decode(sure, temperature) - ab).abs().max() <= 0.075 + 1e-6


def test_encode_takes_many_pixels_in_pieces():
    ab = torch.zeros(1, 2, 600, 500)  # more than 2**18
    ab[..., 450:, :] = 0.5
    assert torch.equal(TWO.encode(ab), (ab[:, 0] > 0).long())


def test_temperature_goes_from_the_mean_to_the_likeliest():
    bins = Bins(torch.tensor([[0.8, 0.0], [-0.8, 0.0]]), torch.tensor([0.9, 0.1]))
    logits = torch.tensor([0.75, 0.25]).log().view(1, 2, 1, 1)
    mean, sharp, likeliest = (bins.decode(logits, t).flatten().tolist() for t in (1.0, 0.38, 0.0))
    assert mean == pytest.approx([0.4, 0])
    assert 0.4 < sharp[0] < 0.8
    p = 0.75 ** (1 / 0.38) / (0.75 ** (1 / 0.38) + 0.25 ** (1 / 0.38))
    assert sharp[0] == pytest.approx(0.8 * (2 * p - 1))
    assert likeliest == pytest.approx([0.8, 0])
    assert bins.decode(logits, 0.0, boost=2.0).flatten().tolist() == pytest.approx([-0.8, 0])
    shifted = bins.decode(logits + 7, 0.38)
    torch.testing.assert_close(shifted.flatten(), torch.tensor(sharp))


def test_weights_are_those_of_the_paper_and_the_notebook(notebook):
    """One over a mixture of the shares and an even share, with mean 1 over the pixels (Zhang et al., 2016, eq. 4)."""
    bins = Bins(torch.zeros(3, 2), torch.tensor([0.7, 0.2, 0.1]))
    for mix in (1.0, 0.75, 0.5, 0.1):
        weights = bins.weights(mix)
        expected = 1 / ((1 - mix) * bins.shares + mix / 3)
        torch.testing.assert_close(weights / weights[0], expected / expected[0])
        assert (weights * bins.shares).sum() == pytest.approx(1)
        torch.testing.assert_close(notebook.rebalancing(bins.shares, mix), weights)
    torch.testing.assert_close(bins.weights(1.0), torch.ones(3))


def test_the_boost_undoes_and_does_the_weights():
    bins = Bins(torch.tensor([[0.8, 0.0], [-0.8, 0.0]]), torch.tensor([0.9, 0.1]))
    logits = torch.randn(1, 2, 3, 3)
    trained_with_weights = logits + bins.weights().log()[:, None, None]
    torch.testing.assert_close(bins.decode(trained_with_weights, 0.5, boost=-1.0), bins.decode(logits, 0.5))
    torch.testing.assert_close(bins.decode(logits, 0.5, boost=1.0), bins.decode(trained_with_weights, 0.5))


def test_mean_squared_error_finds_the_mean_and_cross_entropy_both():
    """The two colours of the notebook: a constant answer trained with either loss."""
    ab = torch.tensor([[0.6, 0.3], [0.2, -0.8]] * 20)[:, :, None, None]
    guess = ab.mean(0, keepdim=True).requires_grad_()
    F.mse_loss(guess.expand_as(ab), ab).backward()
    assert guess.grad.abs().max() < 1e-6  # nothing can be gained by moving away from the mean
    bins = Bins.of(ab, step=20)
    logits = bins.shares.log().view(1, -1, 1, 1)
    torch.testing.assert_close(bins.decode(logits)[0, :, 0, 0], bins.centres.mean(0))
    assert len(bins) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Bins.of(torch.zeros(1, 3, 2, 2)), r"ab must be \[N, 2, H, W\]"),
        (lambda: Bins.of(torch.zeros(0, 2, 2, 2)), "at least one pixel"),
        (lambda: Bins.of(torch.full((1, 2, 2, 2), math.nan)), "NaN"),
        (lambda: Bins.of(torch.rand(1, 2, 9, 9), step=1, least=0.5), "no bin holds a share of 0.5"),
        (lambda: TWO.encode(torch.zeros(2, 4, 4)), r"ab must be \[N, 2, H, W\]"),
        (lambda: TWO.encode(torch.full((1, 2, 2, 2), math.inf)), "infinite"),
        (lambda: TWO.decode(torch.zeros(1, 3, 4, 4)), r"logits must be \[N, 2, H, W\]"),
        (lambda: TWO.decode(torch.zeros(1, 2, 4, 4), -1), "temperature must be 0 or more"),
        (lambda: TWO.weights(0), "mix must be above 0"),
    ],
)
def test_bins_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


TWO = Bins(torch.tensor([[0.0, 0.0], [0.5, 0.5]]), torch.tensor([0.5, 0.5]))


def test_the_notebooks_decode_is_the_packages(notebook):
    logits = torch.randn(2, 2, 3, 3)
    for temperature in (1.0, 0.38):
        torch.testing.assert_close(notebook.decode(logits, TWO, temperature), TWO.decode(logits, temperature))


# Whole photos


class Painter(nn.Module):
    """Answers one colour, or one bin, whatever it sees."""

    def __init__(self, *values):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))
        self.seen = None

    def forward(self, light):
        self.seen = light
        return self.values.view(1, -1, 1, 1).expand(len(light), -1, *light.shape[2:])


@pytest.mark.parametrize(
    ("shape", "small"),
    [
        ((1, 1), (16, 16)),
        ((1, 40), (16, 64)),
        ((300, 1), (64, 16)),
        ((5, 7), (16, 22)),
        ((64, 64), (16, 16)),
        ((101, 33), (49, 16)),
        ((2, 900), (16, 64)),
    ],
)
def test_photos_of_any_size(shape, small):
    photo = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    painter = Painter(0.0, 0.0)
    result = colorization.colorize(painter, photo, size=16)
    np.testing.assert_array_equal(result, np.repeat(photo[..., None], 3, axis=2))
    assert painter.seen.shape == (1, 1, *small)
    assert colorization.colorize(small_model(), photo, size=16).shape == (*shape, 3)


def test_the_lightness_stays_and_the_colour_comes():
    photo = data.photo("astronaut")[:120, :90]
    result = colorization.colorize(Painter(0.05, 0.1), photo)
    before, after = colorization.rgb_to_lab(photo), colorization.rgb_to_lab(result)
    middle = (before[..., 0] > 20) & (before[..., 0] < 90)
    assert np.abs(before[..., 0] - after[..., 0])[middle].max() < 1
    np.testing.assert_allclose(after[middle][:, 1:].mean(0), [5, 10], atol=0.2)


def test_colour_photos_are_judged_by_their_lightness_alone():
    photo = colours(20, 20)
    gray = colorization.lab_to_rgb(colorization.rgb_to_lab(photo) * [1, 0, 0])
    model = small_model()
    one, other = (colorization.colorize(model, image).astype(int) for image in (photo, gray))
    assert np.abs(one - other).max() <= 6  # gray was rounded to bytes once


def test_bins_and_their_options_reach_the_photo():
    photo = np.full((10, 12), 120, np.uint8)
    model = Painter(1.0, 0.9)
    warm = colorization.colorize(model, photo, TWO, temperature=1.0)
    gray = colorization.colorize(model, photo, TWO, temperature=0.0)
    np.testing.assert_array_equal(gray, np.repeat(photo[..., None], 3, axis=2))
    assert colorization.colourfulness(warm) > 20
    with pytest.raises(ValueError, match="needs its `bins`"):
        colorization.colorize(Painter(1.0, 0.9, 0.1), photo)
    with pytest.raises(ValueError, match=r"expected \[1, 3, height"):
        colorization.colorize(model, photo, Bins(torch.zeros(3, 2), torch.ones(3)))


def test_what_colorize_does_without_options():
    photo, model = np.full((10, 12), 120, np.uint8), Painter(1.0, 0.9)
    bins = Bins(torch.tensor([[0.0, 0.0], [0.5, 0.5]]), torch.tensor([0.9, 0.1]))
    plain = colorization.colorize(model, photo, bins)
    assert model.seen.shape == (1, 1, 112, 134)
    np.testing.assert_array_equal(plain, colorization.colorize(model, photo, bins, temperature=0.6, boost=0.0))
    for others in ({"temperature": 1.0}, {"boost": 1.0}):
        assert (colorization.colorize(model, photo, bins, **others) != plain).any()


def test_the_model_is_left_in_its_mode():
    model = small_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    colorization.colorize(model, colours(9, 9))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), 7),
        (np.full((2, 3, 1), 7, np.uint8), 7),
        (np.full((2, 3, 4), 7, np.uint8), 7),
        (np.full((2, 3, 3), 7 / 255), 7),
        (np.full((2, 3), 7 / 255, np.float32), 7),
        (torch.full((2, 3), 7, dtype=torch.uint8), 7),
    ],
)
def test_photos_of_any_type(image, expected):
    photo = colorization.as_photo(image)
    assert photo.dtype == np.uint8
    assert photo.shape == (2, 3, 3)
    assert (photo == expected).all()


def test_photos_from_files(tmp_path):
    photo = colours(11, 17)
    Image.fromarray(photo).save(tmp_path / "colour.png")
    Image.fromarray(photo[..., 0]).save(tmp_path / "gray.png")
    Image.fromarray(photo[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(colorization.as_photo(tmp_path / "colour.png"), photo)
    for name in ("gray.png", "deep.png"):
        np.testing.assert_array_equal(colorization.as_photo(str(tmp_path / name)), np.repeat(photo[..., :1], 3, axis=2))
    assert colorization.colorize(small_model(), tmp_path / "gray.png").shape == photo.shape
    (tmp_path / "no.jpg").write_bytes(b"<!doctype html>")
    with pytest.raises(ImageFileError, match=r"no\.jpg.*web page"):
        colorization.as_photo(tmp_path / "no.jpg")
    with pytest.raises(ImageFileError, match=r"missing\.jpg.*not a file"):
        colorization.colorize(small_model(), tmp_path / "missing.jpg")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 4)), "at least one pixel"),
        (np.zeros(5), "a photo is an array"),
        (np.zeros((3, 4, 5)), r"x\.permute\(1, 2, 0\)"),
        (np.zeros((2, 3, 4, 3)), "a photo is an array"),
        (np.array([[0.1, np.nan]]), "NaN"),
        (np.array([[0.1, 200.0]]), "floats 0..1. Divide by 255"),
        (np.array([[-0.1, 0.5]]), "floats 0..1"),
        (np.array([[1, 2]]), "goes from 1 to 2; expected bytes"),
    ],
)
def test_what_is_no_photo(image, message):
    with pytest.raises(ValueError, match=message):
        colorization.colorize(Painter(0.0, 0.0), image)


def test_a_size_of_one_pixel():
    painter = Painter(0.0, 0.0)
    assert colorization.colorize(painter, colours(4, 6), size=1).shape == (4, 6, 3)
    assert painter.seen.shape == (1, 1, 1, 2)


@pytest.mark.parametrize("size", [0, 2.5])
def test_sizes_that_are_none(size):
    with pytest.raises((TypeError, ValueError), match="size must be"):
        colorization.colorize(Painter(0.0, 0.0), colours(4, 4), size=size)


def test_wild_guesses_are_colours_and_nan_is_none():
    assert colorization.colorize(Painter(9.0, -9.0), colours(4, 4)).dtype == np.uint8
    with pytest.raises(ValueError, match="NaN"):
        colorization.colorize(Painter(math.nan, 0.0), colours(4, 4))


# Metrics


# L, a, b of two colours and their difference: pairs 1, 4, 7, 9, 13, 16 to 20, 25 and 34 of Sharma et al. (2005).
SHARMA = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (61, -5, 29), 22.8977),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((50, 2.5, 0), (58, 24, 15), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def difference(lab1, lab2):
    """CIEDE2000 written from the formulas of Sharma et al., in degrees, for one pair."""
    (l1, a1, b1), (l2, a2, b2) = lab1, lab2
    c7 = ((math.hypot(a1, b1) + math.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - math.sqrt(c7 / (c7 + 25**7)))
    c1, c2 = math.hypot((1 + g) * a1, b1), math.hypot((1 + g) * a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, (1 + g) * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    dh = 0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    h = h1 + h2 if c1 * c2 == 0 else (h1 + h2) / 2 + (0 if abs(h1 - h2) <= 180 else 180 if h1 + h2 < 360 else -180)
    big_dh = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(dh / 2))
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    cos = lambda degrees: math.cos(math.radians(degrees))  # noqa: E731
    t = 1 - 0.17 * cos(h - 30) + 0.24 * cos(2 * h) + 0.32 * cos(3 * h + 6) - 0.2 * cos(4 * h - 63)
    turn = 60 * math.exp(-(((h - 275) / 25) ** 2))
    rc = 2 * math.sqrt(c**7 / (c**7 + 25**7))
    sl = 1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    x, y, z = (l2 - l1) / sl, (c2 - c1) / sc, big_dh / sh
    return math.sqrt(x * x + y * y + z * z - math.sin(math.radians(turn)) * rc * y * z)


@pytest.mark.parametrize(("one", "other", "published"), SHARMA)
def test_the_formula_below_has_the_published_values(one, other, published):
    assert difference(one, other) == pytest.approx(published, abs=1e-4)


def test_ciede2000_of_images_is_the_mean_of_the_formula():
    one, other = colours(2, 5, 4), colours(2, 5, 4, seed=1)
    expected = [
        np.mean([difference(lab_of(p), lab_of(q)) for p, q in zip(a.reshape(-1, 3), b.reshape(-1, 3), strict=True)])
        for a, b in zip(one, other, strict=True)
    ]
    np.testing.assert_allclose(colorization.ciede2000(other, one), expected, atol=0.02)


def test_colourfulness_by_the_formula():
    """Two colours, worked out by hand: R - G and (R + G) / 2 - B."""
    image = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)  # rg: 255, 0; yb: 127.5, -255
    spread = math.hypot(127.5, 191.25)
    assert colorization.colourfulness(image) == pytest.approx(spread + 0.3 * math.hypot(127.5, -63.75))
    assert colorization.colourfulness(image / 255) == pytest.approx(colorization.colourfulness(image))
    gray = np.repeat(colours(8, 8)[..., :1], 3, axis=2)
    assert colorization.colourfulness(gray) == 0


def test_psnr_and_mse_against_scikit_image():
    from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

    one, other = colours(16, 12), colours(16, 12, seed=1)
    assert colorization.mse(one, other) == pytest.approx(mean_squared_error(one / 255, other / 255))
    assert colorization.psnr(one, other) == pytest.approx(peak_signal_noise_ratio(other, one))
    assert colorization.psnr(one, one) == np.inf
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert colorization.mse(black, white) == 1
    assert colorization.psnr(black, white) == 0


def test_each_image_has_its_number_and_the_score_its_means():
    one, other = colours(3, 6, 5), colours(3, 6, 5, seed=1)
    for metric in (colorization.mse, colorization.psnr, colorization.ciede2000):
        values = metric(one, other)
        assert values.shape == (3,)
        np.testing.assert_allclose(values, [metric(a, b) for a, b in zip(one, other, strict=True)])
    score = colorization.score(one, other)
    assert score["MSE"] == pytest.approx(colorization.mse(one, other).mean())
    assert score["PSNR"] == pytest.approx(-10 * math.log10(score["MSE"]))
    assert score["CIEDE2000"] == pytest.approx(colorization.ciede2000(one, other).mean())
    assert score["colourfulness"] == pytest.approx(colorization.colourfulness(one).mean())
    same = colorization.score(one, one)
    assert (same["MSE"], same["PSNR"], same["CIEDE2000"]) == (0, math.inf, 0)


@pytest.mark.parametrize("metric", [colorization.mse, colorization.psnr, colorization.ciede2000, colorization.score])
def test_metrics_refuse(metric):
    good = colours(4, 4)
    for bad, message in (
        (colours(4, 5), "one shape"),
        (good[..., 0], r"last axis, \[\.\.\., 3\]"),
        (good.astype(float), "floats 0..1"),
        (good.astype(int), "expected bytes"),
        (np.full((4, 4, 3), -0.5), "floats 0..1"),
        (np.full((4, 4, 3), np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            metric(bad, good)


def test_the_notebooks_metrics_are_the_packages(notebook):
    one, other = colours(9, 8), colours(9, 8, seed=1)
    for name in ("mse", "psnr"):
        assert getattr(notebook, name)(one, other) == pytest.approx(getattr(colorization, name)(one, other))
    assert notebook.colourfulness(one) == pytest.approx(colorization.colourfulness(one))


def test_tensors_are_needed():
    wrong = np.zeros((1, 2, 4, 4))
    for call in (
        lambda: Bins.of(wrong),
        lambda: TWO.encode(wrong),
        lambda: TWO.decode(wrong),
        lambda: colorization.pairs_to_rgb(torch.zeros(1, 1, 4, 4), wrong),
    ):
        with pytest.raises(TypeError, match="must be a tensor"):
            call()


@pytest.mark.parametrize("wrong", [[nn.ReLU()], nn.ReLU])
def test_modules_are_needed(wrong):
    for call in (
        lambda: colorization.gray_encoder(wrong),
        lambda: colorization.colorize(wrong, np.zeros((8, 8))),
        lambda: Colorizer(wrong, nn.Identity()),
    ):
        with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module"):
            call()


@pytest.mark.parametrize("mode", ["P", "CMYK", "LA", "1"])
def test_a_photo_of_pillow_in_any_mode_has_its_own_colours(mode):
    photo = Image.fromarray(np.kron(CORNERS[None], np.ones((4, 4, 1), np.uint8))).convert(mode)
    assert np.array_equal(colorization.as_photo(photo), np.asarray(photo.convert("RGB")))


def test_an_encoder_of_bottlenecks():
    resnet = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
    assert colorization.UNet(resnet, 2)(torch.rand(1, 1, 64, 64)).shape == (1, 2, 32, 32)
