"""Questions 4 and 5: from bytes to a network's units and back, and how good colours are."""

import warnings
from functools import partial
from itertools import product

import numpy as np
import torch
from skimage import color
from torch import Tensor

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint


def q4(to_network: Function, to_images: Function, rng: np.random.Generator) -> None:
    """Compare L and ab in another network's units, and the bytes made of them; both for batches."""
    images = torch.from_numpy(rng.integers(0, 256, (2, 3, 5, 7), dtype=np.uint8))
    pair = to_network(images)
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise Hint(f"`to_network` must return two tensors, light and ab, not {compare.kind(pair)}.")
    for k, (name, channels) in enumerate((("light", 1), ("ab", 2))):
        right = _forth(images)[k]
        wrong_shapes = {
            (2, 5, 7, channels): "the channels must be axis 1, as `nn.Conv2d` wants them.",
            (2, 5, 7): "the axis of the single channel is missing.",
            (2, channels, 7, 5): "rows and columns are exchanged.",
        }
        compare.array(
            *(pair[k], f"`{name}`", right, _forth_mistakes(images, k)),
            rtol=1e-5,
            shapes=wrong_shapes,
            small=(lambda one, k=k: to_network(one)[k], lambda one, k=k: _forth(one)[k], {"images": _WHITE_RED}),
        )
        compare.array(pair[k], f"`{name}`", right, rtol=1e-5, dtype=torch.float32)
    # As a network answers: some of these colours no screen can show. (L is high enough for scikit-image not to warn.)
    light = torch.from_numpy(rng.uniform(0, 0.4, (2, 1, 5, 7))).float()
    ab = torch.from_numpy(rng.uniform(-0.7, 0.7, (2, 2, 5, 7))).float()
    for (given, colours), source in (((light, ab), "a network's answer"), (_forth(images), "photos, there and back")):
        _check_back(to_images, given, colours, source)


_WHITE_RED = torch.tensor([[[[255, 255]], [[255, 0]], [[255, 0]]]], dtype=torch.uint8)


def _check_back(to_images: Function, light: Tensor, ab: Tensor, source: str) -> None:
    answer, exact = to_images(light, ab), _back(light, ab)
    near = getattr(answer, "dtype", None) == torch.uint8 and answer.shape == exact.shape
    if near and (answer.double() - exact).abs().max() < 0.51:  # float32 may round another way
        return
    shapes = {tuple(exact.movedim(1, -1).shape): "an image's colours must be axis 1 again, as they came."}
    mistakes = [("the colours lie between 0 and 1 here: bytes go up to 255.", torch.round(exact / 255))]
    mistakes.append(("the colours lie between 0 and 1 here: bytes go up to 255.", torch.floor(exact / 255)))
    mistakes.append(("a and b are exchanged.", _back(light, ab.flip(1)).round()))
    for centre, factor, ending in product((50, 0), (110, 100, 128, 1), (Tensor.round, Tensor.floor)):
        hint = "round to the nearest byte: `.byte()` cuts off what is behind the point."
        hint = hint if factor == 110 else "a and b are multiplied by another number than they were divided by."
        hint = hint if centre else "the 50 that was taken away from L must come back."
        mistakes.append((hint, ending(_back(light, ab, centre, factor))))
    few = {"light": torch.tensor([[[[0.5, 0.0, -0.5]]]]), "ab": torch.zeros(1, 2, 1, 3)}  # white, a gray, black
    small = (to_images, lambda *one: _back(*one).round(), few)
    name = f"the images ({source})"
    compare.array(answer, name, exact.round(), mistakes, shapes=shapes, dtype=torch.uint8, small=small)


def _forth(images: Tensor, axes: str = "permute", high: float = 255, centre=50, unit=100, factor=110) -> tuple:
    count, _, rows, columns = images.shape
    pixels = np.moveaxis(images.numpy() / high, 1, -1)
    if axes == "reshape there":
        pixels = (images.numpy() / high).reshape(count, rows, columns, 3)
    lab = color.rgb2lab(pixels[..., ::-1] if axes == "bgr" else pixels)
    lab = lab.reshape(count, 3, rows, columns) if axes == "reshape back" else np.moveaxis(lab, -1, 1)
    lab = torch.from_numpy(lab.copy()).float()
    return (lab[:, :1] - centre) / unit, lab[:, 1:] / factor


def _forth_mistakes(images: Tensor, which: int) -> list[tuple[str, object]]:
    """Wrong light (or ab) by wrong axes, wrong range and wrong units, also together; the first of them is the hint."""
    first = "L is not in the network's units: take 50 away, then divide by 100."
    units = [("", {})] + [
        (first, {"centre": centre, "unit": unit}) for centre, unit in ((0, 100), (0, 1), (50, 50), (0.5, 1))
    ]
    if which == 1:
        units = [("", {})] + [("a and b are not divided by 110.", {"factor": k}) for k in (100, 128, 127, 255, 1)]
    ranges = {"": 255, "`rgb2lab` wants bytes, or floats from 0 to 1; floats up to 255 make it wrong.": 1}
    ranges["bytes are divided by 255 twice: `rgb2lab` does it for bytes, and not for floats."] = 255**2
    mixed = "`reshape` does not move an axis: it mixes pixels. `permute` or `movedim` moves it."
    orders = [("", "permute"), ("red and blue are exchanged.", "bgr")]
    orders += [(mixed, "reshape there"), (mixed, "reshape back")]
    found = [("a and b are exchanged.", _forth(images)[1].flip(1))] if which == 1 else []
    for (a, axes), (r, high), (u, slip) in product(orders, ranges.items(), units):
        if a or r or u:
            wrong = partial(_forth, images, axes, high, **slip)
            found.append((a or r or u, lambda wrong=wrong: wrong()[which]))
    return found


