"""Question 1: output paddings that lead back to the same size."""

import numpy as np

from coursekit.checks import compare
from coursekit.checks.answers import Function

_HINTS = {
    "order": "the decoder begins where the encoder ends: its first layer mirrors the encoder's last.",
    "chain": "each convolution works on what the one before it has left, not on `size` pixels.",
    "dilation": "with dilation the kernel reaches farther than its number of elements.",
    "gaps": "a dilated kernel has gaps between its elements, but none behind the last.",
    "one": "a kernel of one element needs one pixel, not none: you are off by one.",
    "sides": "padding is added on *both* sides.",
    "plain": "the kernel and the padding matter, not only size and stride.",
    "largest": "the largest output padding that is allowed is not always the one that is needed.",
    "none": "without any output padding, some images do not get their size back.",
    "parity": "even or odd: that is a rule for stride 2 and one kernel alone.",
    "at most one": "with strides above 2, more than one pixel may be missing.",
    "sizes": "these are the sizes to come back to; asked for is what each layer must add for that.",
}


def q1(output_paddings: Function, rng: np.random.Generator) -> None:
    """Compare the output paddings of decoders that mirror encoders of one to three layers."""
    settings = [(7, [(3, 2, 1, 1)]), (8, [(3, 2, 1, 1)]), (9, [(2, 3, 0, 1)]), (13, [(3, 2, 0, 2)])]
    settings += [(12, [(3, 2, 1, 1), (2, 2, 0, 1)])]  # these are for paper
    settings += [(256, [(3, 2, 1, 1), (4, 3, 0, 1), (3, 4, 0, 2)]), (199, [(5, 3, 1, 2)]), (201, [(3, 4, 0, 1)])]
    for depth in (1, 1, 1, 1, 2, 2, 3, 3, 3):
        options = [rng.integers(low, high, depth).tolist() for low, high in ((2, 6), (2, 5), (0, 3), (1, 4))]
        settings.append((int(rng.integers(600, 900)), list(zip(*options, strict=True))))

    def each(slip: str = "") -> np.ndarray:
        return np.concatenate([_paddings(*setting, slip) for setting in settings])

    found, calls = compare.results(
        output_paddings, settings, lambda size, layers: (len(layers),), each="one for each layer"
    )
    mistakes = compare.mistakes_of(each, _HINTS)
    # What nobody has foreseen: say what cannot be.
    strides = np.concatenate([[layer[1] for layer in layers[::-1]] for _, layers in settings])
    single = np.concatenate([[len(layers) == 1] * len(layers) for _, layers in settings])
    for cannot_be, hint in (
        (np.any(found < 0), "no output padding is below zero: that would mean that a layer gives too many pixels."),
        (
            np.any(found >= strides),
            "an output padding is smaller than the stride: else one more position would have fitted.",
        ),
        (
            np.all((found == each())[single]),
            "right for a single layer, but not for several: follow the sizes from one to the next.",
        ),
    ):
        if cannot_be:
            mistakes.append((hint, lambda: found))
    compare.array(found, "the list of output paddings", each(), mistakes, rtol=1e-9, calls=calls)


def _paddings(size: int, layers: list, slip: str = "") -> list[int]:
    """Follow the encoder: the pixels that no position of a layer reaches are those that its mirror must add."""
    lost, pixels = [], size
    for kernel, stride, padding, dilation in layers:
        reaches = {"dilation": kernel, "gaps": dilation * kernel, "one": dilation * (kernel - 1)}
        free = pixels + (1 if slip == "sides" else 2) * padding - reaches.get(slip, dilation * (kernel - 1) + 1)
        rest = free % stride
        others = {"plain": pixels % stride, "largest": stride - 1, "none": 0, "parity": 1 - pixels % 2}
        others |= {"at most one": min(1, rest), "sizes": pixels}
        lost.append(others.get(slip, rest))
        pixels = pixels if slip == "chain" else free // stride + 1
    return lost if slip == "order" else lost[::-1]
