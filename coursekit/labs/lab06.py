"""The checks of lab 6, colorization."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import torch
from skimage import color
from torch import Tensor

from coursekit.labs import compare
from coursekit.labs.answers import Function, Hint, Module
from coursekit.labs.lab import Lab

lab = Lab("lab06", "Colorization")
check, done, progress, test = lab.check, lab.done, lab.progress, lab.test


@lab.question("The way back to the same size", points=2)
def q1(output_paddings: object, rng: np.random.Generator) -> None:
    """Compare the output paddings of decoders that mirror encoders of one to three layers."""
    output_paddings = compare.function(output_paddings, "output_paddings")
    settings = [(256, [(3, 2, 1, 1), (4, 3, 0, 1), (3, 4, 0, 2)]), (199, [(5, 3, 1, 2)])]
    for depth in (1, 2, 2, 3, 3, 3):
        options = [rng.integers(low, high, depth).tolist() for low, high in ((2, 6), (2, 5), (0, 3), (1, 4))]
        settings.append((int(rng.integers(600, 900)), list(zip(*options, strict=True))))
    answers = []
    for size, layers in settings:
        answer = output_paddings(size, layers)
        values = _numbers(answer)
        if values.dtype.kind not in "iu" or values.shape != (len(layers),):
            raise Hint("`output_paddings` must return a list of whole numbers, one for each layer.")
        answers.append(values)

    def each(**slip: object) -> np.ndarray:
        return np.concatenate([_paddings(*setting, **slip) for setting in settings])

    calls = [output_paddings.shown(*setting) for setting in settings for _ in setting[1]]
    compare.array(
        np.concatenate(answers),
        f"the list of output paddings for {len(settings)} decoders",
        each(),
        {
            "the decoder begins where the encoder ends: its first layer mirrors the encoder's last.": each(turn=False),
            "each convolution works on what the one before it has left, not on `size` pixels.": each(chain=False),
            "with dilation the kernel reaches farther than its number of elements.": each(dilate=False),
            "padding is added on *both* sides.": each(sides=1),
            "a kernel of one element needs one pixel, not none: you are off by one.": each(one=0),
            "these are the pixels missing for one more position; what counts is how many are left over.": each(
                missing=True
            ),
            "the kernel and the padding matter, too, not only size and stride.": each(plain=True),
            "the largest output padding that is allowed is not always the one that is needed.": each(always=-1),
            "without any output padding, some images do not get their size back.": each(always=0),
        },
        rtol=1e-9,
        calls=calls,
    )


def _numbers(answer: object) -> np.ndarray:
    """Return a list or an array as an array; something without a number type if it is none."""
    try:
        return np.array(answer if isinstance(answer, list | tuple | np.ndarray) else None)
    except ValueError:  # rows of different lengths
        return np.array(None)


def _without_torch(answer: object) -> object:
    """Return a tensor as an array, and anything else as it is."""
    return answer.detach().numpy() if isinstance(answer, Tensor) else answer


def _paddings(
    size, layers, *, turn=True, chain=True, dilate=True, sides=2, one=1, missing=False, plain=False, always=None
) -> list[int]:
    result, pixels = [], size
    for kernel, stride, padding, dilation in layers:
        free = pixels + sides * padding - (dilation if dilate else 1) * (kernel - 1) - one
        left = pixels % stride if plain else -free % stride if missing else free % stride
        result.append(left if always is None else always % stride)
        pixels = free // stride + 1 if chain else size
    return result[::-1] if turn else result


@lab.question("A matrix that goes round", points=3)
def q2(panorama_matrix: object, paint_back: object, rng: np.random.Generator) -> None:
    """Compare the matrix of a convolution whose columns wrap round, and what its transpose makes of a map."""
    panorama_matrix = compare.function(panorama_matrix, "panorama_matrix")
    paint_back = compare.function(paint_back, "paint_back")
    cases = []
    for (high, wide), stride in (((2, 3), 2), ((3, 2), 1), ((3, 4), 3), ((2, 4), 2)):
        shape = int(rng.integers(5, 8)), int(rng.integers(9, 13))
        cases.append((rng.integers(1, 10, (high, wide)) + rng.uniform(0.1, 0.9, (high, wide)), shape, stride))
    for kernel, shape, stride in cases:
        turned, matrix = kernel[::-1, ::-1], partial(_around, shape=shape, stride=stride)
        compare.array(
            panorama_matrix(kernel, shape, stride),
            f"the matrix for a {_by(kernel.shape)} kernel on {_by(shape)} pixels, stride {stride},",
            matrix(kernel),
            {
                "this is the transposed matrix: each *row* belongs to one position of the kernel.": matrix(kernel).T,
                "the kernel is turned by 180 degrees: the layers of torch leave it as it is.": matrix(turned),
                "at the right edge the kernel is cut off: it must go on at column 0.": matrix(kernel, wrap=False),
                "only the columns go round: at the bottom the image ends.": matrix(kernel, rows=True),
                "pixels are counted row by row: pixel (i, j) is number i W + j.": matrix(kernel, by_columns=True),
                "the kernel must begin in every column that the stride reaches: positions are missing at the "
                "right.": matrix(kernel, inside=True),
                "what reaches beyond the last column goes on in column 0 of the *same* row, not of the next.": matrix(
                    kernel, spill=True
                ),
                "the numbers are cut to whole ones: a matrix of zeros made by `dtype=int` does that.": np.trunc(
                    matrix(kernel)
                ),
                "the positions of the kernel are counted row by row, too: here they go column by "
                "column.": _around_by_columns(kernel, shape, stride),
            },
        )
    for kernel, shape, stride in cases:
        turned, matrix = kernel[::-1, ::-1], partial(_around, shape=shape, stride=stride)
        y = rng.normal(size=((shape[0] - len(kernel)) // stride + 1, -(-shape[1] // stride)))
        right, inverse = matrix(kernel).T @ y.ravel(), np.linalg.pinv(matrix(kernel)) @ y.ravel()
        cut = matrix(kernel, wrap=False).T @ y.ravel()
        compare.array(
            paint_back(y, kernel, shape, stride),
            f"the image painted from {_by(y.shape)} numbers, stride {stride},",
            right.reshape(shape),
            {
                "each number puts the kernel down as it is: here it is turned by 180 degrees.": (
                    matrix(turned).T @ y.ravel()
                ).reshape(shape),
                "where two kernels overlap, add what they put down: here the later one wins.": _overwritten(
                    y, kernel, shape, stride
                ),
                "what is put down beyond the right edge is lost: it must go on at column 0.": cut.reshape(shape),
                "this is an inverse (as far as there is one); asked for is the transpose.": inverse.reshape(shape),
            },
            shapes={right.shape: "the image is still one long row: give it its rows and columns back."},
        )


def _around_by_columns(kernel, shape, stride) -> np.ndarray:
    matrix, positions = _around(kernel, shape, stride), -(-shape[1] // stride)
    return matrix.reshape(-1, positions, matrix.shape[1]).swapaxes(0, 1).reshape(matrix.shape)


def _around(kernel, shape, stride, *, wrap=True, inside=False, rows=False, by_columns=False, spill=False) -> np.ndarray:
    starts = range(0, shape[0] if rows else shape[0] - len(kernel) + 1, stride)
    result = []
    for i, j in product(starts, range(0, shape[1] - (kernel.shape[1] - 1) * inside, stride)):
        image = np.zeros(shape)
        for m, n in np.ndindex(kernel.shape):
            if wrap or j + n < shape[1]:
                down = i + m + (j + n) // shape[1] * spill
                image[down % shape[0], (j + n) % shape[1]] += kernel[m, n]
        result.append(image.ravel(order="F" if by_columns else "C"))
    return np.array(result)


def _overwritten(y, kernel, shape, stride) -> np.ndarray:
    image = np.zeros(shape)
    for i, j in np.ndindex(y.shape):
        for m, n in np.ndindex(kernel.shape):
            image[i * stride + m, (j * stride + n) % shape[1]] = y[i, j] * kernel[m, n]
    return image


def _by(shape: tuple) -> str:
    return " x ".join(map(str, shape))


@lab.question("Checkerboards, foreseen and repaired", points=3)
def q3(hits: object, decoder: object, rng: np.random.Generator) -> None:
    """Compare how often each phase of the output is reached; a decoder must leave flat what is flat."""
    hits = compare.function(hits, "hits")
    decoder = compare.function(decoder, "decoder")
    settings = [((3, 4), (2, 3), 1), ((4, 4), (2, 2), 2), ((2, 5), (3, 2), 1)]
    for _ in range(4):
        kernel, stride = rng.integers(2, 8, 2).tolist(), rng.integers(2, 5, 2).tolist()
        settings.append((tuple(kernel), tuple(stride), int(rng.integers(1, 4))))
    answers = []
    for setting in settings:
        answer, stride = hits(*setting), setting[1]
        values = _numbers(_without_torch(answer))
        if values.dtype.kind not in "biuf" or values.shape != stride:
            raise Hint(
                f"`hits` must return an array of {_by(stride)} numbers for the stride {stride}: [rows, columns]."
            )
        answers.append(values.ravel())

    def each(slip=lambda rows, columns: np.multiply.outer(rows, columns), dilated: bool = True) -> np.ndarray:
        counts = [_phases(kernel, stride, dilation if dilated else 1) for kernel, stride, dilation in settings]
        return np.concatenate([slip(*pair).ravel() for pair in counts])

    right = each()
    compare.array(
        np.concatenate(answers),
        f"the list of counts for {len(settings)} layers",
        right,
        {
            "with dilation, neighbours in the kernel land `dilation` pixels apart.": each(dilated=False),
            "these are counts along one axis and along the other; together they multiply, they do not add.": each(
                np.add.outer
            ),
            "this is the mean of the pattern: the counts differ from position to position.": each(
                lambda rows, columns: np.full((len(rows), len(columns)), rows.mean() * columns.mean())
            ),
            "the pattern begins at the wrong place: output pixel (0, 0) belongs to [0, 0].": each(
                lambda rows, columns: np.outer(np.roll(rows, 1), np.roll(columns, 1))
            ),
            "the pattern runs backwards: [0, 1] is the pixel to the *right* of [0, 0].": each(
                lambda rows, columns: np.outer(np.roll(rows[::-1], 1), np.roll(columns[::-1], 1))
            ),
            "asked for is how *often* each pixel is reached, not only whether it is.": (right > 0).astype(int),
        },
        rtol=1e-9,
        calls=[hits.shown(*setting) for setting in settings for _ in range(np.prod(setting[1]))],
    )
    _check_decoder(decoder, rng)


def _phases(kernel, stride, dilation) -> list[np.ndarray]:
    """Count, for each remainder, the kernel's elements that land on it: along rows, and along columns."""
    return [np.bincount(dilation * np.arange(k) % s, minlength=s) for k, s in zip(kernel, stride, strict=True)]


