"""Pictures per second: drawing critters against reading as many JPEG files, in the same run.

    python tests/benchmarks/critters.py [--pictures 1000] [--size 64] [--rounds 3]

Reading files is what one would do instead, with Pillow, one after the other, into one array: files of the size that is
wanted, and files of the size of photos (375x500), scaled down. The three take turns; the median round counts. One
process, one thread. Files are read once before, so that nobody waits for the disk. The last line is one JSON object.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from coursekit import critters


def read(files: list[Path], size: int) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize((size, size))) for file in files])


def write(folder: Path, pictures: int, size: int | tuple[int, int]) -> list[Path]:
    """Write JPEG files; 100 different pictures will do for the time that it takes to read them."""
    images = [Image.fromarray(critters.draw("cat", i, size).image) for i in range(min(pictures, 100))]
    folder.mkdir()
    files = [folder / f"{i}.jpg" for i in range(pictures)]
    for i, file in enumerate(files):
        images[i % 100].save(file, quality=90)
    return files


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    first = seconds(critters.draw, "cat", 0, options.size)  # loads photos
    with tempfile.TemporaryDirectory() as folder:
        small = write(Path(folder) / "small", options.pictures, options.size)
        photos = write(Path(folder) / "photos", options.pictures, (375, 500))
        contenders = {
            "drawing critters": lambda: critters.make(options.pictures, size=options.size),
            "reading JPEG files of that size": lambda: read(small, options.size),
            "reading JPEG files of 375x500": lambda: read(photos, options.size),
        }
        read(small, options.size)
        read(photos, options.size)
        rounds = [[seconds(run) for run in contenders.values()] for _ in range(options.rounds)]
    drawing, *reading = medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    print(f"first picture, with loading photos: {first * 1000:.0f} ms")
    for name, took in zip(contenders, medians, strict=True):
        print(f"{name:32} {options.pictures / took:7.0f} pictures/s {took:7.2f} s for {options.pictures}")
    result = {
        "pictures": options.pictures,
        "size": options.size,
        "seconds": round(drawing, 3),
        "pictures_per_second": round(options.pictures / drawing, 1),
        "time_over_reading_small_files": round(drawing / reading[0], 2),
        "time_over_reading_photos": round(drawing / reading[1], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
