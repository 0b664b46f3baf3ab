"""The picture around a critter, from its seed alone: photo behind it, colours, pose, light, things in front, noise."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from coursekit.critters.heads import Colour, Head
from coursekit.photos import photo

Box = tuple[int, ...]  # x0, y0, x1, y1

_OVERSAMPLE = 3  # heads are drawn this much larger and averaged down: smooth edges

# Hue, saturation, value of fur that animals have.
_FURS = (
    (0.08, 0.25, 0.95), (0.10, 0.40, 0.85), (0.07, 0.75, 0.85), (0.07, 0.60, 0.55), (0.06, 0.55, 0.35),
    (0.00, 0.00, 0.92), (0.60, 0.05, 0.60), (0.60, 0.25, 0.50), (0.05, 0.15, 0.22), (0.03, 0.65, 0.65),
)  # fmt: skip
# Every bundled photo in colour or of a texture, but for the cat.
PHOTOS = (
    "grass", "brick", "coffee", "gravel", "china", "flower", "motorcycle", "hubble_deep_field", "rocket",
    "immunohistochemistry", "astronaut",
)  # fmt: skip


@lru_cache(maxsize=len(PHOTOS))
def _photo(name: str) -> Image.Image:
    picture = Image.fromarray(photo(name)).convert("RGB")
    return picture.reduce(2) if min(picture.size) > 600 else picture


def background(
    rng: np.random.Generator, height: int, width: int, only: int | None, names: Sequence[str], tinted: bool
) -> np.ndarray:
    """Cut a random piece out of a photo (or of photo ``only``); tint it, or just its light: float32 [H,W,3], 0..255."""
    index = int(rng.integers(len(names)))
    zoom, left, top, mirror = rng.uniform(0.3, 1.0), *rng.random(3)
    tint, light = rng.uniform(0.75, 1.2, 3), rng.uniform(0.7, 1.15)
    tint = tint * light if tinted else np.full(3, light)
    picture = _photo(names[index] if only is None else PHOTOS[only % len(PHOTOS)])
    scale = zoom * min(picture.width / width, picture.height / height)
    w, h = width * scale, height * scale
    x, y = left * (picture.width - w), top * (picture.height - h)
    piece = picture.resize((width, height), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h), reducing_gap=2)
    pixels = np.asarray(piece, dtype=np.float32)
    return np.clip((pixels[:, ::-1] if mirror < 0.5 else pixels) * tint.astype(np.float32), 0, 255)


def palette(rng: np.random.Generator, furs: tuple[tuple[float, float, float], ...]) -> dict[str, Colour]:
    """Choose an animal's colours: of the given furs alone; without them mostly any fur, sometimes toys' colours."""

    def colour(h: float, s: float, v: float) -> Colour:
        dh, ds, dv = rng.uniform(-1, 1, 3) * (0.03, 0.06, 0.06)
        rgb = colorsys.hsv_to_rgb((h + dh) % 1, np.clip(s + ds, 0, 1), np.clip(v + dv, 0.08, 1))
        return tuple(round(255 * c) for c in rgb)

    def mix(a: Colour, b: Colour, t: float) -> Colour:
        return tuple(round(x + (y - x) * t) for x, y in zip(a, b, strict=True))

    def coat() -> Colour:
        choice = furs or _FURS
        fur, toy = choice[rng.integers(len(choice))], (rng.random(), 0.45, 0.8)
        return colour(*(toy if rng.random() < 0.25 and not furs else fur))

    def contrast(a: Colour, t: float) -> Colour:
        """Mix ``a`` with black, or with white where ``a`` is dark: a line that shows on it."""
        return mix(a, black if sum(a) > 260 else white, t)

    white, black = (255, 255, 255), (15, 12, 12)
    fur, other = coat(), coat()
    second = mix(fur, white if rng.random() < 0.7 else black, rng.uniform(0.35, 0.6))
    mark = mix(other, black, rng.uniform(0.0, 0.6))
    if sum(abs(a - b) for a, b in zip(mark, fur, strict=True)) < 150:
        mark = contrast(fur, 0.6)
    pink = colour(rng.choice([0.95, 0.0, 0.04]), 0.4, 0.85)
    nose = pink if rng.random() < 0.3 or sum(second) <= 260 else contrast(second, 0.85)
    return {
        "fur": fur,
        "second": second,
        "mark": mark,
        "ear": mix(fur, other, rng.choice([0.0, 0.3, 0.8])),
        "flap": contrast(fur, 0.25),
        "inner ear": mix(pink, fur, rng.uniform(0.1, 0.6)),
        "rim": contrast(fur, rng.uniform(0.55, 0.8)) if sum(fur) > 260 else contrast(fur, 0.35),
        "mouth": contrast(second, 0.75),
        "iris": colour(rng.choice([0.1, 0.14, 0.3, 0.55, 0.07]), 0.7, 0.8),
        "nose": nose,
        "tongue": colour(0.97, 0.55, 0.9),
        "whisker": contrast(second, 0.8) if rng.random() < 0.5 else white,
        "horn": colour(0.11, 0.25, 0.85),
        "white": white,
        "black": black,
    }


def place(
    rng: np.random.Generator, head: Head, height: int, width: int, difficulty: float
) -> tuple[list[np.ndarray], dict, float]:
    """Turn the head and put it into the picture: its strokes' points and parts' centres in pixels, pixels per unit."""
    u = rng.uniform(-1, 1, 5)
    tilt, yaw, pitch = u[:3] * (1.2 * difficulty, 0.8 * difficulty, 0.5 * difficulty)
    fill = 0.94 - 0.5 * difficulty * rng.random()
    offset = u[3:] * min(1, 1.5 * difficulty)
    c, s = np.cos(tilt), np.sin(tilt)
    rotation = np.array([[c, s], [-s, c]])

    def project(points: np.ndarray, z: np.ndarray) -> np.ndarray:
        return (points * np.cos([yaw, pitch]) + z[:, None] * np.sin([yaw, -pitch])) @ rotation

    lengths = [len(stroke.points) for stroke in head.strokes]
    points = np.concatenate([stroke.points for stroke in head.strokes])
    points = project(points, np.repeat([stroke.z for stroke in head.strokes], lengths))
    low, high = points.min(axis=0), points.max(axis=0)
    frame = np.array([width, height])
    scale = fill * (frame / (high - low)).min()
    room = frame - scale * (high - low)
    overhang = 0.15 * difficulty * frame.min()
    shift = (frame - scale * (low + high)) / 2 + offset * (room / 2 + overhang)
    centres = np.array(list(head.parts.values()))
    centres = project(centres[:, :2], centres[:, 2]) * scale + shift
    outlines = np.split(points * scale + shift, np.cumsum(lengths)[:-1])
    return outlines, dict(zip(head.parts, centres.tolist(), strict=True)), scale


def rasterize(head: Head, outlines: list[np.ndarray], scale: float, height: int, width: int) -> np.ndarray:
    """Draw the strokes: float32 [H,W,4], colour times coverage (0..255) and coverage (0..1)."""
    k = _OVERSAMPLE
    canvas = Image.new("RGBA", (width * k, height * k))
    pen = ImageDraw.Draw(canvas)
    for stroke, outline in zip(head.strokes, outlines, strict=True):
        points = (outline * k - 0.5).ravel().tolist()
        if stroke.width:
            pen.line(points, stroke.colour, max(1, round(stroke.width * scale * k)))
        else:
            pen.polygon(points, stroke.colour)
    # "RGBa" is colour times coverage, which is what can be averaged.
    layer = np.asarray(canvas.reduce(k).convert("RGBa"), dtype=np.float32)
    return layer / np.array([1, 1, 1, 255], np.float32)


def shade(rng: np.random.Generator, layer: np.ndarray, box: Box) -> np.ndarray:
    """Give the flat colours of ``layer`` form (light from one side, uneven fur): float32 [H,W,3], times coverage."""
    x0, y0, x1, y1 = box
    height, width = layer.shape[:2]
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.3)
    radius = max(x1 - x0, y1 - y0) / 2
    x = ((np.arange(width) - (x0 + x1) / 2) * np.cos(angle) / radius).astype(np.float32)
    y = ((np.arange(height) - (y0 + y1) / 2) * np.sin(angle) / radius).astype(np.float32)
    light = 1 + strength * np.clip(x + y[:, None], -1, 1) + 0.05 * grain(rng, height, width, 1)[..., 0]
    return np.minimum(layer[..., :3] * light[..., None], 255 * layer[..., 3:])


def grain(rng: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    """Return normal noise [H,W,channels] whose grain is 1/64 of the shorter side: the same look at every size."""
    g = max(1.0, min(height, width) / 64)
    h, w = round(height / g), round(width / g)
    noise = rng.standard_normal((h, w, channels), dtype=np.float32)
    if (h, w) == (height, width):
        return noise
    bands = [Image.fromarray(noise[..., c]).resize((width, height), Image.Resampling.BILINEAR) for c in range(channels)]
    return np.stack([np.asarray(b) for b in bands], axis=-1)


def occluders(
    rng: np.random.Generator, height: int, width: int, box: Box, difficulty: float, names: Sequence[str], tinted: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Choose things in front of the animal in ``box``: pairs of texture [H,W,3] (0..255) and coverage [H,W] (0..1)."""
    x0, y0, x1, y1 = box
    extent = max(x1 - x0, y1 - y0)
    things = []
    for _ in range(2):
        if rng.random() >= 0.4 * difficulty:
            continue
        post, at, size, angle = rng.random() < 0.5, rng.random(2), rng.uniform(0.1, 0.25), rng.uniform(0, np.pi)
        radii = size * rng.uniform(0.7, 1.3, 9)
        texture = background(rng, height, width, None, names, tinted)
        centre = np.array([x0, y0]) + at * (x1 - x0, y1 - y0)
        canvas = Image.new("L", (2 * width, 2 * height))
        pen = ImageDraw.Draw(canvas)
        if post:  # right across the picture
            reach = 2 * extent * np.array([np.cos(angle), np.sin(angle)])
            ends = np.concatenate([centre - reach, centre + reach])
            pen.line((2 * ends).tolist(), 255, max(2, round(size * extent)))
        else:  # a stone or a leaf
            t = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
            outline = centre + extent * radii[:, None] * np.stack([np.cos(t), np.sin(t)], axis=1)
            pen.polygon((2 * outline).ravel().tolist(), 255)
        things.append((texture, np.asarray(canvas.reduce(2), dtype=np.float32) / 255))
    return things


def expose(rng: np.random.Generator, image: np.ndarray, difficulty: float) -> np.ndarray:
    """Light, blur and noise of a whole picture: float32 [H,W,3] in 0..255 to the same."""
    height, width = image.shape[:2]
    gain = 1 + difficulty * rng.uniform(-0.45, 0.35)
    cast = 1 + difficulty * rng.uniform(-0.15, 0.15, 3)
    angle, slope = rng.uniform(0, 2 * np.pi), difficulty * rng.uniform(0, 0.5)
    blur, noise = difficulty * rng.uniform(0, 1.0), difficulty * rng.uniform(0, 15)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    field = np.float32(gain) * (1 + np.float32(slope) * (x * np.cos(angle) + y[:, None] * np.sin(angle)))
    image = np.clip(image * (field[..., None] * cast.astype(np.float32)), 0, 255)
    if blur > 0:
        radius = blur * min(height, width) / 64
        soft = Image.fromarray(image.round().astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
        image = np.asarray(soft, dtype=np.float32)
    return image + np.float32(noise) * grain(rng, height, width, 3)
