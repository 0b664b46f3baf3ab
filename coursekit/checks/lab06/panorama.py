"""Question 2: the matrix of a convolution that goes round, and its transpose."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np

from coursekit.checks import compare
from coursekit.checks.lab06.shared import by


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
            f"the matrix for a {by(kernel.shape)} kernel on {by(shape)} pixels, stride {stride},",
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
            f"the image painted from {by(y.shape)} numbers, stride {stride},",
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
