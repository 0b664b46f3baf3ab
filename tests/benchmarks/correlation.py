"""Correlation: the package against scipy and torch, as ratios within one run.

    python tests/benchmarks/correlation.py [--size 512] [--repeats 5]

Prints a table (median seconds, and how many times scipy's direct method) and, last, one JSON object.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from scipy import signal

from coursekit import convolution


def torch_correlate(image, kernel):
    return torch.nn.functional.conv2d(image, kernel)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="pixels along each side of the image")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    image = rng.random((options.size, options.size))
    methods = {
        "scipy direct": lambda x, k: signal.correlate2d(x, k, mode="valid"),
        "package": convolution.correlate2d,
        "scipy Fourier": lambda x, k: signal.oaconvolve(x, k[::-1, ::-1], mode="valid"),
        "torch float32": lambda x, k: torch_correlate(
            *(torch.tensor(a, dtype=torch.float32)[None, None] for a in (x, k))
        )[0, 0].numpy(),
    }
    report: dict = {}
    for size in (3, 7, 15, 31):
        kernel = rng.random((size, size))
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for _ in range(options.repeats):  # interleaved, so that a busy machine slows all of them
            for name, method in methods.items():
                start = time.perf_counter()
                result = method(image, kernel)
                seconds[name].append(time.perf_counter() - start)
                assert result.shape == (options.size - size + 1,) * 2
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        report[str(size)] = {name: round(value / medians["scipy direct"], 3) for name, value in medians.items()}
        cells = "   ".join(f"{n} {1e3 * t:8.2f} ms ({report[str(size)][n]:6.2f}x)" for n, t in medians.items())
        print(f"K = {size:2d}   {cells}")
    print(json.dumps({"benchmark": "correlation", "times_of_scipy_direct": report}))


if __name__ == "__main__":
    main()
