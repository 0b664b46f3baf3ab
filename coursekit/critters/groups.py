"""Several animals in one picture, some in front of others, and the ground truth about each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coursekit import arguments
from coursekit.critters import drawing, scene
from coursekit.critters.drawing import Part
from coursekit.critters.heads import Head
from coursekit.critters.species import SPECIES

_LEAST_SEEN, _LEAST_INSIDE = 0.4, 0.6  # of each animal: not behind others; within the picture
_SMALLEST = 20  # pixels, of the square that a head is fitted into
_TRIES = 60


@dataclass(frozen=True, eq=False)
class Animal:
    """One animal of a group.

    Attributes
    ----------
    species : str
        One of `SPECIES`.
    mask : ndarray
        bool ``[H, W]``: its pixels that are seen; those behind another animal are not among them.
    box : tuple of int
        ``(x0, y0, x1, y1)`` in pixels, tight around the mask; x1 and y1 are the first column and row outside.
    parts : dict
        Name to `Part`, as in `Critter`; a part behind another animal is not visible.
    seen : float
        Share of its pixels in the picture that no other animal hides, 0 to 1.
    """

    species: str
    mask: np.ndarray
    box: tuple[int, int, int, int]
    parts: dict[str, Part]
    seen: float


@dataclass(frozen=True, eq=False)
class Group:
    """A picture, uint8 ``[H, W, 3]`` in RGB, and its animals from back to front."""

    image: np.ndarray
    animals: tuple[Animal, ...]


def draw_group(
    species: Sequence[str],
    seed: int | Sequence[int] = 0,
    size: int | tuple[int, int] = 128,
    difficulty: float = 0.5,
    *,
    natural: bool = False,
    photos: Sequence[str] = scene.PHOTOS,
) -> Group:
    """Draw one picture with an animal for each name in ``species``, from back to front. The same seed, the same bytes.

    Two fifths of each animal, at least, can be seen in front of the others. At most two fifths are cut off by the
    border. No other things stand in front.

    Parameters
    ----------
    species : sequence of str
        Names from `SPECIES`, in any order and as often as wanted: one for each animal.
    seed, size, natural, photos
        As for `critters.draw`.
    difficulty : float
        0 (large, upright, clear) to 1 (some small, turned, blurred, noisy).

    Raises
    ------
    ValueError, TypeError
        As for `critters.draw`; also if the picture has no room for so many.
    """
    drawing.check(species, difficulty)
    height, width = drawing.check_size(size)
    key = drawing.check_seed(seed)
    scenery, shape = (np.random.default_rng((stream, len(key), *key)) for stream in range(5, 7))
    picture = scene.background(scenery, height, width, None, photos, not natural)
    covers: list[np.ndarray] = []  # of each animal, what others leave of it
    pixels: list[int] = []  # that it would have alone
    placed = []
    for name in species:
        head = Head(shape, scene.palette(scenery, SPECIES[name].furs if natural else ()), SPECIES[name])
        layer, parts = _find_room(scenery, head, (height, width), difficulty, covers, pixels)
        around = drawing.box_of(layer[..., 3] >= 0.5)
        picture = picture * (1 - layer[..., 3:]) + scene.shade(scenery, layer, around)
        covers = [*(_left(cover, layer) for cover in covers), layer[..., 3]]
        pixels.append(_count(layer[..., 3]))
        placed.append(parts)
    image = np.clip(scene.expose(scenery, picture, difficulty).round(), 0, 255).astype(np.uint8)
    animals = []
    for name, parts, cover, alone in zip(species, placed, covers, pixels, strict=True):
        mask = cover >= 0.5
        found = drawing.parts_of(parts, mask)
        animals.append(Animal(name, mask, drawing.box_of(mask), found, _count(cover) / alone))
    return Group(image, tuple(animals))


def make_groups(
    count: int,
    species: Sequence[str] = ("cat", "dog"),
    seed: int | Sequence[int] = 0,
    size: int | tuple[int, int] = 128,
    difficulty: float = 0.5,
    *,
    animals: tuple[int, int] = (1, 4),
    natural: bool = False,
    photos: Sequence[str] = scene.PHOTOS,
) -> list[Group]:
    """Draw a data set in memory: so many pictures, each with a random number of animals of random species.

    Picture i depends on ``(seed, i)`` alone, however many pictures there are.

    Parameters
    ----------
    count : int
        Number of pictures, 0 or more.
    animals : (int, int)
        The fewest and the most animals in a picture.
    species, seed, size, difficulty, natural, photos
        As for `draw_group`.
    """
    arguments.whole("count", count, 0)
    drawing.check(species, difficulty)
    fewest, most = (arguments.whole("animals", number, 0) for number in animals)
    if not species or fewest > most:
        raise ValueError(f"animals must be (fewest, most) of some species, not {animals!r} of {species!r}.")
    start = drawing.check_seed(seed)
    groups = []
    for i in range(count):
        rng = np.random.default_rng((7, len(start) + 1, *start, i))
        names = [species[int(k)] for k in rng.integers(len(species), size=rng.integers(fewest, most + 1))]
        groups.append(draw_group(names, (*start, i), size, difficulty, natural=natural, photos=photos))
    return groups


def _find_room(
    rng: np.random.Generator,
    head: Head,
    size: tuple[int, int],
    difficulty: float,
    covers: list[np.ndarray],
    pixels: list[int],
) -> tuple[np.ndarray, dict[str, tuple[float, float]]]:
    """Place one more head in front of the others so that each can be told: its layer, and its parts in pixels."""
    height, width = size
    frame = np.array([width, height])
    for tries in range(_TRIES):
        share = rng.uniform(0.6 - 0.6 * difficulty, 0.65) * (1 - 0.5 * tries / _TRIES)
        side = max(_SMALLEST, round(share * frame.min()))
        beyond = 0.3 * difficulty * side
        corner = rng.uniform(-beyond, frame - side + beyond)
        outlines, centres, scale = scene.place(rng, head, side, side, difficulty)
        outlines = [outline + corner for outline in outlines]
        points = np.concatenate(outlines)
        low, high = points.min(axis=0), points.max(axis=0)
        inside = np.clip(np.minimum(high, frame) - np.maximum(low, 0), 0, None) / (high - low)
        if inside.prod() < _LEAST_INSIDE:
            continue
        layer = scene.rasterize(head, outlines, scale, height, width)
        left = [_count(_left(cover, layer)) for cover in covers]
        if all(seen >= _LEAST_SEEN * alone for seen, alone in zip(left, pixels, strict=True)):
            return layer, {name: (x + corner[0], y + corner[1]) for name, (x, y) in centres.items()}
    raise ValueError(f"a picture of {height} x {width} pixels has no room for {len(covers) + 1} animals; take fewer.")


def _left(cover: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Return what a new layer leaves of an animal behind it."""
    return cover * (1 - layer[..., 3])


def _count(cover: np.ndarray) -> int:
    return int((cover >= 0.5).sum())
