"""Critters as files: a folder of JPEG pictures in class folders, and the truth about each of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from coursekit.critters import drawing as critters
from coursekit.critters.species import SPECIES

_VERSION = 1  # raise it with every change to what a seed draws: folders of another version are then not trusted
_TRUTH = "truth.json"


def write_folder(
    root: str | Path,
    counts: Mapping[str, int],
    species: Sequence[str] = ("cat", "dog"),
    seed: int | Sequence[int] = 0,
    *,
    sides: tuple[int, int] = (64, 160),
    difficulty: float = 0.5,
    shortcut: str | None = None,
    shortcut_rate: float = 1.0,
) -> Path:
    """Write JPEG files as photo collections have them: ``train/cats/cat.0.jpg``, ``train/dogs/dog.0.jpg``, ...

    The file ``truth.json`` beside the splits holds box, parts, seed and size of every picture; `truth` gives back its
    mask. The folder appears complete or not at all, also where two processes write it at the same time. Where it is
    there already, complete and from the same arguments, nothing is written.

    Parameters
    ----------
    root : path
        A folder that does not exist, is empty, or was written by the same call.
    counts : mapping
        Split to number of pictures, for example ``{"train": 1000, "test": 400}``. Splits share no picture.
    species, seed, difficulty, shortcut, shortcut_rate
        As for `critters.make`.
    sides : (int, int)
        Heights and widths are drawn between these, both included, in pixels.

    Returns
    -------
    Path
        ``root``.

    Raises
    ------
    FileExistsError
        If ``root`` holds something else, or its files were changed.
    ValueError, TypeError
        If an argument is none of the above.
    """
    root = Path(root)
    critters.check(species, difficulty, shortcut, shortcut_rate)
    low, high = critters.check_size(sides, "sides")
    if low > high:
        raise ValueError(f"sides must be (smallest, largest), got {sides!r}")
    if not isinstance(counts, Mapping) or not counts:
        raise TypeError(f'counts must say how many for each split, such as {{"train": 1000}}; got {counts!r}')
    for split, count in counts.items():
        if not (isinstance(split, str) and re.fullmatch(r"[\w-]+", split)):
            raise ValueError(f"a split must be a folder name of letters, digits, - and _, got {split!r}")
        if critters.check_int(f"counts[{split!r}]", count) < len(species):
            raise ValueError(f"counts[{split!r}] is {count}: too few for one picture of each of {len(species)} species")
    request = {
        "version": _VERSION,
        "counts": {split: int(count) for split, count in counts.items()},
        "species": list(species),
        "seed": list(critters.check_seed(seed)),
        "sides": [low, high],
        "difficulty": float(difficulty),
        "shortcut": shortcut,
        "shortcut_rate": float(shortcut_rate),
    }
    if _holds_something(root):
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


def truth(path: str | Path) -> critters.Critter:
    """Return the truth about a picture that `write_folder` wrote, drawn again: the image is that before JPEG.

    Raises
    ------
    FileNotFoundError
        If there is no ``truth.json`` two folders above the file's own.
    ValueError
        If that does not list the picture, or comes from another version of the generator.
    """
    path = Path(os.path.abspath(path))
    root = path.parent.parent.parent
    if not (root / _TRUTH).is_file():
        raise FileNotFoundError(f"no {_TRUTH} in {root}: {path.name} was not written by critterfiles.write_folder")
    record = json.loads((root / _TRUTH).read_text(encoding="utf-8"))
    if record["request"]["version"] != _VERSION:
        raise ValueError(f"{root} comes from another version of the generator; delete the folder and write it again")
    file = record["files"].get(path.relative_to(root).as_posix())
    if file is None:
        raise ValueError(f"{path.name} is not listed in {root / _TRUTH}")
    return _draw_again(file, record["request"])


def _holds_something(path: Path) -> bool:
    try:
        return any(path.iterdir())
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True


def _draw_again(file: Mapping, request: Mapping) -> critters.Critter:
    return critters.draw(
        file["species"], file["seed"], tuple(file["size"]), request["difficulty"], shortcut=file["shortcut"]
    )


def _write(root: Path, request: Mapping) -> None:
    files = {}
    species, (low, high) = request["species"], request["sides"]
    for split, count in request["counts"].items():
        for i in range(count):
            number, label = divmod(i, len(species))
            name = species[label]
            key = (*request["seed"], zlib.crc32(split.encode()), i)
            size = np.random.default_rng((4, len(key), *key)).integers(low, high, 2, endpoint=True).tolist()
            cue = critters.choose_cue(request["shortcut"], label, len(species), request["shortcut_rate"], key)
            file = {"species": name, "seed": key, "size": size, "shortcut": cue}
            critter = _draw_again(file, request)
            path = root / split / SPECIES[name].plural / f"{name}.{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(critter.image).save(path, quality=90)
            parts = {part: (round(x, 2), round(y, 2), visible) for part, (x, y, visible) in critter.parts.items()}
            file |= {"box": critter.box, "patch": critter.patch, "parts": parts, "crc32": zlib.crc32(path.read_bytes())}
            files[path.relative_to(root).as_posix()] = file
    record = json.dumps({"request": request, "files": files})
    (root / _TRUTH).write_text(record, encoding="utf-8", newline="\n")


def _check_written(root: Path, request: Mapping) -> None:
    """Raise FileExistsError unless ``root`` holds exactly what ``request`` asks for."""
    advice = "delete it, or choose a folder that does not exist"
    try:
        record = json.loads((root / _TRUTH).read_text(encoding="utf-8"))
        there, files = dict(record["request"]), dict(record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise FileExistsError(f"{root} holds something else than critters; {advice}") from None
    other = [
        f"{name} {there.get(name)!r} instead of {value!r}"
        for name, value in request.items()
        if there.get(name) != value
    ]
    if other:
        raise FileExistsError(f"{root} holds other critters: {'; '.join(other)}. Please {advice}")
    for name, file in files.items():
        path = root / name
        if not path.is_file() or zlib.crc32(path.read_bytes()) != file["crc32"]:
            raise FileExistsError(f"in {root}, {name} is missing or was changed; {advice}")
    extra = sorted({p.relative_to(root).as_posix() for p in root.rglob("*.jpg")} - files.keys())
    if extra:
        raise FileExistsError(f"in {root}, {extra[0]} does not belong to it; {advice}")
