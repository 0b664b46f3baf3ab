"""One picture of an animal's head, or a data set of them: what makes a cat is shape; all else comes from the seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from coursekit import arguments
from coursekit.critters import scene
from coursekit.critters.heads import Head
from coursekit.critters.species import SPECIES as _RECIPES

SPECIES: tuple[str, ...] = tuple(_RECIPES)  # the names that all functions here take
_SMALLEST = 32  # pixels; below, eyes are smaller than a pixel


class Part(NamedTuple):
    """The centre of a part in pixels (x to the right, y down, 0 at the edge), and whether it can be seen."""

    x: float
    y: float
    visible: bool


@dataclass(frozen=True, eq=False)
class Critter:
    """A picture and the ground truth about it.

    Attributes
    ----------
    image : ndarray
        uint8 ``[H, W, 3]``, RGB.
    mask : ndarray
        bool ``[H, W]``: the pixels of which at least half shows the animal. Things in front of it are cut out.
    box : tuple of int
        ``(x0, y0, x1, y1)`` in pixels, tight around the mask; x1 and y1 are the first column and row outside.
    parts : dict
        Name to `Part`: ``"muzzle"``, ``"left eye"``, ``"right eye"``; ``"left ear"`` and ``"right ear"`` where the
        species has ears, ``"tongue"`` where it is out. Left is where it is in a picture of an upright head.
    species : str
        One of `SPECIES`.
    """

    image: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int, int]
    parts: dict[str, Part]
    species: str


def draw(
    species: str,
    seed: int | Sequence[int] = 0,
    size: int | tuple[int, int] = 64,
    difficulty: float = 0.5,
    *,
    background: int | None = None,
    natural: bool = False,
    photos: Sequence[str] = scene.PHOTOS,
) -> Critter:
    """Draw one picture; a ValueError or TypeError says which argument is none of those below.

    The same seed gives the same bytes (with one numpy and Pillow), and two species the same scene and colours.

    Parameters
    ----------
    species : str
        One of `SPECIES`.
    seed : int or sequence of int, not negative
    size : int or (int, int)
        Side of a square picture, or height and width, in pixels; at least 32.
    difficulty : float
        0 (large, upright, clear) to 1 (turned, small, off the middle, blurred, noisy, with things in front).
    background : int, optional
        Always this photo behind the animal: 0 is grass, 1 is brick.
    natural : bool
        True: fur and photo in their natural colours. By default colours say nothing of the species.
    photos : sequence of str
        Names (see `data.photo`) for backgrounds and things in front; by default those of the course without a cat.
    """
    check((species,), difficulty)
    height, width = check_size(size)
    key = check_seed(seed)
    # The length keeps (1,) and (1, 0) apart, which numpy would not.
    scenery, shape = (np.random.default_rng((stream, len(key), *key)) for stream in range(2))

    picture = scene.background(scenery, height, width, background, photos, not natural)
    colours = scene.palette(scenery, _RECIPES[species].furs if natural else ())
    head = Head(shape, colours, _RECIPES[species])
    outlines, centres, scale = scene.place(scenery, head, height, width, difficulty)
    layer = scene.rasterize(head, outlines, scale, height, width)
    around = box_of(layer[..., 3] >= 0.5)
    seen = layer[..., 3]
    picture = picture * (1 - seen[..., None]) + scene.shade(scenery, layer, around)
    things = scene.occluders(scenery, height, width, around, difficulty, photos, not natural)
    left = math.prod((1 - cover for _, cover in things), start=np.float32(1))
    if (layer[..., 3] * left).sum() >= 0.7 * layer[..., 3].sum():  # else too little of the animal would be left
        seen = seen * left
        for texture, cover in things:
            picture += (texture - picture) * cover[..., None]
    picture = scene.expose(scenery, picture, difficulty)
    mask = seen >= 0.5
    image = np.clip(picture.round(), 0, 255).astype(np.uint8)
    return Critter(image, mask, box_of(mask), parts_of(centres, mask), species)


def make(
    count: int,
    species: Sequence[str] = ("cat", "dog"),
    seed: int | Sequence[int] = 0,
    size: int | tuple[int, int] = 64,
    difficulty: float = 0.5,
    *,
    shortcut: str | None = None,
    shortcut_rate: float = 1.0,
    natural: bool = False,
    photos: Sequence[str] = scene.PHOTOS,
) -> tuple[np.ndarray, np.ndarray, list[Critter]]:
    """Draw a data set in memory.

    Item i is ``draw(species[i % len(species)], (seed, i), size, difficulty)``, however many items there are.

    Parameters
    ----------
    count : int
        Number of pictures, 0 or more.
    species, seed, size, difficulty, natural, photos
        As for `draw`; different species, whose order gives the labels.
    shortcut : {"background"}, optional
        Each class has a photo of its own behind the animals, which tells the class without the animal.
    shortcut_rate : float
        Share of pictures, 0 to 1, with the photo of their class; the others show that of another class.

    Returns
    -------
    images, labels, truths : ndarray, ndarray, list of Critter
        uint8 ``[count, H, W, 3]``; int64 ``[count]``, index into ``species``; what `draw` returned, as views.
    """
    arguments.whole("count", count, 0)
    check(species, difficulty, shortcut_rate)
    if shortcut not in (None, "background"):
        raise ValueError(f'there is no shortcut {shortcut!r}; take "background", or None for none.')
    height, width = check_size(size)
    start = check_seed(seed)
    labels = np.arange(count, dtype=np.int64) % len(species)
    images = np.empty((count, height, width, 3), dtype=np.uint8)
    truths = []
    for i, label in enumerate(labels.tolist()):
        key = (*start, i)
        behind = _choose_background(label, len(species), shortcut_rate, key) if shortcut else None
        critter = draw(
            species[label], key, (height, width), difficulty, background=behind, natural=natural, photos=photos
        )
        images[i] = critter.image
        truths.append(replace(critter, image=images[i]))
    return images, labels, truths


def check(species: Sequence[str], difficulty: float, shortcut_rate: float = 1.0) -> None:
    """Raise ValueError or TypeError for species and shares that there are not."""
    if isinstance(species, str):
        raise TypeError(f'species must be several names such as ("cat", "dog"), not {species!r}.')
    for name in species:
        if name not in SPECIES:
            raise ValueError(f"there is no species {name!r}. There are: {', '.join(SPECIES)}.")
    for name, value in (("difficulty", difficulty), ("shortcut_rate", shortcut_rate)):
        if not 0 <= value <= 1:  # also refuses NaN
            raise ValueError(f"{name} must be between 0 and 1, not {value}.")


def check_seed(seed: int | Sequence[int]) -> tuple[int, ...]:
    """Return the seed as a tuple; raise TypeError or ValueError if it is none."""
    return tuple(arguments.whole("seed", part, 0) for part in (seed if isinstance(seed, tuple | list) else (seed,)))


def check_size(size: int | Sequence[int], name: str = "size") -> tuple[int, int]:
    """Return the size as two ints; raise TypeError or ValueError if it is none."""
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"{name} must be one or two numbers of pixels, not {size!r}.")
    return arguments.whole(name, sides[0], _SMALLEST), arguments.whole(name, sides[1], _SMALLEST)


def _choose_background(label: int, classes: int, rate: float, key: tuple[int, ...]) -> int:
    rng = np.random.default_rng((3, len(key), *key))
    other = (label + 1 + int(rng.integers(max(classes - 1, 1)))) % classes
    return label if rng.random() < rate else other


def parts_of(centres: Mapping[str, tuple[float, float]], mask: np.ndarray) -> dict[str, Part]:
    """Return the parts whose centres are given; visible are those on the animal's mask ``[H, W]``."""
    height, width = mask.shape
    return {
        name: Part(x, y, bool(0 <= x < width and 0 <= y < height and mask[int(y), int(x)]))
        for name, (x, y) in centres.items()
    }


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the box that is tight around a mask, as ``Critter.box``; of an empty mask four zeros."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
