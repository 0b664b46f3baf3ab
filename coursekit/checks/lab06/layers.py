"""Questions 2 and 3: a transposed convolution that goes round, and checkerboards."""

from itertools import product

import numpy as np
import torch
from torch import Tensor

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint, Module
from coursekit.checks.weights import normal


def q2(paint_back: Function, rng: np.random.Generator) -> None:
    """Compare a transposed convolution whose columns wrap round."""
    slips = {
        "turned": "each number puts the kernel down as it is: here it is turned by 180 degrees.",
        "over": "where two kernels overlap, add what they put down: here the later one wins.",
        "cut": "what is put down beyond the right edge is lost: it must go on at column 0.",
        "spill": "what reaches beyond the last column goes on in column 0 of the *same* row, not of the next.",
        "one": "the kernels are put down `stride` pixels apart, not side by side.",
        "whole": "the numbers are cut to whole ones: an image of zeros made by `dtype=int` does that.",
    }
    given = {"y": np.array([[1.0, 0, 2]]), "kernel": np.array([[1.0, 2, 3]]), "shape": (1, 5), "stride": 2}
    for (high, wide), stride in (((2, 3), 2), ((3, 2), 1), ((3, 4), 3), ((2, 4), 2)):
        shape = int(rng.integers(5, 8)), int(rng.integers(9, 13))
        kernel = rng.integers(1, 10, (high, wide)) + rng.uniform(0.1, 0.9, (high, wide))
        y = rng.normal(size=((shape[0] - high) // stride + 1, -(-shape[1] // stride)))
        case, answer = (y, kernel, shape, stride), paint_back(y, kernel, shape, stride)
        mistakes = [(hint, _painted(*case, slip)) for slip, hint in slips.items()]
        name = f"the image painted from {_by(y.shape)} numbers, stride {stride},"
        shapes = {(shape[0] * shape[1],): "the image is still one long row: give it its rows and columns back."}
        small = (paint_back, _painted, given)
        compare.array(answer, name, _painted(*case), mistakes, shapes=shapes, small=small)


def _painted(y: np.ndarray, kernel: np.ndarray, shape: tuple, stride: int, slip: str = "") -> np.ndarray:
    image, kernel = np.zeros(shape), kernel[::-1, ::-1] if slip == "turned" else kernel
    stride = 1 if slip == "one" else stride
    for (i, j), (m, n) in product(np.ndindex(y.shape), np.ndindex(kernel.shape)):
        around, column = divmod(j * stride + n, shape[1])
        row = (i * stride + m + around * (slip == "spill")) % shape[0]
        new = 0 if around and slip == "cut" else y[i, j] * kernel[m, n]
        image[row, column] = new if slip == "over" else image[row, column] + new
    return np.trunc(image) if slip == "whole" else image


def q3(hits: Function, decoder: Function, rng: np.random.Generator) -> None:
    """Compare how often each phase of the output is reached; a decoder must leave flat what is flat."""
    settings = [((1, 3), (1, 2), 1), ((3, 4), (2, 3), 1), ((4, 4), (2, 2), 2), ((2, 5), (3, 2), 1)]
    for _ in range(4):
        kernel, stride = rng.integers(2, 8, 2).tolist(), rng.integers(2, 5, 2).tolist()
        settings.append((tuple(kernel), tuple(stride), int(rng.integers(1, 4))))
    hints = {
        "dense": "with dilation, neighbours in the kernel land `dilation` pixels apart.",
        "sum": "these are counts along one axis and along the other; together they multiply, they do not add.",
        "mean": "this is the mean of the pattern: the counts differ from position to position.",
        "shifted": "the pattern begins at the wrong place: output pixel (0, 0) belongs to [0, 0].",
        "backwards": "the pattern runs backwards: [0, 1] is the pixel to the *right* of [0, 0].",
        "whether": "asked for is how *often* each pixel is reached, not only whether it is.",
    }
    name = f"the list of counts for {len(settings)} layers"
    compare.each_call(hits, settings, _hits, hints, name, lambda kernel, stride, dilation: stride, whole=False)
    _check_decoder(decoder, rng)


def _hits(kernel: tuple, stride: tuple, dilation: int, slip: str) -> np.ndarray:
    """Count, for each remainder, the kernel's elements that land on it: along rows and columns, then together."""
    steps = [(1 if slip == "dense" else dilation) * np.arange(elements) for elements in kernel]
    rows, columns = (np.bincount(step % s, minlength=s) for step, s in zip(steps, stride, strict=True))
    together = np.outer(rows, columns)
    known = {"sum": np.add.outer(rows, columns), "mean": np.full(stride, together.mean()), "whether": together > 0}
    known |= {"shifted": np.roll(together, 1, (0, 1)), "backwards": np.roll(together[::-1, ::-1], 1, (0, 1))}
    return known.get(slip, together).ravel()


def _check_decoder(decoder: Function, rng: np.random.Generator) -> None:
    channels, outputs = 2 * int(rng.integers(3, 6)), int(rng.integers(2, 5))
    net = compare.module(decoder(channels, outputs), "decoder(channels, outputs)")
    x = normal(rng, 2, channels, 5, 7)
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
            noise = normal(rng, *value.shape)
            state[name] = noise.abs() + 0.5 if name.endswith("running_var") else noise * 0.3
    net.load(state)


def _check_flat(net: Module, channels: int, rng: np.random.Generator) -> None:
    flat = normal(rng, 1, channels, 1, 1).expand(1, channels, 33, 34)
    inside = net(flat.contiguous())[..., 48:-48, 48:-48]  # the padding at the border reaches far: all layers' add up
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


def _by(shape: tuple | list) -> str:
    """Write a shape down, such as 3 x 4."""
    return " x ".join(map(str, shape))
