"""Figures: each is a described PNG that fits its size limits; bad input is named; same input, same bytes."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from scipy import signal

from coursekit import figures
from coursekit.figures import charts, panels, picture

ALT = "three words here"
GRAY = np.linspace(0, 1, 48).reshape(6, 8)
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def frame(size=(2, 1)):
    return Figure(figsize=size)


HELPERS = {
    "images": lambda **k: figures.images([GRAY, COLOUR], ["a", "b"], colorbar=True, axes=True, **k),
    "kernels": lambda **k: figures.kernels([np.eye(3), -np.eye(5)], ["a", "b"], **k),
    "curves": lambda **k: figures.curves(
        [1, 10], {"a": [[1, 2], [3, 4]], "b": [1, np.nan]}, xlabel="x", ylabel="y", log="xy", dashed=["b"], **k
    ),
    "runs": lambda **k: figures.runs({"a": [1, 2], "b": 3}, xlabel="x", reference="a", **k),
    "confusion": lambda **k: figures.confusion([[3, 1], [0, 2]], ["cats", "dogs"], **k),
    "overlay": lambda **k: figures.overlay(COLOUR, GRAY[:2, :2], **k),
    "sliding": lambda **k: figures.sliding(np.eye(3)[:2], np.ones((2, 2)), **k).still,
    "show": lambda **k: figures.show(frame(), **k),
}


def opened(picture):
    return Image.open(io.BytesIO(picture.content))


@pytest.mark.parametrize("name", HELPERS)
def test_every_helper_gives_a_described_png_and_the_same_one_again(name):
    made = HELPERS[name](alt="  a figure \n with words ")
    data, metadata = made._repr_mimebundle_()
    assert metadata == {"image/png": {"alt": "a figure with words", "width": opened(made).width // 2}}
    assert "a figure with words" in data["text/plain"]
    assert opened(made).format == "PNG"
    assert opened(made).width <= picture.SHARPNESS * picture.WIDTH * picture.DPI
    assert HELPERS[name](alt=ALT).content == made.content
    if name != "show":
        assert len(opened(made).convert("RGB").getcolors(1 << 20)) > 10


def test_without_a_description_none_is_stored():
    data, metadata = figures.show(frame())._repr_mimebundle_()
    assert data["text/plain"] == "[Figure]"
    assert metadata == {"image/png": {"width": 200}}


def test_jupyter_stores_the_alt_text():
    from IPython.core.formatters import DisplayFormatter

    data, metadata = DisplayFormatter().format(HELPERS["images"](alt=ALT))
    assert metadata["image/png"]["alt"] == ALT
    assert "image/png" in data


def test_layouts_of_numpy_and_torch_look_the_same():
    chw = torch.tensor(COLOUR).permute(2, 0, 1)
    same = [figures.images([a], alt=ALT).content for a in (COLOUR, chw, COLOUR / 255, (chw / 255).requires_grad_())]
    assert len(set(same)) == 1
    gray = [figures.images([a], alt=ALT).content for a in (GRAY, torch.tensor(GRAY)[None], GRAY[..., None])]
    assert len(set(gray)) == 1


def test_images_share_one_colour_scale():
    alone = figures.images([GRAY / 2], alt=ALT).content
    assert figures.images([GRAY], alt=ALT).content == alone  # each alone is stretched over all grays
    assert figures.images([GRAY / 2], limits=(0, 1), alt=ALT).content != alone
    pixels = np.asarray(opened(figures.images([GRAY / 2, GRAY], alt=ALT)).convert("L"))
    left, right = np.split(pixels, [pixels.shape[1] // 2], axis=1)
    middle = slice(pixels.shape[0] // 4, None)
    assert np.median(left[middle]) < np.median(right[middle])


@pytest.mark.parametrize("cmap", ["PuOr", "RdBu_r"])
def test_a_diverging_map_puts_zero_in_the_middle(cmap):
    norm = panels._norm([np.array([[-1.0, 4.0]])], cmap, None)
    assert norm(0) == 0.5


def test_a_constant_image_is_drawn():
    assert figures.images([np.zeros((4, 4))], alt=ALT).content


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: figures.images([], alt=ALT), "no image to show"),
        (lambda: figures.images([GRAY], ["a", "b"], alt=ALT), "1 images need as many titles, not 2"),
        (lambda: figures.images([np.zeros(4)], alt=ALT), r"image 0 has shape \(4,\)"),
        (lambda: figures.images([GRAY, np.zeros((2, 3, 5))], alt=ALT), "image 1 has shape"),
        (lambda: figures.images([np.full((2, 2), np.nan)], alt=ALT), "NaN"),
        (lambda: figures.images([COLOUR * 1.0], alt=ALT), "expected 0 to 1. Divide by 255"),
        (lambda: figures.images([np.zeros((0, 3))], alt=ALT), "image 0 has shape"),
        (lambda: figures.kernels([COLOUR], alt=ALT), r"expected \[H,W\]"),
        (lambda: figures.curves([1, 2], {}, xlabel="x", ylabel="y", alt=ALT), "at least one label"),
        (lambda: figures.curves([1, 2], {"a": [1]}, xlabel="x", ylabel="y", alt=ALT), "curve 'a' has shape"),
        (lambda: figures.runs({}, xlabel="x", alt=ALT), "at least one label"),
        (lambda: figures.runs({"a": []}, xlabel="x", alt=ALT), "each label needs a number"),
        (lambda: figures.runs([1, 2], xlabel="x", alt=ALT), "expected a mapping"),
        (lambda: figures.runs({"a": 1}, xlabel="x", reference="b", alt=ALT), "'b' is not among the labels: a"),
        (lambda: figures.confusion([[1, 2]], ["a", "b"], alt=ALT), "2 classes need a square matrix"),
        (lambda: figures.curves([1], [1], xlabel="x", ylabel="y", alt=ALT), "expected a mapping"),
        (lambda: figures.curves([1], {"a": [1]}, xlabel="x", ylabel="y", log="Y", alt=ALT), "log must be one of"),
        (lambda: figures.overlay(GRAY, GRAY, alt=ALT, titles=("a",)), "as many titles"),
        (lambda: figures.images([GRAY], limits=(2, 1), alt=ALT), "limits must be"),
        (lambda: figures.sliding(np.eye(2), np.eye(3), alt=ALT), "does not fit"),
    ],
)
def test_bad_input_is_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_sliding_gives_the_page_what_scipy_computes_and_a_still_picture(monkeypatch):
    embedded = {}
    monkeypatch.setattr(panels, "interactive", lambda name, data, still: embedded.update(data) or still)
    image, kernel = np.arange(36).reshape(6, 6) % 7, np.arange(9).reshape(3, 3)
    still = figures.sliding(image, kernel, stride=2, padding=1, alt=ALT)
    np.testing.assert_allclose(embedded["output"], signal.correlate2d(np.pad(image, 1), kernel, "valid")[::2, ::2])
    np.testing.assert_array_equal(embedded["image"], image)
    assert opened(still).format == "PNG"


def test_gray_figures_are_stored_in_gray():
    assert opened(figures.images([GRAY], alt=ALT)).mode == "L"
    assert opened(figures.images([COLOUR], alt=ALT)).mode in ("P", "RGB")


def test_long_titles_are_wrapped_into_their_panel():
    titles = ["a rather long title that does not fit"] * 4
    short = opened(figures.images([GRAY] * 4, ["a"] * 4, alt=ALT))
    assert opened(figures.images([GRAY] * 4, titles, alt=ALT)).height > short.height


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_titles_side_by_side_do_not_touch(columns, monkeypatch):
    drawn = []
    monkeypatch.setattr(panels, "show", lambda figure, alt: drawn.append(figure))
    words = "cats in front of bricks magenta and green upsample + convolution of one network, layer 3"
    figures.images([GRAY] * columns, [words] * columns, alt=ALT)
    drawn[0].draw_without_rendering()
    boxes = [axis.title.get_window_extent() for axis in drawn[0].axes]
    assert all(left.x1 + 3 < right.x0 for left, right in pairwise(boxes))


def test_save_writes_the_file(tmp_path):
    picture = figures.images([GRAY], alt=ALT)
    path = picture.save(tmp_path / "ein Bild.png")
    assert path.read_bytes() == picture.content


def test_a_picture_full_of_photos_is_a_jpeg_whose_colours_stay():
    """Noise does not compress; a figure of few colours stays a PNG."""
    noise = figures.images(list(np.random.default_rng(0).random((2, 500, 500, 3))), columns=2)
    assert figures.images([GRAY, COLOUR]).mime == "image/png"
    assert noise.mime == "image/jpeg"
    data, metadata = noise._repr_mimebundle_()
    assert metadata["image/jpeg"]["width"] == opened(noise).width // 2
    assert "image/png" not in data


def test_a_jpeg_keeps_the_colours(monkeypatch):
    exact = np.asarray(opened(figures.images([COLOUR, COLOUR[::-1]])).convert("RGB"), dtype=float)
    monkeypatch.setattr(picture, "LARGE", 0)
    stored = np.asarray(opened(figures.images([COLOUR, COLOUR[::-1]])), dtype=float)
    assert np.abs(stored - exact).mean() < 2


@pytest.mark.parametrize(("x", "whole"), [([1, 2, 3, 4, 5], True), ([0.5, 1, 1.5], False)])
def test_an_axis_of_whole_numbers_has_whole_ticks(x, whole, monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "show", lambda figure, alt: drawn.append(figure))
    figures.curves(x, {"a": x}, xlabel="blocks", ylabel="y", alt=ALT)
    ticks = drawn[0].axes[0].get_xticks()
    assert len(ticks) > 2
    assert np.array_equal(ticks, np.round(ticks)) == whole


def test_a_legend_hides_no_curve(monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "show", lambda figure, alt: drawn.append(figure))
    x, labels = np.linspace(0, 1, 50), ["one", "two", "three", "four"]
    figures.curves(x, {label: np.sin(9 * x + 2 * k) for k, label in enumerate(labels)}, xlabel="x", ylabel="y", alt=ALT)
    figures.curves(x, {"a": x, "b": x}, xlabel="x", ylabel="y", alt=ALT)
    for figure in drawn:
        figure.draw_without_rendering()
    boxes = [figure.axes[0].get_legend().get_window_extent() for figure in drawn]
    insides = [figure.axes[0].get_window_extent() for figure in drawn]
    assert boxes[0].y0 >= insides[0].y1  # there was no room
    assert boxes[1].y1 <= insides[1].y1  # there was


def test_titles_may_come_one_by_one():
    listed = figures.images([GRAY, GRAY], ["a", "b"], alt=ALT)
    assert figures.images([GRAY, GRAY], iter("ab"), alt=ALT).content == listed.content


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.show(frame().subplots(), alt=ALT), "figure must be a matplotlib Figure, not Axes"),
        (lambda: figures.curves([1], {"a": ["1"]}, alt=ALT, xlabel="x", ylabel="y"), "numbers to draw"),
        (lambda: figures.curves([1], {"a": [None]}, alt=ALT, xlabel="x", ylabel="y"), "numbers to draw"),
    ],
)
def test_other_types_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_network_is_drawn_with_its_shapes_and_parameters(monkeypatch):
    from matplotlib.axes import Axes
    from torch import nn

    texts = []
    monkeypatch.setattr(Axes, "text", lambda self, x, y, text, **k: texts.append(text))
    model = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    model.train()
    figures.network(model, (1, 8, 8))
    assert texts == [
        *("input", "1x8x8", "Conv2d 3x3, stride 2\nbatch norm\nReLU", "4x3x3\n48\nparameters"),
        *("Flatten", "36", "Linear", "2\n74\nparameters"),
    ]
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_channels_of_a_layer_are_drawn():
    assert figures.channels(3, 2).content != figures.channels(2, 3).content


def test_blocks_are_drawn_with_their_layers_and_shortcuts(monkeypatch):
    from matplotlib.axes import Axes

    texts, draw = [], Axes.text
    monkeypatch.setattr(Axes, "text", lambda self, x, y, text, **k: texts.append(text) or draw(self, x, y, text, **k))
    figures.blocks({"plain": (["3 x 3"], None), "residual": (["3 x 3", "batch norm"], "1 x 1")})
    assert texts == ["3 x 3", "x", "ReLU", "3 x 3", "batch norm", "x", "+", "1 x 1", "ReLU"]


def test_all_paths_are_drawn(monkeypatch):
    from matplotlib.axes import Axes

    texts = []
    monkeypatch.setattr(Axes, "text", lambda self, x, y, text, **k: texts.append(text))
    figures.paths(3)
    assert [text for text in texts if text.startswith("length")] == [f"length {n}" for n in (0, 1, 1, 1, 2, 2, 2, 3)]
    assert texts.count("$f_{2}$") == 1 + 4  # in the network, and in half of the paths


def test_the_steps_of_a_pipeline_have_the_colour_of_their_kind(monkeypatch):
    from coursekit.figures import diagrams

    drawn = []
    monkeypatch.setattr(diagrams, "show", lambda figure, alt: drawn.append(figure))
    rows = {"short": [("a", 1)], "long": [("b", 0), ("c", 1)]}
    figures.pipelines(rows, ("once", "often"))
    (axis,) = drawn[0].axes
    places = {text.get_text(): text.get_position() for text in axis.texts if text.get_text() in ("a", "b", "c")}
    assert places == {"a": (0, 0), "b": (0, 1), "c": (1, 1)}
    a, b, c = (patch.get_facecolor() for patch in axis.patches)
    assert a == c != b
    legend = dict(
        zip([t.get_text() for t in axis.get_legend().get_texts()], axis.get_legend().get_patches(), strict=True)
    )
    assert legend["often"].get_facecolor() == a
    assert legend["once"].get_facecolor() == b


def test_a_u_net_has_a_skip_for_each_stage_but_the_last(monkeypatch):
    from matplotlib.axes import Axes

    drawn, draw = [], Axes.annotate
    monkeypatch.setattr(
        Axes, "annotate", lambda self, text, end, start, **k: drawn.append((start, end)) or draw(self, text, end, start)
    )
    figures.u_net([(8, 16, 16), (16, 8, 8), (32, 4, 4)], [(16, 8, 8), (8, 16, 16), (3, 16, 16)])
    assert drawn[:5] == [
        ((k, y), (k + 1, z)) for k, (y, z) in enumerate([(0, -1), (-1, -2), (-2, -1), (-1, 0), (0, 0)])
    ]
    assert drawn[5:] == [((0, 0), (4, 0)), ((1, -1), (3, -1))]


@pytest.mark.parametrize("one", [GRAY, COLOUR, torch.rand(6, 8), Image.fromarray(COLOUR)])
def test_one_image_is_not_several(one):
    for helper in (figures.images, figures.boxes):
        with pytest.raises(ValueError, match=r"this is one: put it into a list, \[image\]"):
            helper(one)


@pytest.mark.parametrize("titles", ["cat", [1, 2, 3], torch.tensor([1, 2, 3])])
def test_titles_and_classes_are_texts(titles):
    with pytest.raises(TypeError, match="titles must be a list of texts"):
        figures.images([GRAY] * 3, titles)
    with pytest.raises(TypeError, match="classes must be a list of texts"):
        figures.confusion(np.eye(3), titles)


@pytest.mark.parametrize("size", [3, 4, 5])
def test_the_kernels_of_a_layer_are_drawn_whatever_their_size(size):
    weight = torch.rand(2, 1, size, size)
    assert figures.kernels(weight).content == figures.kernels(weight[:, 0]).content


def test_tensors_of_sixteen_bits_are_drawn():
    half = torch.tensor([[0.0, 0.5], [1.0, 0.25]])
    assert figures.images([half.bfloat16()]).content == figures.images([half]).content


def test_one_epoch_is_a_dot():
    drawn, empty = (figures.curves([1], {"": [y]}, xlabel="", ylabel="").content for y in (0.5, float("nan")))
    pixels = [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int) for content in (drawn, empty)]
    blue = [((image - (0, 114, 178)).__abs__().sum(-1) < 30).sum() for image in pixels]
    assert blue[0] > 20
    assert blue[1] == 0


def test_a_label_without_a_name():
    found = [{"boxes": [[0, 0, 3, 3]], "labels": [2], "scores": [0.5]}]
    with pytest.raises(ValueError, match="label 0 is the background"):
        figures.boxes([COLOUR], detections=found, classes=("cat", "dog"))


def test_a_picture_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert figures.images([GRAY]).save("~/picture.png") == tmp_path / "picture.png"
