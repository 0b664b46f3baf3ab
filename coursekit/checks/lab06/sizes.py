"""Question 1: output paddings that lead back to the same size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np

from coursekit.checks import compare
from coursekit.checks.answers import Function


def q1(output_paddings: Function, rng: np.random.Generator) -> None:
    """Compare the output paddings of decoders that mirror encoders of one to three layers."""
    settings = [(7, [(3, 2, 1, 1)]), (8, [(3, 2, 1, 1)]), (9, [(2, 3, 0, 1)]), (13, [(3, 2, 0, 2)])]
    settings += [(12, [(3, 2, 1, 1), (2, 2, 0, 1)])]  # these are for paper
    settings += [(256, [(3, 2, 1, 1), (4, 3, 0, 1), (3, 4, 0, 2)]), (199, [(5, 3, 1, 2)]), (201, [(3, 4, 0, 1)])]
    for depth in (1, 1, 1, 1, 2, 2, 3, 3, 3):
        options = [rng.integers(low, high, depth).tolist() for low, high in ((2, 6), (2, 5), (0, 3), (1, 4))]
        settings.append((int(rng.integers(600, 900)), list(zip(*options, strict=True))))
    found, calls = compare.results(output_paddings, settings, lambda size, layers: (len(layers),))
    right = np.concatenate([_paddings(*setting) for setting in settings])
    mistakes = _mistakes(settings)
    # What nobody has foreseen: say what cannot be.
    strides = np.concatenate([[layer[1] for layer in layers[::-1]] for _, layers in settings])
    single = np.concatenate([[len(layers) == 1] * len(layers) for _, layers in settings])
    if np.any(found < 0):
        mistakes.append(("no output padding is below zero: that would mean that a layer gives too many pixels.", found))
    if np.any(found >= strides):
        hint = "an output padding is smaller than the stride: else the convolution would have had one more position."
        mistakes.append((hint, found))
    if np.all((found == right)[single]):
        hint = "right for a single layer, but wrong for two and more: follow the sizes from layer to layer."
        mistakes.append((hint, found))
    compare.array(found, "the list of output paddings", right, mistakes, rtol=1e-9, calls=calls)


_HINTS = {  # on the way there, on the way back, or on both
    "dilation": "with dilation the kernel reaches farther than its number of elements.",
    "gaps": "a dilated kernel has gaps between its elements, but none behind the last.",
    "one": "a kernel of one element needs one pixel, not none: you are off by one.",
    "sides": "padding is added on *both* sides.",
    "up": "the last step of a convolution needs all its pixels: round the positions down.",
    "steps": "count the positions: there is one more than there are steps between them.",
    "halves": "the kernel and the padding matter, too, not only size and stride.",
    "positions": "the way back: n positions are only n - 1 steps apart.",
    "added": "the way back: a transposed convolution cuts its padding *off*.",
}
_FREE = {  # from the size before a layer, and its kernel, stride, padding, dilation
    "the largest output padding that is allowed is not always the one that is needed.": lambda n, k, s, p, d: s - 1,
    "without any output padding, some images do not get their size back.": lambda n, k, s, p, d: 0,
    "the kernel and the padding matter, not only size and stride.": lambda n, k, s, p, d: n % s,
    "even or odd: that is a rule for stride 2 and one kernel alone.": lambda n, k, s, p, d: 1 - n % 2,
    "with strides above 2, more than one pixel may be missing.": lambda n, k, s, p, d: min(
        1, (n + 2 * p - _reach(k, d)) % s
    ),
    "this leads to exactly stride times as many pixels; the convolution has mostly not divided so evenly.": (
        lambda n, k, s, p, d: 2 * p + s - _reach(k, d)
    ),
    "these are the sizes to come back to; asked for is what each layer must add for that.": lambda n, *_: n,
}
_ORDER = "the decoder begins where the encoder ends: its first layer mirrors the encoder's last."


def _mistakes(settings: list) -> list[tuple[str, np.ndarray]]:
    """Return what comes out by known mistakes, in either form: as a difference of sizes and as a remainder."""
    mistakes = []

    def add(hint: str, row_of: Callable[[int, list], list[int]]) -> None:
        rows = [np.array(row_of(*setting)) for setting in settings]
        rests = [row % [layer[1] for layer in layers[::-1]] for row, (_, layers) in zip(rows, settings, strict=True)]
        for values in (rows, rests):
            mistakes.append((hint, np.concatenate(values)))
            mistakes.append((_ORDER, np.concatenate([row[::-1] for row in values])))

    add(_ORDER, _paddings)
    for (slip, hint), (there, back) in product(_HINTS.items(), ((1, 1), (1, 0), (0, 1))):
        add(hint, partial(_paddings, there=slip * there, back=slip * back))
    for hint, rule in _FREE.items():
        add(hint, lambda size, layers, rule=rule: [rule(*one) for one in _before(size, layers)])
    chain = "each convolution works on what the one before it has left, not on `size` pixels."
    add(chain, lambda size, layers: [_paddings(size, [layer])[0] for layer in layers[::-1]])
    return mistakes


def _before(size: int, layers: list) -> list[tuple]:
    return [(n, *layer) for n, layer in zip(_sizes(size, layers)[:-1], layers, strict=True)][::-1]


def _sizes(size: int, layers: list, slip: str = "") -> list[int]:
    """Follow the encoder: the pixels before each layer, and those behind the last one."""
    sizes = [size]
    for kernel, stride, padding, dilation in layers:
        pixels = sizes[-1]
        free = pixels + (1 if slip == "sides" else 2) * padding - _reach(kernel, dilation, slip)
        known = {"up": -(-free // stride) + 1, "steps": free // stride, "halves": pixels // stride}
        sizes.append(known.get(slip, free // stride + 1))
    return sizes


def _reach(kernel: int, dilation: int, slip: str = "") -> int:
    known = {"dilation": kernel, "gaps": dilation * kernel, "one": dilation * (kernel - 1)}
    return known.get(slip, dilation * (kernel - 1) + 1)


def _enlarged(pixels: int, layer: tuple, slip: str = "") -> int:
    """Return what a transposed convolution makes of so many pixels, without output padding."""
    kernel, stride, padding, dilation = layer
    cut = padding * {"sides": 1, "added": -2}.get(slip, 2)
    return (pixels - (slip != "positions")) * stride - cut + _reach(kernel, dilation, slip)


def _paddings(size: int, layers: list, there: str = "", back: str = "") -> list[int]:
    sizes = _sizes(size, layers, there)
    steps = zip(layers, sizes[:-1], sizes[1:], strict=True)
    return [before - _enlarged(after, layer, back) for layer, before, after in steps][::-1]
