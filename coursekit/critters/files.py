"""Critters as files: a folder of JPEG pictures in class folders, and the ground truth about each of them."""

from __future__ import annotations

import json
import shutil
import uuid
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from coursekit import arguments
from coursekit.critters import drawing
from coursekit.critters.species import SPECIES

_VERSION = 3  # raise it with every change to what a seed draws: folders of another version are then not trusted
_TRUTH = "truth.json"


def write_folder(
    root: str | Path,
    counts: Mapping[str, int],
    species: Sequence[str] = ("cat", "dog"),
    seed: int | Sequence[int] = 0,
    *,
    sides: tuple[int, int] = (64, 160),
    difficulty: float = 0.5,
) -> Path:
    """Write JPEG files as photo collections have them: ``train/cats/cat.0.jpg``, ``train/dogs/dog.0.jpg``, ...

    The file ``truth.json`` holds species, box, parts, seed and size of every picture, for `draw`. The folder appears
    complete or not at all, also where two processes write it; one that the same call wrote is left as it is.

    Parameters
    ----------
    root : path
        The folder, which is returned. If it holds anything else, there is a FileExistsError.
    counts : mapping
        Split to number of pictures, for example ``{"train": 1000, "test": 400}``. Splits share no picture.
    species, seed, difficulty
        As for `critters.make`.
    sides : (int, int)
        Heights and widths are drawn between these, both included, in pixels.
    """
    root = Path(root).expanduser()
    drawing.check(species, difficulty)
    low, high = drawing.check_size(sides, "sides")
    if low > high:
        raise ValueError(f"sides must be (smallest, largest), not {sides!r}.")
    if not isinstance(counts, Mapping) or not counts:
        raise TypeError(f'counts must say how many for each split, such as {{"train": 1000}}, not {counts!r}.')
    for split, count in counts.items():
        arguments.whole(f"counts[{split!r}]", count, len(species))  # a picture of each, at least
    request = {
        "version": _VERSION,
        "counts": {split: int(count) for split, count in counts.items()},
        "species": list(species),
        "seed": list(drawing.check_seed(seed)),
        "sides": [low, high],
        "difficulty": float(difficulty),
    }
    if root.is_file() or (root.is_dir() and any(root.iterdir())):
        _check_written(root, request)
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    building = root.parent / f".{root.name}.{uuid.uuid4().hex}"
    try:
        _write(building, request)
        with suppress(FileNotFoundError):
            root.rmdir()  # Windows does not rename onto a folder, not even an empty one
        building.rename(root)
    except OSError:
        if not (root / _TRUTH).is_file():
            raise
        _check_written(root, request)  # another process was faster
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return root


def _write(root: Path, request: Mapping) -> None:
    files = {}
    species, (low, high) = request["species"], request["sides"]
    for split, count in request["counts"].items():
        for i in range(count):
            name = species[i % len(species)]
            key = (*request["seed"], zlib.crc32(split.encode()), i)
            size = np.random.default_rng((4, len(key), *key)).integers(low, high, 2, endpoint=True).tolist()
            critter = drawing.draw(name, key, size, request["difficulty"])
            path = root / split / SPECIES[name].plural / f"{name}.{i // len(species)}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(critter.image).save(path, quality=90)
            truth = {"species": name, "seed": key, "size": size, "box": critter.box, "parts": critter.parts}
            files[path.relative_to(root).as_posix()] = truth
    record = json.dumps({"request": request, "files": files})
    (root / _TRUTH).write_text(record, encoding="utf-8", newline="\n")


def _check_written(root: Path, request: Mapping) -> None:
    """Raise FileExistsError unless ``root`` holds the pictures that ``request`` asks for."""
    advice = "Delete it, or choose a folder that does not exist."
    try:
        record = json.loads((root / _TRUTH).read_text(encoding="utf-8"))
        there, files = record["request"], record["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise FileExistsError(f"{root} holds something else than critters. {advice}") from None
    other = [f"{name} {there.get(name)!r}" for name, value in request.items() if there.get(name) != value]
    if other:
        raise FileExistsError(f"{root} holds other critters: {', '.join(other)}. {advice}")
    changed = {path.relative_to(root).as_posix() for path in root.rglob("*.jpg")} ^ files.keys()
    if changed:
        raise FileExistsError(f"in {root}, {min(changed)} is missing, or was added. {advice}")
