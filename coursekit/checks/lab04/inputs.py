"""Questions 2 and 5: from photos to what a network expects, and gray pictures without copies."""

from functools import partial
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint, Module
from coursekit.checks.weights import drawn, given

_BUGS = {
    "reshape": "a reshape only cuts the numbers into other pieces: the axes must change places.",
    "order": "mean and std are those of pixels in 0..1: bring the pixels there *before* you subtract and divide.",
    "twice": "the pixels are divided by 255 twice: once is enough.",
    "twice early": "the pixels are divided by 255 twice: once is enough.",
    "blue": "red and blue have changed places: the pictures already come as red, green, blue.",
}


def q2(prepare: Function, rng: np.random.Generator) -> None:
    """From bytes with the channels last to what a network expects, three mistakes away."""
    shape = (int(rng.integers(2, 5)), *rng.choice(np.arange(5, 12), 2, replace=False).tolist(), 3)
    images = (rng.integers(0, 256, shape) * [0.9, 0.6, 0.3] + [0, 40, 120]).astype(np.uint8)
    mean, std = tuple(rng.uniform(0.3, 0.6, 3).tolist()), tuple(rng.uniform(0.15, 0.35, 3).tolist())
    answer = prepare(images, mean, std)
    mistakes = []
    for number in (3, 2, 1):
        for bugs in combinations(_BUGS, number):
            if len({"order", "twice", "twice early"} & set(bugs)) < 2:
                mistakes.append((_BUGS[bugs[0]], _prepare(images, mean, std, bugs)))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    m, s = (torch.tensor(values, dtype=torch.double)[:, None, None] for values in (mean, std))
    right = (pixels / 255 - m) / s
    own = (pixels / 255 - (pixels / 255).mean((0, 2, 3), True)) / (pixels / 255).std((0, 2, 3), keepdim=True)
    n, height, width, _ = shape
    compare.array(
        answer,
        "the batch",
        right.float(),
        [
            *mistakes,
            ("the pixels are still in 0..255.", (pixels - m) / s),
            ("the pixels must be in 0..1, and then minus the mean, over the std.", pixels / 255),
            ("the std is missing.", pixels / 255 - m),
            ("white is 255, and must become 1.", (pixels / 256 - m) / s),
            ("divide by the std.", (pixels / 255 - m) * s),
            ("these are the batch's own mean and std; the network wants those of *its* training.", own),
        ],
        rtol=1e-5,
        dtype=torch.float32,
        small=(prepare, lambda im, m, s: ((im / 255 - np.array(m)) / np.array(s)).transpose(0, 3, 1, 2), _FEW),
        shapes={
            (n, height, width, 3): "the channels must come second: [N, 3, H, W].",
            (n, 3, width, height): "height and width have changed places.",
        },
    )


_FEW = {
    "images": np.array([[[[255, 0, 51], [0, 255, 255]]]], dtype=np.uint8),
    "mean": (0.5, 0.5, 0.2),
    "std": (0.5, 0.25, 0.1),
}


def _prepare(images: np.ndarray, mean: tuple, std: tuple, bugs: tuple[str, ...]) -> Tensor:
    n, height, width, channels = images.shape
    pixels = torch.from_numpy(images).double()
    pixels = pixels.flip(3) if "blue" in bugs else pixels
    pixels = pixels.reshape(n, channels, height, width) if "reshape" in bugs else pixels.permute(0, 3, 1, 2)
    m, s = (torch.tensor(values)[:, None, None] for values in (mean, std))
    if "order" in bugs:
        return (pixels - m) / s / 255
    pixels = (pixels / (255**2 if "twice early" in bugs else 255) - m) / s
    return pixels / 255 if "twice" in bugs else pixels