def _check_decoder(decoder: Function, rng: np.random.Generator) -> None:
    channels, outputs = 2 * int(rng.integers(3, 6)), int(rng.integers(2, 5))
    net = compare.module(decoder(channels, outputs), "decoder(channels, outputs)")
    x = torch.from_numpy(rng.normal(size=(2, channels, 5, 7))).float()
    size = list(getattr(net(x), "shape", ()))
    if size[:2] != [2, outputs]:
        raise Hint(f"the decoder's result has shape {size}; it must have {outputs} channels for each of 2 images.")
    if size[2:] == [17, 25]:
        raise Hint("5 x 7 pixels come out as 17 x 25: two layers that each give 2 n - 1 pixels.")
    if size[2:] != [20, 28]:
        raise Hint(f"5 x 7 pixels come out as {_by(size[2:])}: both sides must become four times as long.")
    net.train(False)
    least, most = np.inf, -np.inf
    for _ in range(3):
        _fill(net, rng)
        y = net(x)
        least, most = min(least, float(y.min())), max(most, float(y.max()))
        _check_flat(net, channels, rng)
    _check_context(net, x, y)
    if least >= 0 or most <= 0:
        raise Hint("no value that comes out is below zero, whatever the weights: a and b need both signs.")


def _fill(net: Module, rng: np.random.Generator) -> None:
    """Give all weights random values."""
    state = net.state()
    for name, value in state.items():
        if value.is_floating_point():
            noise = torch.from_numpy(rng.normal(size=tuple(value.shape))).float()
            state[name] = noise.abs() + 0.5 if name.endswith("running_var") else noise * 0.3
    net.load(state)


