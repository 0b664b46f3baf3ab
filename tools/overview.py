"""``python -m tools.overview`` draws the README's moving picture: animals, their edges, and where a network looks."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image

from coursekit import attribution, convolution, critters, pretrained

PICTURE = Path("docs") / "_static" / "overview.webp"
SPECIES = ("fox", "owl", "panda", "rabbit", "sheep", "raccoon", "koala", "mouse")
SIZE, GAP, COLUMNS = 160, 6, 4  # pixels of a head and between two, heads in a row
STEPS, REST = 16, 14  # frames of a change, and how many it lasts before the next


def stages(species: tuple[str, ...] = SPECIES) -> list[np.ndarray]:
    """Return three pictures ``[H, W, 3]`` of the same heads: as drawn, Sobel's edges, Grad-CAM of the thin VGG16."""
    heads = [critters.draw(name, seed=seed, size=SIZE, difficulty=0.2).image for seed, name in enumerate(species)]
    edges = [np.clip(convolution.gradient(head.mean(axis=2) / 255)[0] / 3, 0, 1) for head in heads]
    network = pretrained.load("vgg16")
    images = torch.stack([torch.tensor(head).movedim(2, 0) / 255 for head in heads])
    images = torch.nn.functional.interpolate(images, network.size, mode="bilinear", antialias=True)
    heat = attribution.grad_cam(network.model, network.normalize(images.clamp(0, 1)), "features.22")
    heat = torch.nn.functional.interpolate(heat[:, None], SIZE, mode="bicubic").clamp(0, 1)[:, 0, ..., None].numpy()
    gray = np.stack([head.mean(axis=2, keepdims=True) / 255 for head in heads])
    glow = np.clip(0.5 * gray * (0.4 + heat) + 0.75 * mpl.colormaps["inferno"](heat[..., 0])[..., :3], 0, 1)
    shown = [heads, [255 * edge[..., None].repeat(3, axis=2) for edge in edges], list(255 * glow)]
    return [_rows(panels) for panels in shown]


def _rows(panels: list[np.ndarray]) -> np.ndarray:
    across, down = COLUMNS * (SIZE + GAP) - GAP, -(-len(panels) // COLUMNS) * (SIZE + GAP) - GAP
    canvas = np.full((down, across, 3), 255, dtype=np.uint8)
    for index, panel in enumerate(panels):
        y, x = (index // COLUMNS) * (SIZE + GAP), (index % COLUMNS) * (SIZE + GAP)
        canvas[y : y + SIZE, x : x + SIZE] = panel
    return canvas


def draw() -> list[Image.Image]:
    """Return the frames: a line runs over the picture, and leaves the next stage behind; three times."""
    pictures = stages()
    frames = []
    for before, after in zip(pictures, pictures[1:] + pictures[:1], strict=True):
        frames += [before] * REST
        for position in np.linspace(0, before.shape[1], STEPS + 2)[1:-1].astype(int):
            frame = np.concatenate([after[:, :position], before[:, position:]], axis=1)
            frame[:, max(0, position - 2) : position + 2] = (230, 159, 0)
            frames.append(frame)
    return [Image.fromarray(frame) for frame in [*frames, pictures[0]]]


if __name__ == "__main__":
    first, *rest = draw()
    first.save(PICTURE, save_all=True, append_images=rest, duration=80, loop=3, quality=80, method=4)  # ends by itself
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")
