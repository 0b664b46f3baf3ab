"""Correlation: by hand, the package, scipy and torch, against what this machine could do at best, all in one run.

    python tests/benchmarks/correlation.py [--size 512] [--repeats 5]

By hand is two loops over the pixels with a sum of products inside, as notebook 01 writes it. The machine's own limit is
what as many multiply-adds take within a large product of two matrices, in float64 and float32: nothing that multiplies
and adds so often is quicker here. Methods take turns; a table shows median seconds, how many times those of scipy's
direct method, and how many times the limit of the method's own precision. Last line: one JSON object.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from scipy import signal

from coursekit import convolution


def by_hand(image, kernel):
    height, width = kernel.shape
    result = np.empty((image.shape[0] - height + 1, image.shape[1] - width + 1))
    for y in range(result.shape[0]):
        for x in range(result.shape[1]):
            result[y, x] = np.sum(image[y : y + height, x : x + width] * kernel)
    return result


def with_torch(image, kernel):
    return torch.nn.functional.conv2d(image, kernel)[0, 0].numpy()


METHODS = {
    "by hand": by_hand,
    "scipy direct": lambda image, kernel: signal.correlate2d(image, kernel, mode="valid"),
    "package": convolution.correlate2d,
    "scipy Fourier": lambda image, kernel: signal.oaconvolve(image, kernel[::-1, ::-1], mode="valid"),
    "torch float32": with_torch,
}


SIDE = 1024  # of the matrices: larger ones are not quicker per multiply-add


def products(rng):
    """Return a function for each precision that multiplies two matrices."""
    matrices = rng.random((2, SIDE, SIDE))
    single = matrices.astype(np.float32)
    return {"float64": lambda: matrices[0] @ matrices[1], "float32": lambda: single[0] @ single[1]}


def seconds(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="pixels along each side of the image")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    image = rng.random((options.size, options.size))
    of_direct, of_limit, best = {}, {}, products(rng)
    for size in (3, 7, 15, 31):
        kernel = rng.random((size, size))
        single = [torch.tensor(array, dtype=torch.float32)[None, None] for array in (image, kernel)]
        right = METHODS["scipy direct"](image, kernel)
        times = {name: [] for name in [*METHODS, *best]}
        for turn in range(options.repeats):  # in turns, so that a busy machine slows all of them
            for name, method in METHODS.items():
                if turn and name == "by hand":
                    continue  # seconds long: once is enough
                took, result = seconds(method, *(single if "float32" in name else (image, kernel)))
                times[name].append(took)
                np.testing.assert_allclose(result, right, rtol=1e-4)
            for name, product in best.items():
                times[name].append(seconds(product)[0])
        medians = {name: statistics.median(values) for name, values in times.items()}
        share = right.size * kernel.size / SIDE**3  # of the multiply-adds of a product
        of_direct[str(size)] = {name: round(medians[name] / medians["scipy direct"], 3) for name in METHODS}
        of_limit[str(size)] = {
            name: round(medians[name] / (share * medians["float32" if "float32" in name else "float64"]), 1)
            for name in METHODS
        }
        print(f"K = {size}")
        for name, direct in of_direct[str(size)].items():
            limit = of_limit[str(size)][name]
            print(f"  {name:16s}{1e3 * medians[name]:10.2f} ms{direct:9.2f}x scipy direct{limit:9.1f}x limit")
    print(json.dumps({"times_of_scipy_direct": of_direct, "times_of_limit": of_limit}))


if __name__ == "__main__":
    main()