def _check_flat(net: Module, channels: int, rng: np.random.Generator) -> None:
    flat = torch.from_numpy(rng.normal(size=(1, channels, 1, 1))).float().expand(1, channels, 11, 12)
    inside = net(flat.contiguous())[..., 14:-14, 14:-14]
    spread = inside.flatten(2).std(dim=2).max()
    if spread > 1e-4 * float(inside.abs().max()) + 1e-6:
        raise Hint(
            "an input that is the same everywhere still comes out with a pattern. Even counts are not enough: "
            "the weights that reach neighbouring pixels must be the same, too."
        )


def _check_context(net: Module, x: Tensor, y: Tensor) -> None:
    other = x.clone()
    other[:, :, 2, 3] += 3.0
    changed = ((net(other) - y).abs() > 1e-6).any(dim=1).any(dim=0)
    changed[8:12, 12:16] = False  # the pixel's own place
    if not changed.any():
        raise Hint("each pixel is enlarged by itself: no convolution looks at its neighbours.")
    kernels = [p["shape"] for p in net.parameters().values() if len(p["shape"]) == 4]
    if sum(max(shape[2:]) > 1 for shape in kernels) < 2:
        raise Hint("only one convolution looks at neighbouring pixels: a kernel of 1 x 1 does not. There must be two.")
    zero = net(torch.zeros_like(x))
    if torch.allclose(net(2 * x) - zero, 2 * (y - zero), atol=1e-4):
        raise Hint("the decoder is linear now: what stood between its layers is gone.")


