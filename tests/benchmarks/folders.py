"""Images per second: `folders.read` against torchvision's ImageFolder and a DataLoader, in the same run.

    python tests/benchmarks/folders.py [--root FOLDER] [--size 64] [--epochs 3] [--images 1000]

An epoch gives every image once, as float32 ``[3, size, size]`` in 0..1, in batches of 64. The first epoch of
`folders.read` includes reading the folder; each later one is the mean of several. The files are read once before, so
that nobody has to wait for the disk. The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, Resize, ToTensor

from coursekit.data import folders


def generate(root: Path, images: int) -> Path:
    """Write smooth random JPEGs of about the size of the Cats vs Dogs photos (500x375 at most)."""
    rng = np.random.default_rng(0)
    for i in range(images):
        folder = root / ("cats", "dogs")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        width, height = int(rng.integers(200, 500)), int(rng.integers(200, 375))
        small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        noise = rng.normal(0, 6, (height, width, 3))
        pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.jpg", quality=90)
    return root


def epoch(loader: DataLoader) -> None:
    for images, _ in loader:
        assert images.dtype == torch.float32


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def ours(root: Path, size: int, epochs: int) -> list[float]:
    start = time.perf_counter()
    loader = DataLoader(folders.read(root, size), 64, shuffle=True)
    epoch(loader)
    first = time.perf_counter() - start
    return [first, *(seconds(epoch, loader) for _ in range(5 * epochs))]


def theirs(root: Path, size: int, epochs: int, workers: int) -> list[float]:
    start = time.perf_counter()
    dataset = ImageFolder(root, Compose([Resize((size, size)), ToTensor()]))
    loader = DataLoader(dataset, 64, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    epoch(loader)
    first = time.perf_counter() - start
    return [first, *(seconds(epoch, loader) for _ in range(epochs))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="a folder of class folders; generated JPEGs without it")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3, help="later epochs")
    parser.add_argument("--images", type=int, default=1000, help="how many to generate")
    parser.add_argument("--rounds", type=int, default=3, help="in turns; medians count")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        root = options.root or generate(Path(temporary), options.images)
        dataset = folders.read(root, options.size)
        print(dataset)
        cases = {
            "folders.read": lambda: ours(root, options.size, options.epochs),
            "ImageFolder, 0 workers": lambda: theirs(root, options.size, options.epochs, 0),
            "ImageFolder, 2 workers": lambda: theirs(root, options.size, options.epochs, 2),
        }
        rounds = [{name: case() for name, case in cases.items()} for _ in range(options.rounds)]
    speed = {}
    print(f"\n{'images per second':<24}{'first epoch':>14}{'later epochs':>14}")
    for name in cases:
        first = len(dataset) / statistics.median(times[name][0] for times in rounds)
        later = len(dataset) / statistics.median(second for times in rounds for second in times[name][1:])
        speed[name] = {"first": round(first), "later": round(later)}
        print(f"{name:<24}{first:>14,.0f}{later:>14,.0f}")
    mine, *others = speed
    ratios = {
        other: {when: round(speed[mine][when] / speed[other][when], 2) for when in ("first", "later")}
        for other in others
    }
    for other, ratio in ratios.items():
        print(
            f"against {other}: {ratio['first']:.1f} times as fast in the first epoch, {ratio['later']:.0f} times later"
        )
    print(
        json.dumps(
            {
                "images": len(dataset),
                "size": options.size,
                "photos": "given" if options.root else "generated",
                "cores": os.cpu_count(),
                "images_per_second": speed,
                "times_as_fast": ratios,
            }
        )
    )


if __name__ == "__main__":
    main()
