"""Right and wrong answers to lab 1."""

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import ndimage, signal

from tests.checks.catalogue import wrong

matplotlib.use("Agg")

X = np.array([[2, 0, 1, 3], [1, 3, 0, 2], [0, 1, 2, 1], [3, 2, 0, 1]])
K = np.array([[1, 2], [0, -1]])
CORRELATION = [[-1, 2, 5], [6, 1, 3], [0, 5, 3]]
CONVOLUTION = [[3, 6, 1], [0, 1, 5], [8, 3, -1]]


# q1 ------------------------------------------------------------------------------------------------------------------


def by_hand(correlation=CORRELATION, convolution=CONVOLUTION):
    return {"by_hand_correlation": correlation, "by_hand_convolution": convolution}


# q2 ------------------------------------------------------------------------------------------------------------------


def smallest_image(outputs, kernel, stride=1, padding=0, dilation=1):
    return (outputs - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding


def by_search(outputs, kernel, stride=1, padding=0, dilation=1):
    size = 1
    while (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 < outputs:
        size += 1
    return size


def by_last_pixel(outputs, kernel, *, stride, padding, dilation):
    last_start = (outputs - 1) * stride - padding
    last_pixel = last_start + (kernel - 1) * dilation
    return np.int64(last_pixel + 1 - padding)


def size_with(formula):
    def smallest_image(outputs, kernel, stride=1, padding=0, dilation=1):
        return formula(outputs, kernel, stride, padding, dilation)

    return {"smallest_image": smallest_image}


# q3 ------------------------------------------------------------------------------------------------------------------

CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4


def sharpen_with(kernel=CROSS, mode="symm", finish=None, sign=1, fixed=None, scale=1.0, only=False):
    def finish_well(values):
        return np.clip(np.round(values), 0, 255).astype(np.uint8)

    def sharpen(image, amount):
        values = image.astype(float)
        blurred = signal.correlate2d(values, kernel, "same", mode)
        difference = scale * (fixed or amount) * sign * (values - blurred)
        return (finish or finish_well)(difference if only else values + difference)

    return {"sharpen": sharpen}


def sharpen_one_kernel(image, amount):
    kernel = np.array([[0, -amount / 4, 0], [-amount / 4, 1 + amount, -amount / 4], [0, -amount / 4, 0]])
    return (ndimage.correlate(image / 1.0, kernel, mode="reflect") + 0.5).clip(0, 255).astype("uint8")


def sharpen_by_hand(image, amount):
    around = np.pad(image, 1, mode="edge").astype(np.float64)
    mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
    result = around[1:-1, 1:-1] * (1 + amount) - amount * mean
    result[result > 255] = 255
    result[result < 0] = 0
    return np.rint(result).astype(np.uint8)


def sharpen_in_float32(image, amount):
    values = image.astype(np.float32)
    mean = ndimage.correlate(values, CROSS.astype(np.float32), mode="reflect")
    return np.clip(np.round(values + np.float32(amount) * (values - mean)), 0, 255).astype(np.uint8)


def sharpen_in_bytes(image, amount):
    around = np.pad(image, 1, mode="edge")
    mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
    return np.clip(np.round(image + amount * (image - mean)), 0, 255).astype(np.uint8)


def sharpen_reflected(image, amount):
    around = np.pad(image, 1, mode="reflect").astype(float)
    mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
    return np.clip(np.round(image + amount * (image - mean)), 0, 255).astype(np.uint8)


def sharpen_in_place(image, amount):
    image[:] = sharpen_by_hand(image, amount)
    return image


def wrapped(values):
    return np.round(values).astype(np.int64).astype(np.uint8)


def truncated(values):
    return np.clip(values, 0, 255).astype(np.uint8)


# q4 ------------------------------------------------------------------------------------------------------------------


def two_passes(first=np.correlate, second=np.correlate, mode="valid", columns=True, back=True, pick=None):
    def separable(image, column, row):
        column, row = pick(column, row) if pick else (column, row)
        passed = np.array([first(line, row, mode) for line in image])
        if not columns:
            return np.array([second(line, row, mode) for line in passed])
        passed = np.array([second(line, column, mode) for line in passed.T])
        return passed.T if back else passed

    return {"separable": separable}


def turned_convolve(line, kernel, mode):
    return np.convolve(line, kernel[::-1], mode)


def separable_by_scipy(image, column, row):
    return signal.correlate2d(signal.correlate2d(image, row[None, :], "valid"), column[:, None], "valid")


def separable_by_sums(image, column, row):
    width = image.shape[1] - len(row) + 1
    passed = sum(weight * image[:, k : k + width] for k, weight in enumerate(row))
    height = image.shape[0] - len(column) + 1
    return sum(weight * passed[k : k + height] for k, weight in enumerate(column))


# q5 ------------------------------------------------------------------------------------------------------------------

EXAMPLE = (np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))


def combine_with(step, example=EXAMPLE):
    def combine(kernels):
        result = kernels[0]
        for kernel in kernels[1:]:
            result = step(result, kernel)
        return result

    return {"counterexample": example, "combine": combine}


def combine_by_impulse(kernels):
    height, width = (sum(kernel.shape[axis] - 1 for kernel in kernels) for axis in (0, 1))
    image = np.zeros((2 * height + 1, 2 * width + 1))
    image[height, width] = 1
    for kernel in kernels:
        image = signal.correlate2d(image, kernel, "valid")
    return image[::-1, ::-1]


def combine_turned(kernels):
    result = np.ones((1, 1))
    for kernel in kernels:
        result = signal.correlate2d(kernel, result[::-1, ::-1], "full")
    return result


# q6 ------------------------------------------------------------------------------------------------------------------

SIZES = np.array([1, 3, 5, 7, 9, 15])


def noise_figure(predicted=1 / SIZES, measured=1.05 / SIZES, sizes=SIZES, logs="both", legend=True, labels=True):
    figure = Figure()
    axis = figure.subplots()
    for label, values in (("predicted", predicted), ("measured", measured)):
        if values is not None:
            axis.plot(sizes, values, label=label)
    if labels:
        axis.set(xlabel="kernel size K (pixels)", ylabel="noise left (share)")
    if logs == "both":
        axis.set(xscale="log", yscale="log")
    if legend:
        axis.legend()
    return figure


def scatter_figure():
    from matplotlib import pyplot

    figure, axis = pyplot.subplots()
    axis.loglog(SIZES, 1 / SIZES, "--", label="1 / K")
    axis.scatter(SIZES, 0.97 / SIZES, label="measured")
    axis.set_xlabel("K (pixels)")
    axis.set_ylabel("factor")
    pyplot.legend()
    pyplot.close(figure)
    return figure


def beside_a_picture():
    figure = Figure()
    picture, axis = figure.subplots(1, 2)
    picture.imshow(np.eye(3))
    axis.loglog(SIZES, 1 / SIZES, SIZES, 1.03 / SIZES)
    axis.set(xlabel="K (pixels)", ylabel="factor")
    axis.legend(["predicted", "measured"])
    return figure


def two_panels():
    figure = Figure()
    for axis, factor in zip(figure.subplots(1, 2), (1, 1.03), strict=True):
        axis.loglog(SIZES, factor / SIZES)
        axis.set(xlabel="K (pixels)", ylabel="factor")
    return figure


def noise_factor(kernel):
    return np.sqrt((kernel**2).sum())


def noise(factor=noise_factor, figure=None):
    return {"noise_factor": factor, "figure": figure or noise_figure()}


RIGHT = {
    "q1": {
        "lists": by_hand(),
        "arrays of floats": by_hand(np.array(CORRELATION, dtype=float), np.array(CONVOLUTION, dtype=float)),
        "computed": by_hand(signal.correlate2d(X, K, "valid"), signal.convolve2d(X, K, "valid")),
        "tensors": by_hand(torch.tensor(CORRELATION), torch.tensor(CONVOLUTION)),
        "tuples": by_hand(tuple(map(tuple, CORRELATION)), tuple(map(tuple, CONVOLUTION))),
    },
    "q2": {
        "formula": {"smallest_image": smallest_image},
        "search": {"smallest_image": by_search},
        "last pixel": {"smallest_image": by_last_pixel},
        "a tensor": {"smallest_image": lambda *a, **k: torch.tensor(smallest_image(*a, **k))},
    },
    "q3": {
        "difference": sharpen_with(),
        "one kernel": {"sharpen": sharpen_one_kernel},
        "slices": {"sharpen": sharpen_by_hand},
        "float32": {"sharpen": sharpen_in_float32},
    },
    "q4": {
        "repaired": two_passes(),
        "convolve with turned kernels": two_passes(
            first=lambda a, b, mode: np.convolve(a, b[::-1], mode),
            second=lambda a, b, mode: np.convolve(a, b[::-1], mode),
        ),
        "scipy": {"separable": separable_by_scipy},
        "sums": {"separable": separable_by_sums},
    },
    "q5": {
        "fold": combine_with(lambda a, b: signal.convolve2d(a, b)),
        "exchanged": combine_with(lambda a, b: signal.convolve2d(b, a, "full"), ([[0, 1]], [[0, 0, 2]])),
        "stacked": {"counterexample": np.stack(EXAMPLE), "combine": combine_by_impulse},
        "by impulse": {"counterexample": list(EXAMPLE), "combine": combine_by_impulse},
        "by correlation with a turned one": {"counterexample": EXAMPLE, "combine": combine_turned},
    },
    "q6": {
        "numpy": noise(),
        "norm": noise(np.linalg.norm, scatter_figure()),
        "in the second axis": noise(figure=beside_a_picture()),
        "apart": noise(lambda kernel: torch.tensor(kernel).norm(), two_panels()),
        "loop": noise(lambda kernel: sum(float(w) ** 2 for w in kernel.ravel()) ** 0.5),
    },
}

WRONG = {
    "q1": {
        "the two exchanged": wrong("is the convolution", **by_hand(CONVOLUTION, CORRELATION)),
        "kernel not turned": wrong("is the correlation", **by_hand(convolution=CORRELATION)),
        "turned upside down only": wrong(
            "over one axis only", **by_hand(convolution=signal.correlate2d(X, K[::-1], "valid"))
        ),
        "turned left to right only": wrong(
            "over one axis only", **by_hand(convolution=signal.correlate2d(X, K[:, ::-1], "valid"))
        ),
        "kernel transposed": wrong("are exchanged", **by_hand(signal.correlate2d(X, K.T, "valid"))),
        "sign lost": wrong("the sign", **by_hand(signal.correlate2d(X, abs(K), "valid"))),
        "mode same": wrong("mode valid", **by_hand(signal.correlate2d(X, K, "same"))),
        "mode full": wrong("shape [5, 5]", **by_hand(signal.correlate2d(X, K))),
        "one slip": wrong("one value is too small", **by_hand([[-1, 2, 5], [6, 1, 3], [0, 5, 2]])),
        "a row too short": wrong("differ in length", **by_hand([[-1, 2, 5], [6, 1], [0, 5, 3]])),
        "a text": wrong("numbers only", **by_hand("2 2 7")),
        "lost signs": wrong("have lost their sign", **by_hand(np.abs(CORRELATION))),
    },
    "q2": {
        "one step too many": wrong("n - 1 steps", **size_with(lambda n, k, s, p, d: n * s + d * (k - 1) + 1 - 2 * p)),
        "reach by one off": wrong(
            "smallest case", **size_with(lambda n, k, s, p, d: (n - 1) * s + d * (k - 1) - 2 * p)
        ),
        "no dilation": wrong("dilation is missing", **size_with(lambda n, k, s, p, d: (n - 1) * s + k - 2 * p)),
        "dilation times size": wrong("k - 1 gaps", **size_with(lambda n, k, s, p, d: (n - 1) * s + d * k - 2 * p)),
        "padding once": wrong("both", **size_with(lambda n, k, s, p, d: (n - 1) * s + d * (k - 1) + 1 - p)),
        "padding added": wrong("fewer", **size_with(lambda n, k, s, p, d: (n - 1) * s + d * (k - 1) + 1 + 2 * p)),
        "no padding": wrong("padding is missing", **size_with(lambda n, k, s, p, d: (n - 1) * s + d * (k - 1) + 1)),
        "the largest": wrong("smallest case", **size_with(lambda n, k, s, p, d: n * s + d * (k - 1) - 2 * p)),
        "no stride": wrong("stride is missing", **size_with(lambda n, k, s, p, d: n + d * (k - 1) - 2 * p)),
        "the formula of the lecture": wrong(
            "the way back", **size_with(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s + 1)
        ),
        "a float": wrong("whole number", **size_with(lambda n, k, s, p, d: (n - 1) * s / 1 + d * (k - 1) + 1 - 2 * p)),
        "hard-coded": wrong("which is too small", **size_with(lambda n, k, s, p, d: 5)),
        "not a function": wrong("must be a function", smallest_image=5),
        "the call is shown": wrong("wrong: `smallest_image(3, 3, stride=1", smallest_image=lambda *_, **__: 77),
        "a text": wrong("not a text", smallest_image=lambda *a, **k: str(smallest_image(*a, **k))),
    },
    "q3": {
        "wraps around": wrong("wrap around", **sharpen_with(finish=wrapped)),
        "sums of bytes": wrong("sum of four bytes", sharpen=sharpen_in_bytes),
        "zeros outside": wrong("here are zeros", **sharpen_with(mode="fill")),
        "other side outside": wrong("other side", **sharpen_with(mode="wrap")),
        "eight neighbours": wrong("four neighbours", **sharpen_with(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]) / 8)),
        "itself a neighbour": wrong(
            "A case for paper", **sharpen_with(np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5)
        ),
        "sum of neighbours": wrong("their sum", **sharpen_with(CROSS * 4)),
        "sum of differences": wrong("A case for paper", **sharpen_with(scale=4.0)),
        "difference alone": wrong("difference alone", **sharpen_with(only=True)),
        "amount ignored": wrong("no effect", **sharpen_with(fixed=1.0)),
        "blurs": wrong("blurs", **sharpen_with(sign=-1)),
        "mirrored about the last pixel": wrong("here it stands on it", sharpen=sharpen_reflected),
        "limited above only": wrong("those below 0", **sharpen_with(finish=lambda v: wrapped(np.minimum(v, 255)))),
        "limited below only": wrong("those above 255", **sharpen_with(finish=lambda v: wrapped(np.maximum(v, 0)))),
        "cut off": wrong("round first", **sharpen_with(finish=truncated)),
        "floats": wrong("float64", **sharpen_with(finish=lambda v: np.clip(np.round(v), 0, 255))),
        "in place": wrong("work on a copy", sharpen=sharpen_in_place),
        "valid": wrong("lost its border", sharpen=lambda image, amount: sharpen_by_hand(image, amount)[1:-1, 1:-1]),
        "rounded up": wrong(
            "more than 1", **sharpen_with(finish=lambda v: np.clip(np.ceil(v), 0, 255).astype(np.uint8))
        ),
        "no return": wrong("", sharpen=lambda image, amount: [image]),
    },
    "q4": {
        "not repaired": wrong("both passes go along the rows", **two_passes(np.convolve, np.convolve, columns=False)),
        "correlates along the rows twice": wrong("both passes go along the rows", **two_passes(columns=False)),
        "both still turned": wrong("both passes convolve", **two_passes(np.convolve, np.convolve)),
        "first still turned": wrong("along the rows still", **two_passes(np.convolve)),
        "second still turned": wrong("along the columns convolves", **two_passes(second=np.convolve)),
        "not turned back": wrong("transposed", **two_passes(back=False)),
        "exchanged": wrong("are exchanged", **two_passes(pick=lambda column, row: (row, column))),
        "column never used": wrong("`column` is never used", **two_passes(pick=lambda column, row: (row, row))),
        "row never used": wrong("`row` is never used", **two_passes(pick=lambda column, row: (column, column))),
        "same": wrong("must be of mode valid", **two_passes(mode="same")),
        "full": wrong("mode full", **two_passes(mode="full")),
        "one pass": wrong(
            "only the pass along the rows",
            separable=lambda image, column, row: np.array([np.correlate(line, row, "valid") for line in image]),
        ),
        "a 2-D kernel": wrong(
            "two thin passes", separable=lambda i, c, r: signal.correlate2d(i, np.outer(c, r), mode="valid")
        ),
        "a 2-D kernel in float32": wrong(
            "two thin passes",
            separable=lambda i, c, r: signal.correlate2d(
                np.float32(i), np.float32(c)[:, None] * np.float32(r), "valid"
            ),
        ),
        "a list": wrong(
            "numpy array", separable=lambda image, column, row: [list(np.correlate(line, row)) for line in image]
        ),
    },
    "q5": {
        "believes the claim": wrong("kernel of the claim", **combine_with(signal.correlate2d)),
        "the other way round": wrong("Exchanging", **combine_with(lambda a, b: signal.correlate2d(b, a))),
        "same": wrong("cut off", **combine_with(lambda a, b: signal.convolve2d(a, b, "same"))),
        "turned": wrong(
            "turned by 180",
            counterexample=EXAMPLE,
            combine=lambda kernels: combine_with(signal.convolve2d)["combine"](kernels)[::-1, ::-1],
        ),
        "sum": wrong("has shape [3, 3]", counterexample=EXAMPLE, combine=lambda kernels: sum(kernels)),
        "product": wrong("", **combine_with(lambda a, b: a * b)),
        "two only": wrong(
            "any number",
            counterexample=EXAMPLE,
            combine=lambda kernels: signal.convolve2d(*kernels[:2]) if len(kernels) > 1 else kernels[0],
        ),
        "first only": wrong("only the first", counterexample=EXAMPLE, combine=lambda kernels: kernels[0]),
        "symmetric example": wrong("happens to hold", **combine_with(signal.convolve2d, (np.ones((3, 3)), np.eye(3)))),
        "an example of zeros": wrong(
            "happens to hold", **combine_with(signal.convolve2d, (np.zeros((2, 2)), np.array([[1, 2], [3, 4]])))
        ),
        "one kernel as example": wrong("two kernels", **combine_with(signal.convolve2d, np.ones((3, 3)))),
        "an example with NaN": wrong(
            "NaN", **combine_with(signal.convolve2d, (np.array([[np.nan, 1]]), np.ones((1, 2))))
        ),
        "flat example": wrong("two axes", **combine_with(signal.convolve2d, ([1, 2], [3, 4]))),
    },
    "q6": {
        "variance": wrong("for the variance", **noise(lambda k: (k**2).sum())),
        "sum of weights": wrong("*constant*", **noise(lambda k: k.sum())),
        "sum of sizes": wrong("", **noise(lambda k: np.abs(k).sum())),
        "uniform only": wrong("uniform kernels only", **noise(lambda k: 1 / np.sqrt(k.size))),
        "square only": wrong("A case for paper", **noise(lambda k: 1 / len(k))),
        "one over n": wrong("A case for paper", **noise(lambda k: 1 / k.size)),
        "an array": wrong("one number", **noise(lambda k: k**2)),
        "no labels": wrong("without a label", **noise(figure=noise_figure(labels=False))),
        "no legend": wrong("legend", **noise(figure=noise_figure(legend=False))),
        "linear axes": wrong("logarithmic", **noise(figure=noise_figure(logs=""))),
        "one curve": wrong("two curves", **noise(figure=noise_figure(measured=None))),
        "variance drawn": wrong("is that the variance", **noise(figure=noise_figure(measured=1 / SIZES**2))),
        "not measured": wrong("must be *measured*", **noise(figure=noise_figure(measured=1 / SIZES))),
        "wrong curve": wrong("no curve", **noise(figure=noise_figure(predicted=1 / np.sqrt(SIZES)))),
        "bad measurement": wrong("far from the predicted", **noise(figure=noise_figure(measured=2 / SIZES))),
        "too small": wrong("kernel size K", **noise(figure=noise_figure(1 / SIZES, 1.1 / SIZES, SIZES / 15))),
        "small sizes": wrong("up to 9", **noise(figure=noise_figure(1 / SIZES[:5], 1.02 / SIZES[:5], [2, 3, 4, 5, 5]))),
        "zeros outside": wrong("no border in it", **noise(figure=noise_figure(measured=1 / SIZES * (1 - SIZES / 60)))),
        "curves of NaN": wrong("two curves", **noise(figure=noise_figure(np.nan * SIZES, np.nan * SIZES))),
        "no figure": wrong("matplotlib Figure", **noise(figure=[1, 2])),
    },
}