def _back(light: Tensor, ab: Tensor, centre: float = 50, factor: float = 110) -> Tensor:
    lab = torch.cat([light.double() * 100 + centre, ab.double() * factor], dim=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(255 * color.lab2rgb(lab.movedim(1, -1).numpy())).movedim(-1, 1)


def q5(skill: Function, visible: Function, rng: np.random.Generator) -> None:
    """Compare the gain over the constant colour of the training set, and the share of visibly wrong pixels."""
    cases = []
    for count in (2, 3, 5):
        centre = rng.uniform(0.1, 0.3, (2, 1, 1)) * [[[1]], [[-1]]]
        train, true = (centre + rng.normal(0, 0.1, (n, 2, 6, 5)) for n in (7, count))
        true = true * rng.uniform(0.5, 2.5, (count, 1, 1, 1)) + 0.05
        cases.append((0.7 * true + rng.normal(0, 0.08, true.shape), true, train))
    settings = [tuple(torch.from_numpy(part).float() for part in case) for case in cases]
    answers, _ = compare.results(skill, settings, whole=False)

    def each(baseline=lambda train, _: train.mean((0, 2, 3))[:, None, None], error=np.square, axis=None, power=1.0):
        gains = []
        for predicted, true, train in cases:
            own, other = error(predicted - true).mean(axis), error(baseline(train, true) - true).mean(axis)
            gains.append(1 - np.mean((own / other) ** power))
        return np.array(gains)

    of_truth = each(lambda _, true: true.mean((0, 2, 3))[:, None, None])
    of_image = each(lambda _, true: true.mean((2, 3), keepdims=True))
    of_pixel = each(lambda train, _: train.mean(0))
    gray = each(lambda train, _: 0 * train.mean())
    at_home = np.array([1 - np.mean((p - t) ** 2) / np.mean((r - r.mean((0, 2, 3), keepdims=True)) ** 2)
                        for p, t, r in cases])  # fmt: skip
    mistakes = {
        "the constant colour must come from the training images: nobody knows the mean of the truth.": of_truth,
        "the constant has one number for a and another one for b.": each(lambda train, _: train.mean()),
        "this compares with gray; asked for is the constant colour of the training images.": gray,
        "the constant is *one* colour; here each pixel has a mean of its own.": of_pixel,
        "the constant is one colour for all images; here each image has its own.": of_image,
        "1 must be perfect, and 0 as good as the constant: here 0 is perfect.": 1 - each(),
        "1 must be perfect; here these are percent.": 100 * each(),
        "the constant is tried on the test images, too: only its colour comes from the training.": at_home,
        "the sign is wrong: better than the constant is above zero.": -each(),
        "take one ratio of two mean errors, not the mean of the images' ratios.": each(axis=(1, 2, 3)),
        "these are root mean squares; compare squared errors.": each(power=0.5),
        "these are absolute errors; compare squared ones.": each(error=np.abs),
    }
    few = {"predicted": _MAPS * 2, "true": _MAPS * 4, "train": _MAPS * 0 + 1}
    small = (skill, lambda *_: 0.6, few)
    compare.array(answers, f"the skills for {len(cases)} test sets", each(), mistakes, rtol=1e-4, small=small)
    _check_visible(visible, rng)


_MAPS = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])


def _check_visible(visible: Function, rng: np.random.Generator) -> None:
    true = rng.integers(30, 226, (3, 8, 9, 3), dtype=np.uint8)
    spread = rng.permutation([5, 12, 25])[:, None, None, None]
    predicted = np.clip(true + rng.normal(0, spread, true.shape), 0, 255).astype(np.uint8)
    threshold = float(rng.uniform(4, 6))
    lab = [color.rgb2lab(image) for image in (true, predicted)]
    difference = color.deltaE_ciede2000(*lab)
    share = (difference > threshold).mean((1, 2))

    def share_of(one: np.ndarray, two: np.ndarray, measure=color.deltaE_ciede2000) -> np.ndarray:
        return (measure(one, two) > threshold).mean((1, 2))

    as_floats = [image.astype(float) for image in (true, predicted)]
    mistakes = {
        "these are the pixels that look right; asked for are the others.": 1 - share,
        "these are mean differences; asked for is a *share of pixels*.": difference.mean((1, 2)),
        "this is the plain distance in Lab (CIE76); CIEDE2000 weighs it as eyes do.": share_of(
            *lab, measure=color.deltaE_cie76
        ),
        "this is a distance in RGB; bring both images to Lab first.": share_of(*as_floats, measure=color.deltaE_cie76),
        "these are RGB values where `deltaE_ciede2000` wants Lab.": lambda: share_of(*as_floats),
        "`rgb2lab` wants bytes, or floats from 0 to 1.": lambda: share_of(*map(color.rgb2lab, as_floats)),
        "a share is a number from 0 to 1; these are percent.": 100 * share,
        "these are numbers of pixels; asked for is their share.": share * 72,
    }
    shapes = {true.shape[:3]: "this is a map for each image: say which share of its pixels is above the threshold."}
    answer, name = visible(predicted, true, threshold), "the share of visibly wrong pixels of 3 images"
    compare.array(answer, name, share, mistakes, shapes=shapes)
    predicted[:, ::2] = true[:, ::2]
    if np.min(compare.as_array(visible(predicted, true, 0.0), "what `visible` returns")) > 0.9:
        raise Hint("a difference *above* the threshold is larger than it; an equal one is not visible yet.")
