"""One head as strokes in *head units*: 2 wide and 2 high, its centre at (0, 0), x right, y down, z to the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from coursekit.critters import species as shapes
from coursekit.critters.species import Range, Species

Colour = tuple[int, ...]  # red, green, blue


class Stroke(NamedTuple):
    """One filled outline, or one line where ``width`` is above 0, at depth ``z``."""

    points: np.ndarray
    colour: Colour
    z: float = 0.0
    width: float = 0.0


class Head:
    """One individual of a species: ``strokes`` from back to front, where its ``parts`` are, and of which ``kinds``."""

    def __init__(self, rng: np.random.Generator, palette: Mapping[str, Colour], species: Species) -> None:
        self.rng, self.palette, self.extras = rng, palette, species.extras
        self.strokes: list[Stroke] = []
        self.parts: dict[str, tuple[float, float, float]] = {}  # name -> (x, y, z)
        self.w, self.h = self._between(*species.width), self._between(*species.height)
        ear, muzzle, eyes = self._pick(species.ears), self._pick(species.muzzle), self._pick(species.eyes)
        self.tongue, whiskers = rng.random(2) < (species.tongue, species.whiskers)
        self.kinds = {"ears": ear, "eyes": eyes, "whiskers": bool(whiskers), "tongue": bool(self.tongue)}
        # A little squarer than an ellipse.
        outline = np.sign(shapes.CIRCLE) * np.abs(shapes.CIRCLE) ** 0.92 * (self.w, self.h)
        outline[:, 0] *= 1 + self._between(*species.taper) * outline[:, 1] / self.h
        if "mane" in self.extras:
            self._mane()
        before = self._ears(ear, species.ear_size)
        if "horns" in self.extras:
            self._horns()
        self._fill(outline, "fur", 0.0, rim=0.07)
        self._markings(species.coat)
        if "wool" in self.extras:
            self._wool()
        self.strokes += before
        self._eyes(eyes)
        self.parts["muzzle"] = (0.0, *getattr(self, f"_muzzle_{muzzle}")())
        if whiskers:
            self._whiskers()

    def _between(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def _pick(self, weights: Mapping[str, float]) -> str:
        x = self.rng.random() * sum(weights.values())
        for name, weight in weights.items():
            x -= weight
            if x < 0:
                return name
        return name

    def _fill(self, points: np.ndarray, colour: str, z: float, rim: float = 0.0) -> None:
        self.strokes.append(Stroke(points, self.palette[colour], z))
        if rim:
            self.strokes.append(Stroke(np.concatenate([points, points[:2]]), self.palette["rim"], z, rim))

    def _oval(self, x: float, y: float, rx: float, ry: float, colour: str, z: float, rim: float = 0) -> None:
        self._fill(shapes.CIRCLE * (rx, ry) + (x, y), colour, z, rim)

    def _line(self, points: list[tuple[float, float]], colour: str, z: float, width: float = 0.06) -> None:
        self.strokes.append(Stroke(np.array(points), self.palette[colour], z, width))

    def _ears(self, kind: str, sizes: Range) -> list[Stroke]:
        """Draw what stands behind the head, and return the strokes that hang in front of it."""
        behind, before = self.strokes, []
        if kind == "none":
            return before
        x, y, turn, z = shapes.EAR_BASE[kind]
        size, stretch = self._between(*sizes), self._between(0.9, 1.1)
        shape = shapes.EARS[kind]
        for side in (-1, 1):
            angle = np.radians(turn + self._between(-14, 14))
            c, s = np.cos(angle), np.sin(angle)
            matrix = np.array([[c * side, s], [-s * side, c]]) * size
            base = np.array([x * self.w * side, y * self.h])
            outer = shape * (1, stretch) @ matrix + base
            self.strokes = before if kind == "floppy" else behind
            self._fill(outer, "ear", z, rim=0.06)
            if kind in ("pointed", "round", "long", "side"):
                centre = shape.mean(axis=0)
                inner = (shape - centre) * 0.6 + centre + (0, 0.03)
                self._fill(inner * (1, stretch) @ matrix + base, "inner ear", z)
            elif kind == "folded":
                self.strokes = before
                self._fill(shapes.FLAP * (1, stretch) @ matrix + base, "flap", z, rim=0.06)
            self.parts["left ear" if side < 0 else "right ear"] = (*outer.mean(axis=0), z)
        self.strokes = behind
        return before

    def _eyes(self, kind: str) -> None:
        x, y = self._between(0.36, 0.46) * self.w, self._between(-0.26, -0.1)
        size, z = self._between(0.85, 1.2), 0.7
        if kind == "bulge":
            x, y, z = 0.55 * self.w, -0.8 * self.h, 0.3
        elif kind == "ring":
            x = 0.42 * self.w
        look = self._between(-0.04, 0.04)
        tilt = np.radians(self._between(0, 14))
        for side in (-1, 1):
            cx = side * x
            if kind == "slit":
                c, s = np.cos(tilt * side), np.sin(tilt * side)
                almond = shapes.CIRCLE * (0.22 * size, 0.17 * size) @ np.array([[c, -s], [s, c]]) + (cx, y)
                self._fill(almond, "iris", z, rim=0.06)
                self._oval(cx + look, y, 0.055 * size, 0.15 * size, "black", z)
            elif kind == "dot":
                self._oval(cx, y, 0.14 * size, 0.16 * size, "black", z)
            else:
                radius = {"round": 0.19, "ring": 0.34, "bulge": 0.22}[kind] * size
                if kind == "bulge":
                    self._oval(cx, y, 1.5 * radius, 1.5 * radius, "fur", z, rim=0.06)
                if kind == "ring":
                    self._oval(cx, y, 1.25 * radius, 1.25 * radius, "second", z)
                self._oval(cx, y, radius, radius, "iris", z, rim=0.05)
                self._oval(cx + look, y, 0.55 * radius, 0.55 * radius, "black", z)
            self._oval(cx + 0.05, y - 0.06, 0.05, 0.05, "white", z)
            self.parts["left eye" if side < 0 else "right eye"] = (cx, y, z)

    def _mouth(self, y: float, half: float, drop: float, z: float) -> None:
        """Two arcs that meet under the nose."""
        for side in (-1, 1):
            arc = [(side * half * t, y + drop * (1 - (2 * t - 0.9) ** 2)) for t in (0, 0.2, 0.4, 0.6, 0.8, 1)]
            self._line(arc, "mouth", z, 0.055)

    def _tongue(self, y: float, z: float) -> None:
        if not self.tongue:
            return
        length, width = self._between(0.28, 0.45), self._between(0.15, 0.2)
        self._fill(np.add(shapes.TONGUE * (width, length), (0, y)), "tongue", z, rim=0.05)
        self._line([(0, y + 0.05), (0, y + 0.6 * length)], "rim", z, 0.035)
        self.parts["tongue"] = (0.0, y + length / 2, z)

    # Each kind of muzzle returns the y and z of its centre.

    def _muzzle_puffs(self) -> tuple[float, float]:
        s, y, z = self._between(0.9, 1.15), 0.36 * self.h, 0.85
        self._oval(0, y + 0.24 * s, 0.2 * s, 0.16 * s, "second", z)
        self._tongue(y + 0.14 * s, z)
        if "teeth" in self.extras:
            self._fill(np.add(shapes.TEETH, (0, y)), "white", z, rim=0.04)
        for side in (-1, 1):
            self._oval(side * 0.18 * s, y + 0.03, 0.25 * s, 0.21 * s, "second", z)
        self._fill(np.add(shapes.CAT_NOSE, (0, -0.12)) * s + (0, y), "nose", z)
        self._line([(0, y - 0.04 * s), (0, y + 0.1 * s)], "mouth", z, 0.05)
        self._mouth(y + 0.1 * s, 0.28 * s, 0.1 * s, z)
        return y, z

    def _muzzle_bulb(self) -> tuple[float, float]:
        s, y, z = self._between(0.9, 1.2), 0.42 * self.h, 1.1
        long = self._between(0.9, 1.15)
        self._oval(0, y + 0.2, 0.36 * s, 0.36 * s * long, "second", z - 0.2, rim=0.05)
        self._tongue(y + 0.2 * s, z - 0.1)
        self._oval(0, y, 0.48 * s, 0.4 * s * long, "second", z, rim=0.05)
        self._oval(0, y - 0.2 * s, 0.23 * s, 0.16 * s, "nose", z)
        self._oval(-0.06 * s, y - 0.26 * s, 0.07 * s, 0.035 * s, "white", z)
        self._line([(0, y - 0.05 * s), (0, y + 0.18 * s)], "mouth", z, 0.06)
        self._mouth(y + 0.13 * s, 0.32 * s, 0.12 * s, z)
        return y, z

    def _muzzle_pointed(self) -> tuple[float, float]:
        s, y, z = self._between(0.9, 1.1), 0.5 * self.h, 1.05
        self._tongue(y + 0.25 * s, z)
        self._fill(shapes.CONE * s + (0, y), "second", z)
        self._oval(0, y + 0.3 * s, 0.15 * s, 0.12 * s, "nose", z + 0.2)
        self._line([(-0.25 * s, y + 0.2 * s), (0, y + 0.48 * s), (0.25 * s, y + 0.2 * s)], "mouth", z, 0.05)
        return y, z

    def _muzzle_disc(self) -> tuple[float, float]:
        s, y, z = self._between(0.9, 1.15), 0.3 * self.h, 1.0
        self._mouth(y + 0.42 * s, 0.3 * s, 0.08, z - 0.2)
        self._oval(0, y, 0.42 * s, 0.32 * s, "inner ear", z, rim=0.07)
        for side in (-1, 1):
            self._oval(side * 0.15 * s, y, 0.07 * s, 0.12 * s, "rim", z)
        return y, z

    def _muzzle_broad(self) -> tuple[float, float]:
        s, y, z = self._between(0.9, 1.1), 0.55 * self.h, 0.9
        self._tongue(y + 0.2 * s, z)
        self._oval(0, y, 0.66 * s, 0.4 * s, "second", z, rim=0.06)
        for side in (-1, 1):
            self._oval(side * 0.28 * s, y - 0.1 * s, 0.09 * s, 0.11 * s, "rim", z)
        self._line([(-0.4 * s, y + 0.12 * s), (0, y + 0.22 * s), (0.4 * s, y + 0.12 * s)], "mouth", z)
        return y, z

    def _muzzle_spoon(self) -> tuple[float, float]:
        s, y, z = self._between(0.9, 1.15), 0.2 * self.h, 0.95
        self._oval(0, y + 0.02, 0.24 * s, 0.38 * s, "nose", z)
        self._oval(-0.08, y - 0.18 * s, 0.06, 0.08, "white", z)
        self._mouth(y + 0.46 * s, 0.25 * s, 0.08, z - 0.2)
        return y, z

    def _muzzle_beak(self) -> tuple[float, float]:
        s, y, z = self._between(0.9, 1.2), 0.22, 1.0
        self._fill(shapes.BEAK * s + (0, y), "nose", z, rim=0.05)
        return y, z

    def _muzzle_wide(self) -> tuple[float, float]:
        y, z, half = 0.15, 0.7, 0.72 * self.w
        self._oval(0, y + 0.32, 0.8 * half, 0.26, "second", z - 0.3)
        self._tongue(y + 0.2, z)
        smile = [(t * half, y + 0.26 - 0.31 * t * t) for t in np.linspace(-1, 1, 9)]
        self._line(smile, "mouth", z, 0.08)
        for side in (-1, 1):
            self._oval(side * 0.12, y - 0.12, 0.04, 0.05, "rim", z)
        return y + 0.15, z

    def _whiskers(self) -> None:
        y, length = 0.4 * self.h, self._between(0.6, 0.85)
        for side in (-1, 1):
            for k in (-1, 0, 1):
                slope = 0.14 * k + self._between(-0.06, 0.06)
                start = (side * 0.3, y + 0.07 * k)
                self._line([start, (side * (0.3 + length), y + 0.07 * k + slope)], "whisker", 0.75, 0.03)

    def _markings(self, coat: Mapping[str, float]) -> None:
        w, h = self.w, self.h
        kind = self._pick(coat)
        for name, (shape, colour, z) in shapes.PAIRED_MARKINGS.items():
            if name in self.extras:
                kind = "plain"
                for side in (-1, 1):
                    self._fill(shape * (side * w, h), colour, z)
        self.kinds["coat"] = kind
        if kind == "blaze":
            self._fill(shapes.BLAZE * (w, h), "second", 0.5)
        elif kind == "patch":
            side = 1 if self.rng.random() < 0.5 else -1
            self._oval(side * 0.42 * w, -0.2, 0.36 * w, 0.4 * h, "mark", 0.5)
        elif kind == "stripes":
            for x in (-0.24, 0, 0.24):
                self._line([(x * w, -0.85 * h), (0.7 * x * w, -0.5 * h)], "mark", 0.3, 0.1)
            for side in (-1, 1):
                for y in (0.1, 0.35):
                    self._line([(side * 0.9 * w, y * h), (side * 0.62 * w, (y + 0.05) * h)], "mark", 0.1, 0.09)
        elif kind == "half":
            self._fill(shapes.LOWER_FACE * (w, h), "second", 0.15)

    def _mane(self) -> None:
        size, bumps = self._between(1.35, 1.5), 14
        for angle in np.arange(bumps) * 2 * np.pi / bumps + self._between(0, 0.4):
            x, y = np.cos(angle) * size * 0.85 * self.w, np.sin(angle) * size * 0.85 * self.h
            self._oval(x, y, 0.36, 0.36, "mark", -0.3, rim=0.05)
        self._oval(0, 0, size * 0.9 * self.w, size * 0.9 * self.h, "mark", -0.3)

    def _horns(self) -> None:
        size = self._between(0.8, 1.1)
        for side in (-1, 1):
            self._fill((shapes.HORN * size + (0.45 * self.w, -0.78 * self.h)) * (side, 1), "horn", -0.1, rim=0.05)

    def _wool(self) -> None:
        for x, y in ((-0.6, -0.6), (0.6, -0.6), (-0.32, -0.85), (0.32, -0.85), (0.0, -0.72), (0.0, -1.0)):
            self._oval(x, y * self.h, 0.34, 0.28, "second", 0.1, rim=0.05)
