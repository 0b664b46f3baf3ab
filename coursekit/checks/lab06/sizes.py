"""Question 1: output paddings that lead back to the same size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coursekit.checks import compare
from coursekit.checks.answers import Function


def q1(output_paddings: Function, rng: np.random.Generator) -> None:
    """Compare the output paddings of decoders that mirror encoders of one to three layers."""
    settings = [(256, [(3, 2, 1, 1), (4, 3, 0, 1), (3, 4, 0, 2)]), (199, [(5, 3, 1, 2)]), (201, [(3, 4, 0, 1)])]
    for depth in (1, 1, 1, 1, 2, 2, 3, 3, 3):
        options = [rng.integers(low, high, depth).tolist() for low, high in ((2, 6), (2, 5), (0, 3), (1, 4))]
        settings.append((int(rng.integers(600, 900)), list(zip(*options, strict=True))))
    name = "what `output_paddings` returns (one for each layer)"
    answers = [compare.as_array(output_paddings(*one), name, (len(one[1]),), whole=True) for one in settings]
    found, right = np.concatenate(answers), np.concatenate([_paddings(*setting) for setting in settings])
    mistakes = _mistakes(settings)
    # What nobody has foreseen: say what cannot be, or where it begins to be wrong.
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
    compare.array(
        found,
        f"the list of output paddings for {len(settings)} decoders",
        right,
        mistakes,
        rtol=1e-9,
        calls=[f"output_paddings({size}, {layers})" for size, layers in settings for _ in layers],
    )


_BOTH_WAYS = {
    "dilation": "with dilation the kernel reaches farther than its number of elements",
    "gaps": "a dilated kernel has gaps between its elements, but none behind the last",
    "one": "a kernel of one element needs one pixel, not none: you are off by one",
    "sides": "padding is added on *both* sides",
}
_THERE = {
    "up": "the last step of a convolution needs all its pixels: round the positions down.",
    "near": "the last step of a convolution needs all its pixels: round the positions down.",
    "steps": "count the positions: there is one more than there are steps between them.",
    "halves": "the kernel and the padding matter, too, not only size and stride.",
    "halves up": "the kernel and the padding matter, too, not only size and stride.",
}
_BACK = {
    "positions": "the way back: n positions are only n - 1 steps apart.",
    "added": "the way back: a transposed convolution cuts its padding *off*.",
    "no padding": "the way back: a transposed convolution cuts its padding off.",
}


def _mistakes(settings: list) -> list[tuple[str, np.ndarray]]:
    """Return what comes out by known mistakes, in either form: as a difference of sizes and as a remainder."""
    mistakes = []

    def add(hint: str, row_of: Callable[[int, list], list[int]]) -> None:
        rows = [np.array(row_of(*setting)) for setting in settings]
        rests = [row % [layer[1] for layer in layers[::-1]] for row, (_, layers) in zip(rows, settings, strict=True)]
        order = "the decoder begins where the encoder ends: its first layer mirrors the encoder's last."
        for values in (rows, rests):
            mistakes.append((hint, np.concatenate(values)))
            mistakes.append((order, np.concatenate([row[::-1] for row in values])))

    add("the decoder begins where the encoder ends: its first layer mirrors the encoder's last.", _paddings)
    for slip, hint in _BOTH_WAYS.items():
        add(f"{hint}.", lambda *s, slip=slip: _paddings(*s, there=slip, back=slip))
        add(f"the way back: {hint}.", lambda *s, slip=slip: _paddings(*s, back=slip))
        add(f"the way there: {hint}.", lambda *s, slip=slip: _paddings(*s, there=slip))
    for slip, hint in _THERE.items():
        add(hint, lambda *s, slip=slip: _paddings(*s, there=slip))
    for slip, hint in _BACK.items():
        add(hint, lambda *s, slip=slip: _paddings(*s, back=slip))
    for slip, hint in _OTHER.items():
        add(hint, lambda *s, slip=slip: _other(*s, slip=slip))
    return mistakes


def _sizes(size: int, layers: list, slip: str = "") -> list[int]:
    """Follow the encoder: the pixels before each layer, and those behind the last one."""
    sizes = [size]
    for kernel, stride, padding, dilation in layers:
        pixels = sizes[-1]
        free = pixels + (1 if slip == "sides" else 2) * padding - _reach(kernel, dilation, slip)
        known = {"up": -(-free // stride) + 1, "near": round(free / stride + 1), "steps": free // stride}
        known |= {"halves": pixels // stride, "halves up": -(-pixels // stride)}
        sizes.append(known.get(slip, free // stride + 1))
    return sizes


def _reach(kernel: int, dilation: int, slip: str) -> int:
    known = {"dilation": kernel, "gaps": dilation * kernel, "one": dilation * (kernel - 1)}
    return known.get(slip, dilation * (kernel - 1) + 1)


def _enlarged(pixels: int, layer: tuple, slip: str = "") -> int:
    """Return what a transposed convolution makes of so many pixels, without output padding."""
    kernel, stride, padding, dilation = layer
    cut = padding * {"sides": 1, "added": -2, "no padding": 0}.get(slip, 2)
    return (pixels - (slip != "positions")) * stride - cut + _reach(kernel, dilation, slip)


def _paddings(size: int, layers: list, there: str = "", back: str = "") -> list[int]:
    sizes = _sizes(size, layers, there)
    steps = zip(layers, sizes[:-1], sizes[1:], strict=True)
    return [before - _enlarged(after, layer, back) for layer, before, after in steps][::-1]


_OTHER = {
    "chain": "each convolution works on what the one before it has left, not on `size` pixels.",
    "start": "the decoder begins with the few pixels that the encoder has left, not with `size`.",
    "sizes": "turn both round: here the layers are in the decoder's order, and their sizes in the encoder's.",
    "goal": "each layer leads back to the size before *its* convolution, not all of them to `size`.",
    "run on": "each layer begins with the pixels that the one before it gives *with* its output padding.",
    "at the end": "after *each* layer the size must be what it was: here all that is missing is added at the end.",
    "missing": "these are the pixels missing for one more position; what counts is how many are left over.",
    "size left": "the kernel and the padding matter, too, not only size and stride.",
    "halves": "the kernel and the padding matter, too, not only size and stride.",
    "largest": "the largest output padding that is allowed is not always the one that is needed.",
    "none": "without any output padding, some images do not get their size back.",
    "at most one": "with strides above 2, more than one pixel may be missing.",
    "even": "even or odd: that is a rule for stride 2 and one kernel alone.",
    "odd": "even or odd: that is a rule for stride 2 and one kernel alone.",
    "multiple": "this leads to exactly stride times as many pixels; the convolution has mostly not divided so evenly.",
    "multiple, plain": "this leads to exactly stride times as many pixels; the convolution has mostly not divided so "
    "evenly.",
    "the sizes": "these are the sizes to come back to; asked for is what each layer must add for that.",
}


def _other(size: int, layers: list, slip: str) -> list[int]:
    sizes, turned = _sizes(size, layers), layers[::-1]
    before, after = sizes[-2::-1], sizes[:0:-1]
    if slip == "chain":
        return [size - _enlarged(_sizes(size, [layer])[1], layer) for layer in turned]
    if slip == "start":
        return _paddings(size, turned)[::-1]
    if slip == "sizes":
        return [b - _enlarged(a, layer) for layer, b, a in zip(turned, sizes[:-1], sizes[1:], strict=True)]
    if slip == "halves":
        return [pixels % layer[1] for pixels, layer in zip(_sizes(size, layers, slip), layers, strict=False)][::-1]
    if slip == "goal":
        return [size - _enlarged(a, layer) for layer, a in zip(turned, after, strict=True)]
    if slip in ("run on", "at the end"):
        pixels, result = sizes[-1], []
        for layer, goal in zip(turned, before, strict=True):
            pixels = _enlarged(pixels, layer)
            result.append(goal - pixels)
        return result if slip == "run on" else [0] * (len(layers) - 1) + [size - pixels]
    known = {
        "missing": lambda b, k, s, p, d: -(b + 2 * p - _reach(k, d, "")) % s,
        "size left": lambda b, k, s, p, d: b % s,
        "largest": lambda b, k, s, p, d: s - 1,
        "none": lambda b, k, s, p, d: 0,
        "at most one": lambda b, k, s, p, d: min(1, (b + 2 * p - _reach(k, d, "")) % s),
        "even": lambda b, k, s, p, d: 1 - b % 2,
        "odd": lambda b, k, s, p, d: b % 2,
        "multiple": lambda b, k, s, p, d: 2 * p + s - _reach(k, d, ""),
        "multiple, plain": lambda b, k, s, p, d: 2 * p + s - k,
        "the sizes": lambda b, k, s, p, d: b,
    }
    return [known[slip](b, *layer) for layer, b in zip(turned, before, strict=True)]
