"""Question 1: the parameters of a network of any depth."""

from __future__ import annotations

import numpy as np

from coursekit.checks import compare


def q1(count_parameters: object, rng: np.random.Generator) -> None:
    """Sizes and parameters of convolutions with pooling, and of the dense layer behind them."""
    count_parameters = compare.function(count_parameters, "count_parameters")
    settings = [(1, 28, [32, 64], 3, 10), (3, 32, [8], 5, 4)]
    for depth in (1, 2, 2, 3, 3):
        widths = rng.integers(3, 20, depth).tolist()
        size, kernel = rng.integers(40, 60), rng.integers(2, 6)
        settings.append((int(rng.integers(1, 5)), int(size), widths, int(kernel), int(rng.integers(2, 12))))
    name = "what `count_parameters` returns"
    answers = [compare.as_whole(count_parameters(*setting), name) for setting in settings]

    def each(**slip: object) -> np.ndarray:
        return np.array([_count(*setting, **slip) for setting in settings])

    compare.array(
        np.array(answers),
        f"the list of counts for {len(settings)} networks",
        each(),
        {
            "the biases are missing, everywhere.": each(conv_bias=0, dense_bias=0),
            "the convolutions' biases are missing: one for each output channel.": each(conv_bias=0),
            "the dense layer's biases are missing: one for each class.": each(dense_bias=0),
            "the dense layer is missing.": each(dense=False),
            "the dense layer sees every pixel of every map, not one number per map.": each(flat=False),
            "without padding, a convolution makes the maps smaller.": each(shrink=False),
            "the pooling halves the maps before they reach the dense layer.": each(pool=False),
            "the pooling rounds an odd size down.": each(up=True),
            "a kernel reaches through all channels of its input.": each(through=False),
            "each convolution sees the channels of the one before it, not those of the image.": each(chain=False),
            "a kernel has a height *and* a width.": each(square=False),
        },
        rtol=1e-9,
        calls=[count_parameters.shown(*setting) for setting in settings],
    )


def _count(
    channels,
    size,
    widths,
    kernel,
    classes,
    *,
    conv_bias=1,
    dense_bias=1,
    dense=True,
    flat=True,
    shrink=True,
    pool=True,
    up=False,
    through=True,
    chain=True,
    square=True,
) -> int:
    total, inputs = 0, channels
    for width in widths:
        total += width * (kernel ** (2 if square else 1) * (inputs if through else 1) + conv_bias)
        size = size - (kernel - 1) * shrink
        size = (size + up) // 2 if pool else size
        inputs = width if chain else inputs
    pixels = size**2 if flat else 1
    return total + dense * classes * (widths[-1] * pixels + dense_bias)
