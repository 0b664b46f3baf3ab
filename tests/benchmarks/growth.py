"""How does time grow with size? The slope of each claim's curve, beside the one expected.

    python tests/benchmarks/growth.py [--repeats 3] [--only NAME ...] [--grading]

Every case runs at four sizes, each double the last; sizes take turns, and the median of a size counts. The slope is
that of a straight line through log(time) against log(size): 1 is twice the time for twice the size, 2 is four times.
Fixed costs make it smaller than expected at small sizes; a slope well above means that something repeats work. Grading
(two minutes) is left out unless asked for. Last line: one JSON object.
"""

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from coursekit import convolution, critters, pretrained, resnet, training, transfer
from coursekit.data import folders

TOLERANCE = 0.25  # a slope this far above the expected one is worth a look


@dataclass(frozen=True)
class Case:
    """What is run, at which sizes, and how its time should grow; ``prepare(size)`` gives what is timed."""

    what: str
    sizes: tuple[int, int, int, int]
    expected: float
    prepare: Callable


def images(count: int, pixels: int = 16) -> TensorDataset:
    return TensorDataset(torch.randn(count, 3, pixels, pixels), torch.arange(count) % 2)


@contextmanager
def correlation(side: int = 512, kernel: int = 7) -> Iterator[Callable]:
    rng = np.random.default_rng(0)
    image, weights = rng.random((side, side)), rng.random((kernel, kernel))
    yield lambda: convolution.correlate2d(image, weights)


@contextmanager
def drawing(count: int = 50, pixels: int = 64) -> Iterator[Callable]:
    yield lambda: critters.make(count, size=pixels)


@contextmanager
def reading(count: int) -> Iterator[Callable]:
    with tempfile.TemporaryDirectory() as folder:
        root = critters.write_folder(folder, {"train": count})
        yield lambda: folders.read(root / "train", 64)


def network(depth: int = 1) -> nn.Module:
    tower = [layer for _ in range(depth) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *tower, *ends)


@contextmanager
def fitting(count: int = 256, pixels: int = 16, depth: int = 1) -> Iterator[Callable]:
    data, model = images(count, pixels), network(depth)
    yield lambda: training.fit(model, data, data, epochs=1, batch_size=32, device="cpu")


@contextmanager
def bare(pixels: int) -> Iterator[Callable]:
    """What `fitting` does, in a plain loop: what grows here, too, is torch's or the system's doing."""
    (x, y), model = images(256, pixels).tensors, network()
    optimizer = torch.optim.Adam(model.parameters())

    def run() -> None:
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            for some in x.split(32):
                model(some)

    yield run


@contextmanager
def featuring(count: int = 32, pixels: int = 64) -> Iterator[Callable]:
    body, data = transfer.backbone(pretrained.vgg16(width=0.25)), images(count, pixels)
    yield lambda: transfer.features(body, data, batch_size=32, device="cpu")


@contextmanager
def tower(depth: int) -> Iterator[Callable]:
    model = nn.Sequential(*(resnet.ResidualBlock(16) for _ in range(depth)))
    batch = torch.randn(8, 16, 16, 16)
    yield lambda: model(batch).sum().backward()


@contextmanager
def grading(count: int) -> Iterator[Callable]:
    from tests.benchmarks.grading import write_class
    from tools.grading import classroom

    root = Path(__file__).parent.parent.parent
    with tempfile.TemporaryDirectory() as folder:
        handed_in = Path(folder, "in")
        handed_in.mkdir()
        write_class(handed_in, count, misbehave=False)
        runs = iter(range(1000))
        yield lambda: classroom.grade(handed_in, "lab01", root, Path(folder, f"out{next(runs)}"), jobs=1)


CASES = [
    Case("correlate2d, side of the image", (256, 512, 1024, 2048), 2, lambda side: correlation(side=side)),
    Case("correlate2d, side of the kernel", (5, 10, 20, 40), 2, lambda side: correlation(kernel=side)),
    Case("drawing critters, pictures", (50, 100, 200, 400), 1, lambda count: drawing(count)),
    Case("drawing critters, side of the picture", (128, 256, 512, 1024), 2, lambda side: drawing(5, pixels=side)),
    Case("reading a folder, images", (100, 200, 400, 800), 1, reading),
    Case("fit, images", (512, 1024, 2048, 4096), 1, lambda count: fitting(count)),
    Case("fit, side of the image", (16, 32, 64, 128), 2, lambda side: fitting(pixels=side)),
    Case("for comparison, a bare loop, side of the image", (16, 32, 64, 128), 2, bare),
    Case("fit, layers", (4, 8, 16, 32), 1, lambda depth: fitting(depth=depth)),
    Case("features, images", (32, 64, 128, 256), 1, lambda count: featuring(count)),
    Case("features, side of the image", (32, 64, 128, 256), 2, lambda side: featuring(pixels=side)),
    Case("residual blocks forward and back, depth", (8, 16, 32, 64), 1, tower),
]
GRADING = Case("grading lab 1, submissions", (4, 8, 16, 32), 1, grading)


def slope(sizes, seconds) -> float:
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def medians(case: Case, repeats: int) -> list[float]:
    times: dict[int, list[float]] = {size: [] for size in case.sizes}
    for turn in range(repeats + 1):
        for size in case.sizes:
            with case.prepare(size) as run, redirect_stdout(io.StringIO()):
                start = time.perf_counter()
                run()
                if turn:  # the first turn warms up
                    times[size].append(time.perf_counter() - start)
    return [statistics.median(values) for values in times.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="words; cases with one of them in their name run")
    parser.add_argument("--grading", action="store_true", help="grading too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = {}
    for case in CASES + [GRADING] * options.grading:
        if options.only and not any(word in case.what for word in options.only):
            continue
        seconds = medians(case, 1 if case is GRADING else options.repeats)
        found = slope(case.sizes, seconds)
        result[case.what] = {
            "sizes": case.sizes,
            "seconds": [round(value, 4) for value in seconds],
            "slope": round(found, 2),
            "last_doubling": round(float(np.log2(seconds[-1] / seconds[-2])), 2),
            "expected": case.expected,
        }
        remark = "  LOOK: grows faster than expected" if found > case.expected + TOLERANCE else ""
        print(f"{case.what:48s} slope {found:5.2f}, expected {case.expected:g}{remark}", flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    main()