@lab.question("Repair the conversions", points=3)
def q4(to_network: object, to_images: object, rng: np.random.Generator) -> None:
    """Compare L and ab in another network's units, and the bytes made of them; both for batches."""
    to_network = compare.function(to_network, "to_network")
    to_images = compare.function(to_images, "to_images")
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
        compare.array(pair[k], f"`{name}`", right, _forth_mistakes(images, k), rtol=1e-5, shapes=wrong_shapes)
        compare.array(pair[k], f"`{name}`", right, rtol=1e-5, dtype=torch.float32)
    # As a network answers: some of these colours no screen can show. (L is high enough for scikit-image not to warn.)
    light = torch.from_numpy(rng.uniform(0, 0.4, (2, 1, 5, 7))).float()
    ab = torch.from_numpy(rng.uniform(-0.7, 0.7, (2, 2, 5, 7))).float()
    for (given, colours), source in (((light, ab), "a network's answer"), (_forth(images), "photos, there and back")):
        _check_back(to_images(given, colours), given, colours, source)


def _check_back(answer: object, light: Tensor, ab: Tensor, source: str) -> None:
    exact = _back(light, ab)
    near = getattr(answer, "dtype", None) == torch.uint8 and answer.shape == exact.shape
    if near and (answer.double() - exact).abs().max() < 0.51:  # float32 may round another way
        return
    shapes = {tuple(exact.movedim(1, -1).shape): "an image's colours must be axis 1 again, as they came."}
    mistakes = {}
    for centre, factor, ending in product((50, 0), (110, 100, 128, 1), (Tensor.round, Tensor.floor)):
        hint = "round to the nearest byte: `.byte()` cuts off what is behind the point."
        hint = hint if factor == 110 else "a and b are multiplied by another number than they were divided by."
        hint = hint if centre else "the 50 that was taken away from L must come back."
        mistakes[hint + " " * len(mistakes)] = ending(_back(light, ab, centre, factor))
    compare.array(answer, f"the images ({source})", exact.round(), mistakes, shapes=shapes, dtype=torch.uint8)


def _forth(images: Tensor, axes: str = "permute", high: float = 255, centre=50, unit=100, factor=110) -> tuple:
    count, _, rows, columns = images.shape
    pixels = np.moveaxis(images.numpy() / high, 1, -1)
    if axes == "reshape there":
        pixels = (images.numpy() / high).reshape(count, rows, columns, 3)
    lab = color.rgb2lab(pixels[..., ::-1] if axes == "bgr" else pixels)
    lab = lab.reshape(count, 3, rows, columns) if axes == "reshape back" else np.moveaxis(lab, -1, 1)
    lab = torch.from_numpy(lab.copy()).float()
    return (lab[:, :1] - centre) / unit, lab[:, 1:] / factor


def _forth_mistakes(images: Tensor, which: int) -> dict[str, object]:
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
    orders = {"": "permute", "red and blue are exchanged.": "bgr", mixed: "reshape there", mixed + " ": "reshape back"}
    found = {}
    for (a, axes), (r, high), (u, slip) in product(orders.items(), ranges.items(), units):
        if a or r or u:
            found[(a or r or u) + " " * len(found)] = lambda axes=axes, high=high, slip=slip: _forth(
                images, axes, high, **slip
            )[which]
    return found


