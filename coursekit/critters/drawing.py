"""Critters: small pictures of animals' heads over real photos, drawn from a seed, with the truth about each.

Cats and dogs are the task of the course, the other species what networks are pretrained on. What makes a cat is shape
alone (ears, muzzle, whiskers): colours, backgrounds, light and pose come from the seed and not from the species, unless
natural colours are asked for. Since the pictures are drawn, the mask, the box and the places of eyes, ears and muzzle
are known exactly.

The same seed gives the same bytes (with the same versions of numpy and Pillow).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from numbers import Real
from typing import NamedTuple

import numpy as np

from coursekit.critters import scene
from coursekit.critters.heads import Artist
from coursekit.critters.species import NATURAL_FURS
from coursekit.critters.species import SPECIES as _RECIPES

__all__ = ["SPECIES", "Critter", "Part", "draw", "make"]

SPECIES: tuple[str, ...] = tuple(_RECIPES)  # the names that all functions here take

_SMALLEST = 32  # pixels; below, eyes are smaller than a pixel
_SHORTCUTS = ("patch", "background")
_PATCHES = ((230, 40, 40), (40, 90, 230), (240, 200, 30), (30, 170, 80), (150, 60, 190), (240, 130, 20))


class Part(NamedTuple):
    """The centre of a part in pixels (x to the right, y down, 0 at the edge), and whether it can be seen."""

    x: float
    y: float
    visible: bool


@dataclass(frozen=True, eq=False)
class Critter:
    """A picture and the truth about it.

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
    patch : tuple of int or None
        The box of the planted patch, if there is one.
    """

    image: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int, int]
    parts: dict[str, Part]
    species: str
    patch: tuple[int, int, int, int] | None = None


def draw(
    species: str,
    seed: int | Sequence[int] = 0,
    size: int | tuple[int, int] = 64,
    difficulty: float = 0.5,
    *,
    animal: bool = True,
    effects: bool = True,
    shortcut: tuple[str, int] | None = None,
    natural: bool = False,
    photos: Sequence[str] | None = None,
) -> Critter:
    """Draw one picture.

    Two species with the same seed give the same scene: background, colours, pose, light and noise agree.

    Parameters
    ----------
    species : str
        One of `SPECIES`.
    seed : int or sequence of int
        Not negative.
    size : int or (int, int)
        Side of a square picture, or height and width, in pixels; at least 32.
    difficulty : float
        0 (large, upright, clear) to 1: how much the head turns, how small and how far off the middle it may be, how
        strong light, blur and noise are, and how often something stands in front.
    animal : bool
        False gives the same picture without the animal. The mask is then empty and the box (0, 0, 0, 0).
    effects : bool
        False leaves out light, blur, noise and things in front.
    shortcut : (str, int), optional
        Plant a cue: ``("patch", k)`` is a small square of the k-th colour near a corner, ``("background", k)`` always
        the k-th photo (0 is grass, 1 is brick). See `make`.
    natural : bool
        True gives the animal a fur that its species has, and leaves the photo its colours. By default colours say
        nothing of the species.
    photos : sequence of str, optional
        Names of the photos (see `photo_names`) that backgrounds and things in front are cut from. By default the
        course's colour photos and textures, but for the cat.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of the above; the message says which values there are.
    """
    if shortcut is not None and not (isinstance(shortcut, Sequence) and len(shortcut) == 2):
        raise TypeError(f'shortcut must be a pair such as ("patch", 0), got {shortcut!r}')
    kind, cue = shortcut or (None, 0)
    cue = check_int("the number of the shortcut", cue)
    check(species=(species,), difficulty=difficulty, shortcut=kind)
    height, width = check_size(size)
    key = check_seed(seed)
    # The length keeps (1,) and (1, 0) apart, which numpy would not.
    scenery, shape, planted = (np.random.default_rng((stream, len(key), *key)) for stream in range(3))

    if photos is not None and (isinstance(photos, str) or not photos):
        raise ValueError(f"photos must be a list of one or more names of photos, got {photos!r}")
    look = (photos or scene.PHOTOS, not natural)
    picture = scene.background(scenery, height, width, cue if kind == "background" else None, *look)
    colours = scene.palette(scenery, *([NATURAL_FURS[species]] if natural else []))
    pose = scene.Pose(scenery, difficulty)
    head = Artist(shape, colours).draw(_RECIPES[species])
    outlines, centres, scale = pose.place(head, height, width)
    layer = scene.rasterize(head, outlines, scale, height, width)
    around = _box_of(layer[..., 3] >= 0.5)
    lit = scene.shade(scenery, layer, around)
    seen = layer[..., 3] * bool(animal)
    picture = picture * (1 - seen[..., None]) + lit * bool(animal)
    if effects:
        things = scene.occluders(scenery, height, width, around, difficulty, *look)
        left = math.prod((1 - cover for _, cover in things), start=np.float32(1))
        if (layer[..., 3] * left).sum() >= 0.7 * layer[..., 3].sum():  # else too little of the animal would be left
            seen = seen * left
            for texture, cover in things:
                picture += (texture - picture) * cover[..., None]
    patch = None
    if kind == "patch":
        patch = x0, y0, x1, y1 = _place_patch(planted, height, width)
        picture[y0:y1, x0:x1] = _PATCHES[cue % len(_PATCHES)]
        seen[y0:y1, x0:x1] = 0
    if effects:
        picture = scene.expose(scenery, picture, difficulty)
    mask = seen >= 0.5

    def visible(x: float, y: float) -> bool:
        return bool(0 <= x < width and 0 <= y < height and mask[int(y), int(x)])

    parts = {name: Part(x, y, visible(x, y)) for name, (x, y) in centres.items()}
    image = np.clip(picture.round(), 0, 255).astype(np.uint8)
    return Critter(image, mask, _box_of(mask), parts, species, patch)


def _place_patch(rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    side, margin = round(0.18 * min(height, width)), 2
    right, low = rng.random(2) < 0.5
    x = width - side - margin if right else margin
    y = height - side - margin if low else margin
    return x, y, x + side, y + side


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
    photos: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray, list[Critter]]:
    """Draw a data set in memory.

    Item i is of species ``i % len(species)`` and is ``draw(species, (seed, i), size, difficulty)``, however many
    items there are: the first 100 of 1,000 are the 100 of ``make(100)``, and classes are balanced in each.

    Parameters
    ----------
    count : int
        Number of pictures, 0 or more.
    species, seed, size, difficulty
        As for `draw`; different species, whose order gives the labels.
    shortcut : {"patch", "background"}, optional
        Plant a cue that tells the class without the animal.
    shortcut_rate : float
        Share of pictures, 0 to 1, whose cue is that of their class; the others show the cue of another class.
    natural, photos
        As for `draw`.

    Returns
    -------
    images : ndarray
        uint8 ``[count, H, W, 3]``.
    labels : ndarray
        int64 ``[count]``: index into ``species``.
    truths : list of Critter
        What `draw` returned; each ``image`` is a view of ``images``.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of the above.
    """
    if check_int("count", count) < 0:
        raise ValueError(f"count must be 0 or more, got {count}")
    check(species, difficulty, shortcut, shortcut_rate)
    height, width = check_size(size)
    seed = check_seed(seed)
    labels = np.arange(count, dtype=np.int64) % len(species)
    images = np.empty((count, height, width, 3), dtype=np.uint8)
    truths = []
    for i, label in enumerate(labels.tolist()):
        key = (*seed, i)
        cue = choose_cue(shortcut, label, len(species), shortcut_rate, key)
        critter = draw(species[label], key, (height, width), difficulty, shortcut=cue, natural=natural, photos=photos)
        images[i] = critter.image
        truths.append(replace(critter, image=images[i]))
    return images, labels, truths


# What follows serves `critterfiles` too.


def choose_cue(
    shortcut: str | None, label: int, classes: int, rate: float, key: tuple[int, ...]
) -> tuple[str, int] | None:
    """Choose the cue of one picture: that of its class with probability ``rate``, else of another class."""
    if shortcut is None:
        return None
    rng = np.random.default_rng((3, len(key), *key))
    other = (label + 1 + int(rng.integers(max(classes - 1, 1)))) % classes
    return shortcut, label if rng.random() < rate else other


def check(
    species: Sequence[str], difficulty: float = 0.5, shortcut: str | None = None, shortcut_rate: float = 1.0
) -> None:
    """Raise ValueError or TypeError for arguments that `draw` and `make` do not know."""
    if isinstance(species, str) or not isinstance(species, Sequence):
        raise TypeError(f'species must be a sequence of names such as ("cat", "dog"), got {species!r}')
    for name in species:
        if name not in SPECIES:
            close = get_close_matches(str(name), SPECIES, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"there is no species {name!r}.{hint} There are: {', '.join(SPECIES)}.")
    if not species or len(set(species)) < len(species):
        raise ValueError(f"species must name at least one, and each only once; got {tuple(species)!r}")
    if shortcut not in (None, *_SHORTCUTS):
        raise ValueError(f"there is no shortcut {shortcut!r}; there are: {', '.join(_SHORTCUTS)}, or None for none")
    for name, value in (("difficulty", difficulty), ("shortcut_rate", shortcut_rate)):
        if not isinstance(value, Real):
            raise TypeError(f"{name} must be a number between 0 and 1, got {value!r}")
        if not 0 <= value <= 1:  # also refuses NaN
            raise ValueError(f"{name} must be between 0 and 1, got {value}")


def check_int(name: str, value: object) -> int:
    """Return ``value`` as an int; raise TypeError if it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None


def check_seed(seed: int | Sequence[int]) -> tuple[int, ...]:
    """Return the seed as a tuple; raise TypeError or ValueError if it is none."""
    several = isinstance(seed, Sequence) and not isinstance(seed, str)
    key = tuple(check_int("seed", part) for part in (seed if several else (seed,)))
    if not key or min(key) < 0:
        raise ValueError(f"seed must be 0 or more, or several such numbers; got {seed!r}")
    return key


def check_size(size: int | Sequence[int], name: str = "size") -> tuple[int, int]:
    """Return the size as two ints; raise TypeError or ValueError if it is none."""
    several = isinstance(size, Sequence) and not isinstance(size, str)
    sides = tuple(check_int(name, side) for side in (size if several else (size, size)))
    if len(sides) != 2:
        raise ValueError(f"{name} must be one or two numbers of pixels, got {size!r}")
    if min(sides) < _SMALLEST:
        raise ValueError(f"{name} must be at least {_SMALLEST} pixels, got {size!r}")
    return sides


def _box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
