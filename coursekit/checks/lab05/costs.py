"""Questions 1, 3 and 6: pads, the cost of a block, and paths through unequal blocks."""

from collections.abc import Sequence

import numpy as np

from coursekit.checks import compare
from coursekit.checks.answers import Function


def q1(pads: Function, rng: np.random.Generator) -> None:
    """Ask for the pads of even and wide kernels, with stride and dilation, in the order of `F.pad`."""
    settings = [
        ((2, 3), (1, 2), 1, 1),
        ((3, 4), (2, 3), 2, 1),
        ((9, 8), (2, 5), 1, 1),
        ((7, 12), (1, 1), 2, 1),
        ((8, 9), (3, 4), 2, 1),
        ((10, 7), (2, 3), 1, 3),
    ]
    for _ in range(12):
        size, kernel = rng.integers(5, 20, 2).tolist(), rng.integers(1, 7, 2).tolist()
        settings.append((tuple(size), tuple(kernel), *rng.integers(1, 4, 2).tolist()))

    hints = {
        "below zero": "a pad cannot be negative: sometimes the image has more pixels than are needed.",
        "top": "these are top, bottom, left, right: `F.pad` begins with the last axis, the width.",
        "corners": "these are left, top, right, bottom: `F.pad` wants both sides of an axis together.",
        "top corners": "these are top, left, bottom, right: `F.pad` wants both sides of an axis together.",
        "left": "the pixel more must be at the right and at the bottom.",
        "lecture": "the lecture's formula knows neither even kernels nor stride and dilation.",
        "too few": "where an odd number of pixels is missing, the two sides must differ: here there is one too few.",
        "too many": "where an odd number of pixels is missing, the two sides must differ: here there is one too many.",
        "stride": "the stride is not in it: fewer positions need fewer pixels.",
        "dilation": "the dilation is not in it.",
        "reach": "how far does a dilated kernel reach? It has gaps between its elements, but none behind the last.",
        "divides": "right only where the stride divides the size; at other sizes the pads differ.",
        "down": "how many positions? Where the stride does not divide the size, round up.",
    }
    compare.each_call(pads, settings, _pads, hints, f"the list of pads for {len(settings)} settings", (4,))