def _back(light: Tensor, ab: Tensor, centre: float = 50, factor: float = 110) -> Tensor:
    lab = torch.cat([light.double() * 100 + centre, ab.double() * factor], dim=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(255 * color.lab2rgb(lab.movedim(1, -1).numpy())).movedim(-1, 1)


@lab.question("Better than one colour?", points=3)
def q5(skill: object, visible: object, rng: np.random.Generator) -> None:
    """Compare the gain over the constant colour of the training set, and the share of visibly wrong pixels."""
    skill, visible = compare.function(skill, "skill"), compare.function(visible, "visible")
    cases = []
    for count in (2, 3, 5):
        centre = rng.uniform(0.1, 0.3, (2, 1, 1)) * [[[1]], [[-1]]]
        train, true = (centre + rng.normal(0, 0.1, (n, 2, 6, 5)) for n in (7, count))
        true = true * rng.uniform(0.5, 2.5, (count, 1, 1, 1)) + 0.05
        cases.append((0.7 * true + rng.normal(0, 0.08, true.shape), true, train))
    answers = []
    for case in cases:
        answer = skill(*(torch.from_numpy(part).float() for part in case))
        answer = answer.item() if getattr(answer, "shape", None) == () else answer
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            raise Hint(f"`skill` must return one number, not {compare.kind(answer)}.")
        answers.append(answer)

    def each(baseline=lambda train, _: train.mean((0, 2, 3))[:, None, None], error=np.square, axis=None, power=1):
        gains = []
        for predicted, true, train in cases:
            own, other = error(predicted - true).mean(axis), error(baseline(train, true) - true).mean(axis)
            gains.append(1 - np.mean((own / other) ** power))
        return np.array(gains)

    compare.array(
        np.array(answers),
        f"the list of skills for {len(cases)} test sets",
        each(),
        {
            "the constant colour must come from the training images: nobody knows the mean of the truth.": each(
                lambda _, true: true.mean((0, 2, 3))[:, None, None]
            ),
            "the constant has one number for a and another one for b.": each(lambda train, _: train.mean()),
            "this compares with gray; asked for is the constant colour of the training images.": each(
                lambda train, _: 0 * train.mean()
            ),
            "the constant is *one* colour; here each pixel has a mean of its own.": each(
                lambda train, _: train.mean(0)
            ),
            "the constant is one colour for all images; here each image has its own.": each(
                lambda _, true: true.mean((2, 3), keepdims=True)
            ),
            "1 must be perfect, and 0 as good as the constant: here 0 is perfect.": 1 - each(),
            "the sign is wrong: better than the constant is above zero.": -each(),
            "take one ratio of two mean errors, not the mean of the images' ratios.": each(axis=(1, 2, 3)),
            "these are root mean squares; compare squared errors.": each(power=0.5),
            "these are absolute errors; compare squared ones.": each(error=np.abs),
        },
        rtol=1e-4,
    )
    _check_visible(visible, rng)


def _check_visible(visible: Function, rng: np.random.Generator) -> None:
    true = rng.integers(30, 226, (3, 8, 9, 3), dtype=np.uint8)
    spread = rng.permutation([5, 12, 25])[:, None, None, None]
    predicted = np.clip(true + rng.normal(0, spread, true.shape), 0, 255).astype(np.uint8)
    threshold = float(rng.uniform(4, 6))
    one, two = color.rgb2lab(true), color.rgb2lab(predicted)
    difference, plain = color.deltaE_ciede2000(one, two), color.deltaE_cie76(one, two)
    share, plain_share = (difference > threshold).mean((1, 2)), (plain > threshold).mean((1, 2))
    bytes_apart = np.sqrt(np.square(true - predicted.astype(float)).sum(-1))
    compare.array(
        _without_torch(visible(predicted, true, threshold)),
        "the share of visibly wrong pixels of 3 images",
        share,
        {
            "these are the pixels that look right; asked for are the others.": 1 - share,
            "these are mean differences; asked for is a *share of pixels*.": difference.mean((1, 2)),
            "this is the plain distance in Lab (CIE76); CIEDE2000 weighs it as eyes do.": plain_share,
            "this is a distance in RGB; bring both images to Lab first.": (bytes_apart > threshold).mean((1, 2)),
            "these are RGB values where `deltaE_ciede2000` wants Lab.": lambda: (
                color.deltaE_ciede2000(true.astype(float), predicted.astype(float)) > threshold
            ).mean((1, 2)),
            "`rgb2lab` wants bytes, or floats from 0 to 1.": lambda: (
                color.deltaE_ciede2000(color.rgb2lab(true.astype(float)), color.rgb2lab(predicted.astype(float)))
                > threshold
            ).mean((1, 2)),
            "a share is a number from 0 to 1; these are percent.": 100 * share,
            "these are numbers of pixels; asked for is their share.": share * 72,
        },
        lists=True,
        shapes={(): "one number for each image, please: this is one for all.", true.shape[:3]: "this is a map for each "
        "image: say which share of its pixels is above the threshold."},
    )  # fmt: skip
    predicted[:, ::2] = true[:, ::2]
    if np.min(compare.as_floats(visible(predicted, true, 0.0), "what `visible` returns")) > 0.9:
        raise Hint("a difference *above* the threshold is larger than it; an equal one is not visible yet.")


SHARES = (0.7, 0.3)  # of the two colours in the chart


@lab.question("Why brown, and what else?", points=3)
def q6(guess: object, best_answers: object, figure: object, rng: np.random.Generator) -> None:
    """Compare the best answers to known shares of colours; the chart must show both errors of the guesses."""
    if not isinstance(guess, list | tuple | np.ndarray) or len(guess) != 2:
        raise Hint("`guess` needs two numbers from 0 to 1. They need not be right.")
    for value in guess:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
            raise Hint("`guess` needs two numbers from 0 to 1. They need not be right.")
    best_answers = compare.function(best_answers, "best_answers")
    apart = np.array([[80.0, 80], [-45, 45], [10, -50], [0, 10]])  # the medians of a and of b are of two colours
    cases, answers = [(apart, np.array([4, 3, 3, 1]) / 11, 0.5)], []
    for count in (5, 6, 7, 6):
        weights = rng.permutation(np.arange(1, count + 1)) ** 2  # no majority: else all answers are alike
        weights[0] += 1 - weights.sum() % 2  # odd in sum: no colour ends at just one half
        colours = rng.uniform(-80, 80, (count, 2)).round(1)
        cases.append((colours, weights / weights.sum(), float(rng.uniform(0.3, 0.6))))
    for case in cases:
        answer = best_answers(*case)
        if not isinstance(answer, list | tuple | np.ndarray) or len(answer) != 3:
            raise Hint(
                "`best_answers` must return three colours: for squared and absolute error, and the annealed mean."
            )
        answers.append(answer)
    _check_best(cases, answers)
    _check_chart(compare.chart(figure, "figure").axes)


def _check_best(cases: list, answers: list) -> None:
    def each(what) -> np.ndarray:
        return np.array([what(*case) for case in cases])

    mean = each(lambda c, p, _: p @ c)
    likely = each(lambda c, p, _: c[p.argmax()])
    median = each(lambda c, p, _: _median(c, p))
    annealed = each(lambda c, p, t: p ** (1 / t) / np.sum(p ** (1 / t)) @ c)
    known = [
        (mean, {
            "each colour counts as often as it occurs: here all count the same.": each(lambda c, p, _: c.mean(0)),
            "this is the commonest colour; it does not have the least *squared* error.": likely,
            "this is a median, which belongs to the absolute error.": median,
        }),
        (median, {
            "each colour counts as often as it occurs: here all count the same.": each(lambda c, p, _: np.median(c, 0)),
            "this is the mean, which belongs to the squared error.": mean,
            "this is the commonest colour; it does not have the least *absolute* error.": likely,
            "a and b each have a median of their own; here one colour was chosen.": each(_medoid),
        }),
        (annealed, {
            "this flattens the shares: the exponent is 1 / T.": each(lambda c, p, t: p**t / np.sum(p**t) @ c),
            "the new shares must have the sum 1 again.": each(lambda c, p, t: p ** (1 / t) @ c),
            "the shares are no logits: take their logarithm before you divide by T.": each(
                lambda c, p, t: np.exp(p / t) / np.exp(p / t).sum() @ c
            ),
            "logits are divided by T, not multiplied.": each(lambda c, p, t: np.exp(p * t) / np.exp(p * t).sum() @ c),
            "the temperature changes nothing here: this is the plain mean.": mean,
            "this is the commonest colour: that is temperature 0.": likely,
        }),
    ]  # fmt: skip
    names = ("squared error", "absolute error", "annealed mean")
    for k, (name, (right, mistakes)) in enumerate(zip(names, known, strict=True)):
        found = [_pair(answer[k], name) for answer in answers]
        mistakes = {f"{name}: {hint}": wrong for hint, wrong in mistakes.items()}
        compare.array(np.array(found), f"the list of colours ({name})", right, mistakes)


def _pair(answer: object, name: str) -> np.ndarray:
    """Return a and b of one colour, else raise a hint."""
    values = compare.as_floats(answer, f"the answer for the {name}")
    if values.shape != (2,):
        raise Hint(f"the answer for the {name} must be one colour: two numbers, a and b.")
    return values


def _median(colours: np.ndarray, shares: np.ndarray) -> list[float]:
    result = []
    for channel in colours.T:
        order = np.argsort(channel)
        result.append(channel[order][np.searchsorted(np.cumsum(shares[order]), 0.5)])
    return result


def _medoid(colours: np.ndarray, shares: np.ndarray, _: float) -> np.ndarray:
    errors = np.abs(colours[:, None] - colours).sum(-1) @ shares
    return colours[errors.argmin()]


def _check_chart(axes: list[dict]) -> None:
    drawn, curves = [], [curve for axis in axes for curve in _curves(axis)]
    for _, _, x, y in curves:
        drawn.append((x, y / y[-1]))
    if not drawn:
        raise Hint("no curve of `figure` has at least 11 points, from t = 0 to t = 1 on the horizontal axis.")

    def shown(error) -> bool:
        return any(np.allclose(y, error(x) / error(np.ones(1)), atol=0.01) for x, y in drawn)

    def expected(power: float, shares: tuple = SHARES, root: float = 1):
        return lambda t: (shares[0] * t**power + shares[1] * (1 - t) ** power) ** root

    if shown(expected(2, SHARES[::-1])) or shown(expected(1, SHARES[::-1])):
        raise Hint("the commoner colour is at t = 0: here the shares are exchanged.")
    if shown(expected(2, (0.5, 0.5))):
        raise Hint("in `figure` both colours count the same; one has a share of 0.7.")
    if shown(expected(2, root=0.5)):
        raise Hint("one curve is the root of the mean squared error: leave the root away.")
    for power, name in ((2, "squared"), (1, "absolute")):
        if not shown(expected(power)):
            raise Hint(f"no curve of `figure` shows the mean {name} error of the guesses.")
    _check_legend(axes, curves, expected)


def _curves(axis: dict) -> list[tuple]:
    """Return the axis, the name, x and y of each curve that goes from t = 0 to t = 1."""
    lines = [line for line in axis["lines"] if len(line["x"]) >= 11]
    nameless = all(line["label"].startswith("_") for line in lines)  # then `legend([...])` has named them in order
    names = axis["legend"] if nameless and len(axis["legend"]) == len(lines) else [line["label"] for line in lines]
    found = []
    for name, line in zip(names, lines, strict=True):
        order = np.argsort(line["x"])
        x, y = line["x"][order], line["y"][order]
        if np.allclose([x[0], x[-1]], [0, 1]) and np.isfinite(y).all() and y[-1] > 0:
            found.append((axis, name.lower(), x, y))
    return found


def _check_legend(axes: list[dict], curves: list[tuple], expected: Callable) -> None:
    """Ask for curves that one can tell apart and see: a legend, names that fit, like heights in one axis."""
    if any(len(_curves(axis)) > 1 and not axis["legend"] for axis in axes):
        raise Hint("`figure` has two curves in one axis and no legend: which is which?")
    squared, absolute = (
        [c for c in curves if np.allclose(c[3] / c[3][-1], expected(power)(c[2]) / expected(power)(1.0), atol=0.01)]
        for power in (2, 1)
    )
    if any("abs" in c[1] and "squ" not in c[1] for c in squared) and any("squ" in c[1] for c in absolute):
        raise Hint("the labels of the two curves are exchanged.")
    for one, two in product(squared, absolute):
        if one[0] is two[0] and one[0]["yscale"] == "linear" and not 0.1 < one[3][-1] / two[3][-1] < 10:
            raise Hint("one curve lies flat at the bottom: draw two axes, or divide each curve by its value at t = 1.")


lab.written("q7", "Explain: what may one claim?", points=3)