def q5(first_layer: Function, fold_gray: Function, exact_with_padding: object, rng: np.random.Generator) -> None:
    """Fold three scales and shifts into a convolution; say where zero padding spoils it."""
    settings = [
        ({"kernel_size": (3, 2), "stride": 1}, True, 0),
        ({"kernel_size": (2, 4), "stride": (2, 1), "bias": False}, True, 0),
        ({"kernel_size": 3, "stride": 1, "dilation": 2}, True, 0),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, False, 0),
        ({"kernel_size": (3, 5), "stride": 1, "padding": (1, 2), "bias": False}, True, 2),
    ]
    answers, cases = [], []
    for options, shifted, rim in settings:
        outputs = int(rng.integers(3, 7))
        drawn(conv := nn.Conv2d(3, outputs, **options), rng)
        layer = given(first_layer(outputs, **options), "first_layer(...)", conv.state_dict())
        gray = torch.from_numpy(rng.uniform(size=(2, 1, 13, 12))).float()
        scale, shift = (torch.from_numpy(rng.uniform(*span, 3)).float() for span in ((0.5, 4), (-3, -0.5)))
        case = (conv, scale, shift * shifted, gray, rim)
        before = layer.state()
        folded = compare.module(_fold(fold_gray, layer, scale, shift * shifted, conv), "fold_gray(...)")
        if any(not torch.equal(value, before[key]) for key, value in layer.state().items()):
            raise Hint("`fold_gray` changes the layer it is given: make a new one.")
        _check_folded(folded)
        answer, right = folded(gray), _gray_output(conv, scale, shift * shifted, gray)
        if not isinstance(answer, Tensor) or answer.shape != right.shape:
            raise Hint(f"the new layer's output has another shape{_lost(folded, conv)}.")
        answers.append(_inner(answer, rim))
        cases.append(case)

    def each(slip: str = "") -> Tensor:
        return torch.cat([_inner(_gray_output(*case[:4], slip=slip), case[4]) for case in cases])

    hints = {
        "mean": "a sum over the three channels is needed, not their mean.",
        "means": "sums over the three channels are needed, not their means.",
        "scale": "the scales are not in it: each channel has its own.",
        "shift": "the shifts are missing: they belong into the bias.",
        "kernel": "each shift meets *every* element of its channel's kernel, not one.",
        "scaled": "the shifts come after the scales: do not multiply them.",
        "bias": "the layer's own bias is lost.",
        "exchanged": "scales and shifts are exchanged: the scales come first.",
        "minus": "the shifts are added, not subtracted.",
        "first": "only one of the three channels is in it.",
        "no bias": "where the layer has no bias, the new one still needs one for the shifts.",
    }
    name, mistakes = f"the output of {len(settings)} layers", compare.mistakes_of(each, hints)
    compare.array(torch.cat(answers), name, each(), mistakes, rtol=1e-4, small=partial(_small, first_layer, fold_gray))
    hints = {
        "everywhere": "what does a padded zero stand for, before folding and after it? Try it.",
        "nowhere": "where the kernel touches no padding, nothing has changed.",
    }
    compare.choice(exact_with_padding, "`exact_with_padding`", "away from the border", hints)


def _small(first_layer: Function, fold_gray: Function) -> str:
    """Say what comes out of one pixel: 1, 2 and 3 as weights, 10 as the bias."""
    state = {"weight": torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1), "bias": torch.tensor([10.0])}
    layer = given(first_layer(1, kernel_size=1), "first_layer(...)", state)
    folded = fold_gray(layer, torch.tensor([1.0, 1, 2]), torch.tensor([0.0, 5, 0])).state()
    found = " and the bias ".join(f"{folded[key].item():g}" for key in ("weight", "bias"))
    case = "A case for paper: a 1 x 1 kernel with the weights 1, 2, 3, the bias 10, scale [1, 1, 2], shift [0, 5, 0]."
    return f" {case} The new layer has the weight {found}."


def _fold(fold_gray: Function, layer: Module, scale: Tensor, shift: Tensor, conv: nn.Conv2d) -> object:
    try:
        return fold_gray(layer, scale, shift)
    except Hint as hint:
        if conv.bias is None and "None" in str(hint):
            raise Hint(
                "`fold_gray` stops at a layer without a bias: `conv.bias` is None there. The new layer needs one all "
                f"the same. (Python says: {str(hint).split(' stops with ')[-1]})"
            ) from None
        raise


def _lost(folded: Module, conv: nn.Conv2d) -> str:
    """Say which settings of the layer the new one does not have."""
    has = folded.layers()[0]["settings"] | {"kernel_size": tuple(folded.state()["weight"].shape[2:])}
    names = ("kernel_size", "stride", "padding", "dilation")
    lost = " and ".join(f"`{name}`" for name in names if has[name] != getattr(conv, name))
    return f": it has not the layer's {lost}" if lost else ""


def _check_folded(folded: Module) -> None:
    layers = folded.layers()
    if len(layers) != 1 or layers[0]["kind"] != "Conv2d" or layers[0]["name"]:
        raise Hint("`fold_gray` must return a single `nn.Conv2d`, not several layers, nor a network that holds it.")
    if layers[0]["settings"].get("in_channels") != 1:
        raise Hint("the new layer must take *one* channel.")
    if not layers[0]["settings"]["bias"]:
        raise Hint("the new layer has no bias. It needs one, even where the old one has none: what of the shifts?")


def _inner(values: Tensor, rim: int) -> Tensor:
    return values[..., rim : values.shape[2] - rim, rim : values.shape[3] - rim].flatten()


def _gray_output(conv: nn.Conv2d, scale: Tensor, shift: Tensor, gray: Tensor, slip: str = "") -> Tensor:
    """Compute the layer's output for ``scale * gray + shift``; with a slip, what a wrongly folded layer gives."""
    scale, shift = (shift, scale) if slip == "exchanged" else (scale, shift)
    options = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    with torch.no_grad():
        if not slip:
            return conv(gray * scale[:, None, None] + shift[:, None, None])
        own = torch.zeros(len(conv.weight)) if conv.bias is None else conv.bias
        weight = conv.weight * (1 if slip == "scale" else scale[:, None, None])
        weight = {"mean": weight.mean(1, True), "means": weight.mean(1, True), "first": weight[:, :1]}.get(
            slip, weight.sum(1, keepdim=True)
        )
        shifts = shift * scale if slip == "scaled" else -shift if slip == "minus" else shift
        sums = conv.weight.sum((2, 3)) if slip != "kernel" else conv.weight.mean((2, 3))
        bias = own * (slip != "bias") + (sums @ shifts) * {"shift": 0, "means": 1 / 3}.get(slip, 1)
        bias = 0 * bias if slip == "no bias" and conv.bias is None else bias
        return F.conv2d(gray, weight, bias, **options)
