"""Species as recipes over shared parts, so that what a network learns on foxes serves it on cats; the parts' outlines.

No dog has what defines a cat (pointed ears, whiskers, stripes), no cat a dog's hanging or folded ears, or its tongue.
Their muzzles differ, too. Eyes, other markings, head shapes and colours are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Range = tuple[float, float]
_COATS = {"plain": 4, "blaze": 2, "patch": 2, "stripes": 2, "half": 1.5}


@dataclass(frozen=True)
class Species:
    """A recipe: weights for each kind of ``ears``, ``muzzle``, ``eyes``, ``coat``; chances; ranges in head units.

    ``taper`` above 0 makes the lower half of the head wider than the upper, below 0 narrower. ``extras`` are drawn on
    every animal of the species. ``furs`` are the hue, saturation and value of fur in natural colours.
    """

    plural: str
    ears: Mapping[str, float]
    muzzle: Mapping[str, float]
    eyes: Mapping[str, float]
    ear_size: Range = (0.9, 1.1)
    width: Range = (0.9, 1.05)
    height: Range = (0.85, 1.0)
    taper: Range = (-0.1, 0.1)
    coat: Mapping[str, float] = field(default_factory=lambda: _COATS)
    whiskers: float = 0.0
    tongue: float = 0.0
    extras: tuple[str, ...] = ()
    furs: tuple[tuple[float, float, float], ...] = ()


_NARROW, _LONG = (0.72, 0.85), (0.95, 1.05)

# fmt: off
SPECIES: dict[str, Species] = {
    "cat": Species("cats", {"pointed": 1}, {"puffs": 1}, {"slit": 60, "round": 40},
        ear_size=(0.8, 1.15), taper=(-0.18, 0.05), whiskers=1.0,
        furs=((0.08, 0.55, 0.80), (0.08, 0.10, 0.55), (0.07, 0.20, 0.25))),
    "dog": Species("dogs", {"floppy": 70, "folded": 30}, {"bulb": 1}, {"round": 60, "dot": 40},
        ear_size=(0.8, 1.15), taper=(-0.18, 0.05), coat={**_COATS, "stripes": 0}, tongue=0.5,
        furs=((0.08, 0.50, 0.75), (0.06, 0.55, 0.40), (0.10, 0.15, 0.90))),
    "bat": Species("bats", {"pointed": 1}, {"disc": 60, "puffs": 40}, {"dot": 70, "round": 30},
        ear_size=(1.2, 1.5), width=(0.85, 0.95), taper=(-0.3, -0.15), extras=("teeth",), furs=((0.05, 0.40, 0.30),)),
    "bear": Species("bears", {"round": 1}, {"bulb": 1}, {"dot": 60, "round": 40},
        ear_size=(0.7, 0.95), tongue=0.2, furs=((0.06, 0.60, 0.45),)),
    "cow": Species("cows", {"side": 1}, {"broad": 1}, {"round": 50, "dot": 50},
        width=_NARROW, height=_LONG, tongue=0.3, extras=("horns",), furs=((0.05, 0.60, 0.45), (0.08, 0.10, 0.90))),
    "fox": Species("foxes", {"pointed": 1}, {"pointed": 1}, {"slit": 50, "round": 30, "dot": 20},
        ear_size=(0.95, 1.25), taper=(-0.45, -0.3), whiskers=0.4, tongue=0.1, extras=("cheeks",),
        furs=((0.06, 0.80, 0.88),)),
    "frog": Species("frogs", {"none": 1}, {"wide": 1}, {"bulge": 1},
        width=(1.05, 1.2), height=(0.7, 0.8), taper=(0.05, 0.15), tongue=0.3, furs=((0.29, 0.65, 0.65),)),
    "goat": Species("goats", {"floppy": 60, "side": 40}, {"pointed": 1}, {"slit": 50, "round": 50},
        ear_size=(0.7, 0.95), width=_NARROW, height=_LONG, taper=(-0.3, -0.15), extras=("horns",),
        furs=((0.10, 0.12, 0.85),)),
    "kangaroo": Species("kangaroos", {"long": 70, "side": 30}, {"bulb": 1}, {"dot": 50, "round": 50},
        ear_size=(0.75, 0.9), width=_NARROW, height=_LONG, tongue=0.1, furs=((0.08, 0.45, 0.70),)),
    "koala": Species("koalas", {"round": 1}, {"spoon": 1}, {"dot": 70, "round": 30},
        ear_size=(1.15, 1.45), furs=((0.60, 0.08, 0.62),)),
    "lion": Species("lions", {"round": 1}, {"puffs": 1}, {"slit": 40, "round": 60},
        ear_size=(0.6, 0.8), whiskers=0.9, tongue=0.15, extras=("mane",), furs=((0.11, 0.60, 0.85),)),
    "mouse": Species("mice", {"round": 1}, {"pointed": 1}, {"dot": 80, "round": 20},
        ear_size=(1.2, 1.5), width=(0.8, 0.95), taper=(-0.4, -0.2), whiskers=0.95, furs=((0.60, 0.05, 0.55),)),
    "owl": Species("owls", {"tuft": 1}, {"beak": 1}, {"ring": 1},
        furs=((0.08, 0.50, 0.50),)),
    "panda": Species("pandas", {"round": 1}, {"bulb": 60, "puffs": 40}, {"round": 50, "dot": 50},
        ear_size=(0.75, 0.95), width=(1.0, 1.1), extras=("eye patches",), furs=((0.00, 0.00, 0.92),)),
    "pig": Species("pigs", {"folded": 50, "pointed": 30, "floppy": 20}, {"disc": 1}, {"dot": 60, "round": 40},
        ear_size=(0.7, 0.9), furs=((0.97, 0.35, 0.95),)),
    "rabbit": Species("rabbits", {"long": 75, "floppy": 25}, {"puffs": 1}, {"round": 50, "dot": 50},
        ear_size=(0.95, 1.2), width=(0.8, 0.95), whiskers=0.7, extras=("teeth",), furs=((0.09, 0.25, 0.75),)),
    "raccoon": Species("raccoons", {"pointed": 60, "round": 40}, {"pointed": 60, "bulb": 40}, {"round": 50, "dot": 50},
        ear_size=(0.6, 0.85), width=(0.95, 1.1), taper=(-0.35, -0.15), whiskers=0.6, extras=("mask",),
        furs=((0.08, 0.08, 0.45),)),
    "seal": Species("seals", {"none": 1}, {"puffs": 70, "bulb": 30}, {"dot": 70, "round": 30},
        height=(0.8, 0.95), whiskers=0.95, tongue=0.2, furs=((0.60, 0.35, 0.55),)),
    "sheep": Species("sheep", {"side": 60, "floppy": 40}, {"bulb": 50, "broad": 50}, {"dot": 60, "round": 40},
        ear_size=(0.75, 0.95), width=_NARROW, height=_LONG, taper=(-0.25, -0.1), tongue=0.15, extras=("wool",),
        furs=((0.12, 0.12, 0.92),)),
    "squirrel": Species("squirrels", {"tuft": 1}, {"puffs": 1}, {"dot": 60, "round": 40},
        ear_size=(0.55, 0.75), width=(0.8, 0.95), taper=(-0.1, 0.15), whiskers=0.6, extras=("teeth", "cheeks"),
        furs=((0.04, 0.75, 0.62),)),
}
# fmt: on

_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def _smooth(points: list[tuple[float, float]], rounds: int = 2) -> np.ndarray:
    """Round the corners of a closed outline by cutting them (Chaikin 1974)."""
    p = np.array(points, dtype=float)
    for _ in range(rounds):
        q = np.roll(p, -1, axis=0)
        p = np.stack([0.75 * p + 0.25 * q, 0.25 * p + 0.75 * q], axis=1).reshape(-1, 2)
    return p


# Outlines of a right ear whose base is at (0, 0); the left one is the mirror image.
EARS = {
    "pointed": _smooth([(-0.42, 0.3), (-0.3, -0.2), (0.02, -0.95), (0.1, -0.95), (0.42, -0.2), (0.45, 0.3)]),
    "tuft": _smooth([(-0.3, 0.3), (-0.15, -0.2), (0.3, -0.85), (0.36, -0.8), (0.36, 0.0), (0.35, 0.3)]),
    "round": CIRCLE * (0.42, 0.42) + (0.05, -0.15),
    "long": _smooth([(-0.2, 0.3), (-0.32, -0.6), (-0.2, -1.5), (0.2, -1.5), (0.32, -0.6), (0.2, 0.3)]),
    "side": _smooth([(-0.3, -0.15), (0.3, -0.3), (0.95, 0.02), (0.5, 0.3), (-0.3, 0.2)]),
    "floppy": _smooth([(-0.3, -0.1), (0.15, -0.3), (0.5, 0.0), (0.6, 0.75), (0.42, 1.3), (0.08, 1.2), (0.0, 0.5)]),
    "folded": _smooth([(-0.42, 0.3), (-0.36, -0.35), (-0.1, -0.62), (0.42, -0.5), (0.5, 0.3)]),
}
FLAP = _smooth([(-0.42, -0.4), (-0.1, -0.7), (0.5, -0.6), (0.52, 0.0), (0.42, 0.42), (0.3, 0.38)])
# Where an ear's base sits on a head of width and height 1, its turn in degrees, and its depth.
EAR_BASE = {
    "pointed": (0.52, -0.68, 12, -0.1),
    "tuft": (0.5, -0.68, 8, -0.1),
    "round": (0.66, -0.66, 0, -0.2),
    "long": (0.34, -0.75, 8, -0.1),
    "side": (0.82, -0.3, 0, -0.1),
    "floppy": (0.62, -0.6, 0, 0.25),
    "folded": (0.52, -0.66, 14, 0.0),
}
BLAZE = _smooth([(-0.1, -0.85), (0.1, -0.85), (0.14, -0.1), (0.3, 0.3), (-0.3, 0.3), (-0.14, -0.1)])
LOWER_FACE = _smooth([(-0.75, 0.2), (0, -0.05), (0.75, 0.2), (0.45, 0.85), (-0.45, 0.85)])
TONGUE = _smooth([(-1, 0), (1, 0), (1, 1), (-1, 1)])
TEETH = np.array([(-0.1, 0.1), (0.1, 0.1), (0.1, 0.4), (-0.1, 0.4)])
CAT_NOSE = _smooth([(-0.17, -0.1), (0.17, -0.1), (0.02, 0.1), (-0.02, 0.1)], 1)
CONE = _smooth([(-0.3, -0.55), (0.3, -0.55), (0.42, 0.0), (0.12, 0.45), (-0.12, 0.45), (-0.42, 0.0)])
BEAK = _smooth([(-0.2, -0.2), (0.0, -0.28), (0.2, -0.2), (0.13, 0.15), (0.0, 0.42), (-0.13, 0.15)], 1)
HORN = _smooth([(-0.12, 0.1), (0.15, 0.1), (0.3, -0.2), (0.22, -0.6), (0.12, -0.3), (-0.05, -0.15)])
# Markings of some species, on both sides of the face: outline of the right one, colour, depth.
PAIRED_MARKINGS = {
    "cheeks": (_smooth([(0.1, 0.75), (0.15, 0.2), (0.75, 0.0), (0.6, 0.45)]), "second", 0.3),
    "mask": (_smooth([(0.05, -0.3), (0.5, -0.45), (0.85, 0.0), (0.7, 0.2), (0.3, 0.1)]), "mark", 0.45),
    "eye patches": (_smooth([(0.2, -0.42), (0.55, -0.42), (0.72, 0.1), (0.5, 0.25), (0.25, 0.0)]), "mark", 0.6),
}
