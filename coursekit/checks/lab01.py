"""The checks of lab 1, convolution."""

from functools import partial, reduce
from typing import Any

import numpy as np
from scipy import ndimage, signal

from coursekit.checks import compare
from coursekit.checks.answers import Chart, Function, Hint, is_finite
from coursekit.checks.lab import Lab

lab = Lab("lab01", "Convolution")
check, done, hint, progress, test = lab.check, lab.done, lab.hint, lab.progress, lab.test

X = np.array([[2, 0, 1, 3], [1, 3, 0, 2], [0, 1, 2, 1], [3, 2, 0, 1]])
K = np.array([[1, 2], [0, -1]])


@lab.question(
    "Eighteen numbers by hand",
    "lay the kernel on the four pixels at the top left, multiply each pixel by the element on it, and add up.",
    "for the convolution do the same with the kernel turned by 180 degrees: its last element comes first.",
    points=2,
)
def q1(by_hand_correlation: object, by_hand_convolution: object) -> None:
    """Correlation and convolution of X and K, mode valid."""
    right = {"by_hand_correlation": signal.correlate2d, "by_hand_convolution": signal.convolve2d}
    other = {"by_hand_correlation": "convolution: its kernel is turned", "by_hand_convolution": "correlation"}
    answers = {"by_hand_correlation": by_hand_correlation, "by_hand_convolution": by_hand_convolution}
    for (name, method), flipped in zip(right.items(), list(right.values())[::-1], strict=True):
        mistakes = {
            f"`{name}` is the {other[name]}.": flipped(X, K, "valid"),
            f"`{name}`: the kernel is turned over one axis only, upside down.": method(X, K[::-1], "valid"),
            f"`{name}`: the kernel is turned over one axis only, left to right.": method(X, K[:, ::-1], "valid"),
            f"`{name}`: rows and columns of the kernel are exchanged.": method(X, K.T, "valid"),
            f"`{name}`: mind the sign of the kernel's last element.": method(X, abs(K), "valid"),
            f"`{name}` has as many numbers as X: in mode valid the kernel never leaves X.": method(X, K, "same"),
        }
        compare.array(compare.as_array(answers[name], f"`{name}`"), f"`{name}`", method(X, K, "valid"), mistakes)