def _pads(size: tuple, kernel: tuple, stride: int, dilation: int, slip: str) -> list[int]:
    stride, dilation = (1 if slip == "stride" else stride), (1 if slip == "dilation" else dilation)
    result = []
    for pixels, elements in zip(size[::-1], kernel[::-1], strict=True):  # the width first
        reach = dilation * elements if slip == "reach" else dilation * (elements - 1) + 1
        positions = pixels // stride if slip == "down" else -(-pixels // stride)
        lost = reach - stride if slip == "divides" else (positions - 1) * stride + reach - pixels
        lost = lost if slip == "below zero" else max(lost, 0)
        sides = {"too few": 2 * [lost // 2], "too many": 2 * [-(-lost // 2)], "lecture": 2 * [elements // 2]}
        result += sides.get(slip, [lost // 2, lost - lost // 2])
    orders = {"top": (2, 3, 0, 1), "corners": (0, 2, 1, 3), "top corners": (2, 0, 3, 1), "left": (1, 0, 3, 2)}
    return [result[k] for k in orders.get(slip, range(4))]


def q3(block_cost: Function, rng: np.random.Generator) -> None:
    """Ask for parameters and multiply-adds of both kinds of block, with every kind of shortcut."""
    settings = [("basic", 1, 1, 1, (1, 2)), ("basic", 1, 2, 1, (1, 2)), ("bottleneck", 4, 1, 1, (1, 2))]  # for paper
    for kind, expand in (("basic", 1), ("bottleneck", 4)):
        channels = int(rng.integers(4, 20))
        outputs = channels * expand
        for inputs, stride in ((outputs, 1), (channels + 21, 1), (outputs, 2), (channels + 3, 2), (channels, 3)):
            rows, columns = (6 * rng.integers(1, 6, 2) + 1).tolist()  # divided by 2 and 3, 1 remains
            settings.append((kind, inputs, channels, stride, (rows, columns + 4)))

    hints = {
        "norm 0": "the parameters of the batch norms are missing.",
        "norm 1": "a batch norm has a factor *and* a shift for each channel.",
        "norm 3": "a convolution in front of a batch norm has no bias.",
        "norm 4": "the running mean and variance of a batch norm are no parameters: nothing learns them.",
        "never": "the shortcut is missing where the block changes the shape.",
        "always": "the shortcut of a block that keeps the shape costs nothing.",
        "channels": "a block with stride needs a convolution in its shortcut, even if its channels stay.",
        "strides": "a block that changes the channels needs a convolution in its shortcut, even without stride.",
        "wide": "the 1 x 1 of the shortcut has the stride: it works at as many positions as its *output* has.",
        "early": "the stride of a bottleneck is in its 3 x 3; before that, the maps are still large.",
        "late": "a convolution with stride works at as many positions as its *output* has.",
        "same": "the strides make the maps smaller: the multiply-adds must feel it.",
        "down": "where the stride does not divide the size, round up.",
        "expand": "the last convolution of a bottleneck has four times as many outputs.",
        "line": "a kernel has a height *and* a width.",
        "double": "a product and a sum together are *one* multiply-add.",
        "turned": "these are multiply-adds, then parameters: it should be the other way round.",
    }
    name = f"the list of costs for {len(settings)} blocks"
    compare.each_call(block_cost, settings, _cost, hints, name, (2,))


def _cost(kind: str, inputs: int, channels: int, stride: int, size: tuple, slip: str) -> tuple[int, ...]:
    before = after = size[0] * size[1]
    if slip != "same":
        after = int(np.prod([side // stride if slip == "down" else -(-side // stride) for side in size]))
    inside = before if slip == "late" else after  # of the convolution with the stride
    layers, outputs = [(inputs, channels, 3, inside), (channels, channels, 3, after)], channels
    if kind == "bottleneck":
        outputs = channels if slip == "expand" else 4 * channels
        layers = [(inputs, channels, 1, after if slip == "early" else before)]
        layers += [(channels, channels, 3, inside), (channels, outputs, 1, after)]
    changes = inputs != outputs
    rule = {"never": False, "always": True, "channels": changes, "strides": stride > 1}
    if rule.get(slip, changes or stride > 1):
        layers.append((inputs, outputs, 1, before if slip == "wide" else after))
    weights = [i * o * k ** (1 if slip == "line" else 2) for i, o, k, _ in layers]
    products = sum(weight * layer[3] for weight, layer in zip(weights, layers, strict=True))
    each = int(slip[-1]) if slip.startswith("norm") else 2
    cost = sum(weights) + each * sum(layer[1] for layer in layers), products * (2 if slip == "double" else 1)
    return cost[::-1] if slip == "turned" else cost


def q6(count_paths: Function, depth_in_training: Function, rng: np.random.Generator) -> None:
    """Compare how a sum of independent lengths is distributed: counted, and with probabilities."""
    chains = [[2, 3], [1], [2], [3, 1, 2, 2, 5]] + [[*rng.integers(1, 6, n).tolist(), 2] for n in (3, 4, 6)]
    hints = {
        "shares": "these are shares of all paths; asked for are their numbers.",
        "kinds": "several paths may have the same length: count them all.",
        "layers": "a path goes through all layers of a branch or through none of them.",
        "around": "one path goes through no branch at all.",
        "sums": "these are the paths with *at most* so many layers; asked for are those with exactly so many.",
    }
    lengths = {
        "shape": lambda chain, *_: (sum(chain) + 1,),
        "whole": False,
        "each": "one for each number of layers, from 0 to all",
    }
    name, settings = f"the list of counts for {len(chains)} networks", [(chain,) for chain in chains]
    compare.each_call(count_paths, settings, _counts, hints, name, **lengths)
    hints = {
        "kept": "`drop` is the probability that a branch is left out; here it is kept with it.",
        "mean": "each block has a probability of its own, not the mean of all.",
        "half": "these are the shares of paths, as if each branch were left out half of the time.",
        "counts": "these are the numbers of paths, not probabilities.",
        "no drop": "the probabilities do not add up to 1: what of the blocks that are left out?",
        "no keep": "the probabilities do not add up to 1: what of the blocks that are kept?",
    }
    name = f"the list of probabilities for {len(chains)} networks"
    settings = [(chain, rng.uniform(0.05, 0.9, len(chain)).round(3).tolist()) for chain in chains]
    compare.each_call(depth_in_training, settings, _chances, hints, name, rtol=1e-6, **lengths)


def _counts(chain: list[int], slip: str) -> np.ndarray:
    row = _spread([1] * sum(chain) if slip == "layers" else chain, 1, 1)
    known = {"shares": row / row.sum(), "kinds": np.minimum(row, 1), "sums": np.cumsum(row)}
    return known.get(slip, row - (np.arange(len(row)) == 0) * (slip == "around"))


def _chances(chain: list[int], drop: list[float], slip: str) -> np.ndarray:
    p = np.array(drop)
    ways = {"kept": (1 - p, p), "mean": (p.mean(), 1 - p.mean()), "half": (0.5, 0.5), "counts": (1, 1)}
    ways |= {"no drop": (1, 1 - p), "no keep": (p, 1)}
    return _spread(chain, *ways.get(slip, (p, 1 - p)))


def _spread(layers: Sequence[int], around: float | np.ndarray, through: float | np.ndarray) -> np.ndarray:
    """Multiply out: for each block the weight around its branch, plus that through its layers."""
    result = np.ones(1)
    weights = (np.broadcast_to(weight, len(layers)) for weight in (around, through))
    for length, out, into in zip(layers, *weights, strict=True):
        result = np.convolve(result, [out, *[0] * (length - 1), into])
    return result