@lab.question(
    "The smallest image",
    "how many pixels lie between the first and the last position of the kernel? Count the steps between positions.",
    "from its last position the kernel still reaches over some pixels. With dilation it has gaps.",
    "padding gives some of these pixels for nothing, on both sides.",
    points=2,
    truth="7 pixels",
)
def q2(smallest_image: Function, rng: np.random.Generator) -> None:
    """Invert the output-size formula."""
    n, k, s, d = (rng.integers(low, high, 24) for low, high in ((2, 12), (2, 8), (1, 5), (1, 4)))
    p = rng.integers(0, d * (k - 1) // 2 + 1)
    n[0], k[0], s[0], p[0], d[0] = 3, 3, 1, 0, 1  # one that everybody can check on paper
    rows = np.stack([n, k, s, p, d], axis=1).tolist()
    settings = [(*row[:2], dict(zip(("stride", "padding", "dilation"), row[2:], strict=True))) for row in rows]
    answers, calls = compare.results(smallest_image, settings)
    reach, steps = d * (k - 1) + 1, (n - 1) * s
    mistakes = {
        "the first position needs no step before it: n outputs are only n - 1 steps apart.": n * s + reach - 2 * p,
        "dilation is missing: the kernel reaches over more than its size.": steps + k - 2 * p,
        "with dilation d, a kernel of k elements has k - 1 gaps, not k.": steps + d * k - 2 * p,
        "padding is added on *both* sides.": steps + reach - p,
        "padding adds pixels, so that you need *fewer* of your own.": steps + reach + 2 * p,
        "padding is missing.": steps + reach,
        "stride is missing.": n - 1 + reach - 2 * p,
        "this is how many outputs an image of that size has; asked for is the way back.": (n + 2 * p - reach) // s + 1,
    }
    compare.array(answers, "the list of sizes", steps + reach - 2 * p, mistakes, calls=calls)


@lab.question(
    "Sharpen a photo of bytes",
    "turn the bytes into floats first; the mean of four neighbours is a correlation with a kernel of 3 x 3.",
    "add `amount` times the difference from that mean; `np.round` and `np.clip` come before `astype(np.uint8)`.",
    points=3,
    truth="it becomes nearly black: bytes begin again at 0 behind 255",
)
def q3(sharpen: Function, rng: np.random.Generator) -> None:
    """Bytes in, bytes out, mirrored border, no overflow."""
    for height, width in ((9, 12), (16, 7)):
        image = rng.integers(0, 256, (height, width), dtype=np.uint8)
        image[2:5, 2:5] = 120  # flat: sharpening changes nothing in its middle
        amount = _amount(image, rng)
        exact = _sharpened(image, amount)
        rounded = np.round(exact).astype(int)

        def made(strength: float = amount, image: np.ndarray = image, **slip: Any) -> np.ndarray:
            return _as_bytes(_sharpened(image, strength, **slip))

        mistakes = {
            "bytes wrap around here: limit the values to 0 ... 255 before you turn them into bytes.": rounded % 256,
            "limit the values at both ends: those below 0 still wrap around.": np.minimum(rounded, 255) % 256,
            "limit the values at both ends: those above 255 still wrap around.": np.maximum(rounded, 0) % 256,
            "the sum of four bytes does not fit into a byte: turn the image into floats before you add.": _as_bytes(
                image * (1 + amount) - amount * _byte_neighbours(image)
            ),
            "the border is wrong: outside lies the mirror image, here are zeros.": made(mode="constant"),
            "the border is wrong: the mirror stands beside the last pixel; here it stands on it.": made(mode="mirror"),
            "the border is wrong: here the image goes on with its other side.": made(mode="wrap"),
            "the mean is over the four neighbours, not over eight.": made(neighbours=(1 - _MIDDLE) / 8),
            "take the *mean* of the four neighbours: here it is their sum.": made(neighbours=_CROSS),
            "this is the difference alone: the photo itself is missing.": _as_bytes(exact - image),
            "`amount` has no effect.": made(1.0),
            "this blurs: the difference has the wrong sign.": made(-amount),
            "turning a float into a byte cuts off what is behind the point: round first.": np.clip(exact, 0, 255) // 1,
            "the result has lost its border: mode same keeps the size.": made()[1:-1, 1:-1],
        }
        answer, dtype = sharpen(image, amount), np.dtype(np.uint8)
        compare.array(
            *(answer, "the sharpened image", made(), mistakes),
            rtol=0.5 / 255,
            dtype=dtype,
            small=(sharpen, lambda *case: _as_bytes(_sharpened(*case)), {"image": _FEW, "amount": 1.0}),
        )


_FEW = np.array([[40, 40, 80, 80], [40, 80, 80, 80], [40, 40, 40, 80]], dtype=np.uint8)
_CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=float)
_MIDDLE = np.outer([0, 1, 0], [0, 1, 0])


def _amount(image: np.ndarray, rng: np.random.Generator) -> float:
    """Draw an amount with which no pixel comes near a half: float32 or another order of sums may round it otherwise."""
    while True:
        amount = float(rng.uniform(0.6, 2.0))
        if np.abs(_sharpened(image, amount) % 1 - 0.5).min() > 1e-3:
            return amount


def _sharpened(image: np.ndarray, amount: float, mode: str = "reflect", neighbours: np.ndarray = _CROSS / 4):
    values = image.astype(float)
    return values + amount * (values - ndimage.correlate(values, neighbours, mode=mode))


def _byte_neighbours(image: np.ndarray) -> np.ndarray:
    around = np.pad(image, 1, mode="symmetric")
    return (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


@lab.question(
    "Repair the two passes",
    "try it with `column = [1, 0]` and `row = [0, 0, 1]` on an image with one white pixel, and look where it goes.",
    "`np.convolve` turns its kernel. And to pass along the columns: transpose, pass along the rows, transpose back.",
    points=3,
)
def q4(separable: Function, rng: np.random.Generator) -> None:
    """Two thin passes that equal one correlation with a column times a row."""
    for height, width, high, wide in ((12, 17, 4, 3), (15, 11, 3, 6)):
        image, column, row = rng.normal(size=(height, width)), rng.normal(size=high), rng.normal(size=wide)
        answer, twice = separable(image, column, row), np.convolve(row, row)

        both = partial(_two_passes, image)
        compare.array(
            answer,
            "the result of `separable`",
            both(column, row),
            {
                "both passes convolve: they turn the kernels. Asked for is correlation.": both(column[::-1], row[::-1]),
                "the pass along the rows still convolves: it turns its kernel.": both(column, row[::-1]),
                "the pass along the columns convolves: it turns its kernel.": both(column[::-1], row),
                "both passes go along the rows; the second must go along the columns.": both([1], twice),
                "both passes go along the rows, and convolve.": both([1], twice[::-1]),
                "`column` and `row` are exchanged: `row` belongs along the rows.": both(row, column),
                "both passes use the same kernel: `column` is never used.": both(row, row),
                "both passes use the same kernel: `row` is never used.": both(column, column),
                "the result is transposed: turn it back after the second pass.": both(column, row).T,
                "only the pass along the rows happens.": both([1], row),
            },
            shapes={
                image.shape: "the result has the image's size: the passes must be of mode valid.",
                both(column, row, mode="full").shape: "the result is mode full: the passes must be of mode valid.",
            },
            small=(separable, _two_passes, {"image": X + 0.0, "column": np.array([1.0, -3]), "row": K[1] + 2.0}),
        )
    # Only a 2-D kernel, column times row, is too large for its type; each pass for itself is not.
    small, large = (1e-25, 1e20) if answer.dtype == np.float32 else (1e-250, 1e200)
    if not is_finite(separable(small * image, large * column, large * row, finite=False)):
        raise Hint("two thin passes, please: multiplying `column` by `row` makes a 2-D kernel, which costs far more.")


def _two_passes(image: np.ndarray, column: Any, row: Any, mode: str = "valid") -> np.ndarray:
    return signal.correlate2d(image, np.outer(column, row), mode)


@lab.question(
    "Refute a claim: two passes, one kernel",
    "small kernels of two elements suffice, as long as a turn changes them.",
    "an element of `a` at offset m and one of `b` at offset n act together at offset m + n. Which sum is that?",
    "combine the first two, then the result with the third, and so on; nothing may be cut off.",
    points=3,
    truth="kernels of which the second is its own turn by 180 degrees, such as a Gaussian",
)
def q5(counterexample: object, combine: Function, rng: np.random.Generator) -> None:
    """Two correlations in a row are one, with the kernels' full *convolution*."""
    _check_counterexample(counterexample)
    for shapes in ([(3, 3), (3, 3)], [(2, 3), (3, 3)], [(3, 2), (1, 4), (2, 2)], [(3, 3)]):
        kernels = [rng.normal(size=shape) for shape in shapes]
        right = reduce(signal.convolve2d, kernels)
        claim = "this is the kernel of the claim. Try it on an image with one white pixel."
        same = partial(signal.convolve2d, mode="same")
        mistakes = [
            (claim, reduce(signal.correlate2d, kernels)),
            (claim + " (Exchanging the two does not help.)", reduce(lambda a, b: signal.correlate2d(b, a), kernels)),
            ("the new kernel must be larger than each of the others: nothing may be cut off.", reduce(same, kernels)),
        ]
        if len(kernels) > 1:
            turned = "it is turned by 180 degrees: that would be right if the passes were convolutions."
            mistakes += [(turned, right[::-1, ::-1]), ("only the first kernel is in it.", kernels[0])]
        if len(kernels) > 2:
            two = "only two kernels are in it; `kernels` may hold any number."
            mistakes += [(two, reduce(signal.convolve2d, some)) for some in (kernels[:2], kernels[1:])]
        small = (lambda *some: combine(list(some)), signal.convolve2d, {"a": np.array([[1.0, 2]]), "b": K[:, :1] + 1.0})
        compare.array(combine(kernels), f"the kernel that combines {len(kernels)}", right, mistakes, small=small)


def _check_counterexample(answer: Any) -> None:
    stacked = getattr(answer, "ndim", 0) > 1
    if not (stacked or isinstance(answer, list | tuple)) or len(answer) != 2:
        raise Hint(f"`counterexample` must hold two kernels: (a, b). Yours is {compare.kind(answer)}.")
    a, b = kernels = [compare.as_array(values, "a kernel of the counterexample") for values in answer]
    if any(values.ndim != 2 or values.size == 0 or max(values.shape) > 50 for values in kernels):
        raise Hint("a kernel of the counterexample must be an array with two axes, of at most 50 x 50.")
    true = signal.convolve2d(a, b)
    if np.abs(signal.correlate2d(a, b) - true).max() <= 1e-9 * max(np.abs(true).max(), 1e-12):
        raise Hint("for these two kernels the claim happens to hold. What do kernels look like that care for a turn?")


def _factor(kernel: np.ndarray, slip: str = "") -> float:
    known = {"variance": (kernel**2).sum(), "sum": kernel.sum(), "uniform": kernel.size**-0.5}
    return float(known.get(slip, np.sqrt((kernel**2).sum())))


_BELL = np.exp(-0.5 * (np.arange(-4, 5) / 2) ** 2)
_GUESSED = (np.full((3, 3), 1 / 9), np.full((9, 9), 1 / 81), np.outer(_BELL, _BELL) / _BELL.sum() ** 2)


@lab.question(
    "How much noise is left?",
    "an output pixel is a sum of weight times noise: which variance has it, and which standard deviation?",
    "measure on noise: `std` behind a correlation in mode valid, over `std` before; `axis.loglog` draws both.",
    points=4,
    truth=", ".join(f"{_factor(kernel):.2f}" for kernel in _GUESSED),
)
def q6(noise_factor: Function, figure: Chart, rng: np.random.Generator) -> None:
    """Ask for the formula, and a plot that holds it against a measurement."""
    positive = rng.uniform(0.1, 1, (4, 5))
    kernels = [np.full((3, 3), 1 / 9), positive / positive.sum(), rng.normal(size=(4, 3)), rng.normal(size=(2, 6))]
    hints = {
        "variance": "this is the factor for the variance; asked for is the standard deviation.",
        "sum": "the sum of the weights is what becomes of a *constant*; noise behaves differently.",
        "uniform": "this holds for uniform kernels only: other weights count differently.",
    }
    small = (noise_factor, _factor, {"kernel": np.array([[3.0, 4]])})
    settings, name = [(kernel,) for kernel in kernels], "the list of factors for four kernels"
    compare.each_call(noise_factor, settings, _factor, hints, name, whole=False, rtol=1e-5, small=small)
    _check_noise_figure(figure)


def _check_noise_figure(figure: Chart) -> None:
    def curves(axes: list[dict]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(line["x"], line["y"]) for axis in axes for line in axis["lines"] if len(line["x"]) >= 4]

    if len(curves(figure.axes)) < 2:
        raise Hint("`figure` needs two curves, each with at least four kernel sizes: measured and predicted.")
    axes = [axis for axis in figure.axes if axis["xscale"] == axis["yscale"] == "log"]
    if len(lines := curves(axes)) < 2:
        raise Hint("make both axes of `figure` logarithmic: then a power law is a straight line.")
    if any(np.min(x) < 1 or np.max(x) < 9 for x, _ in lines):
        raise Hint("the horizontal axis of `figure` must be the kernel size K in pixels, up to 9 at least.")
    if any(len(axis["legend"]) < 2 <= len(curves([axis])) for axis in axes):
        raise Hint("`figure` needs a legend: nobody can tell which curve was measured.")
    errors = [np.max(np.abs(y * x - 1)) for x, y in lines]
    if min(np.max(np.abs(y * x**2 - 1)) for x, y in lines) < 0.3:
        raise Hint("a curve of `figure` falls like 1 / K²: is that the variance?")
    if min(errors) > 1e-3:
        raise Hint("no curve of `figure` agrees with the right formula for uniform kernels.")
    if sorted(errors)[1] < 1e-6:
        raise Hint("two curves of `figure` are the same formula: one must be *measured*, with noise.")
    if sorted(errors)[1] > 0.15:
        raise Hint("the measured curve of `figure` is far from the predicted one: enough noise? no border in it?")


lab.written("q7", "Explain: the turn, and the price", points=3)
