"""``python -m tools.overview`` draws the README's moving picture: animals, their edges, and where a network looks."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from coursekit import attribution, convolution, critters, pretrained

PICTURE = Path("docs") / "_static" / "overview.webp"
SPECIES = ("fox", "owl", "panda", "rabbit", "sheep", "raccoon", "koala", "mouse")
SIZE, GAP, COLUMNS = 160, 6, 4  # pixels of a head and between two, heads in a row
STEPS, REST = 16, 14  # frames of a change, and how many it lasts before the next


def main() -> None:
    """Draw the picture: a line runs over it, and leaves the next stage behind; three times."""
    pictures, frames = stages(), []
    for before, after in zip(pictures, pictures[1:] + pictures[:1], strict=True):
        frames += [before] * REST
        for position in np.linspace(0, before.shape[1], STEPS + 2)[1:-1].astype(int):
            frame = np.concatenate([after[:, :position], before[:, position:]], axis=1)
            frame[:, max(0, position - 2) : position + 2] = (230, 159, 0)
            frames.append(frame)
    first, *rest = map(Image.fromarray, [*frames, pictures[0]])
    first.save(PICTURE, save_all=True, append_images=rest, duration=80, loop=3, quality=80, method=4)  # ends by itself
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


def stages() -> list[np.ndarray]:
    """Return three pictures ``[H, W, 3]`` of the same heads: as drawn, Sobel's edges, Grad-CAM of the thin VGG16."""
    heads = np.stack([critters.draw(name, seed=n, size=SIZE, difficulty=0.2).image for n, name in enumerate(SPECIES)])
    gray = heads.mean(axis=3) / 255
    edges = np.stack([np.clip(convolution.gradient(head)[0] / 3, 0, 1) for head in gray])
    network = pretrained.load("vgg16")
    images = F.interpolate(torch.tensor(heads).movedim(3, 1) / 255, network.size, mode="bilinear", antialias=True)
    heat = attribution.grad_cam(network.model, network.normalize(images.clamp(0, 1)), "features.22")
    heat = F.interpolate(heat[:, None], SIZE, mode="bicubic").clamp(0, 1)[:, 0].numpy()
    glow = 0.5 * gray[..., None] * (0.4 + heat[..., None]) + 0.75 * mpl.colormaps["inferno"](heat)[..., :3]
    return [_tiled(panels) for panels in (heads, 255 * edges[..., None].repeat(3, axis=3), 255 * glow.clip(0, 1))]


def _tiled(panels: np.ndarray) -> np.ndarray:
    """Lay panels ``[N, SIZE, SIZE, 3]`` out in rows, with white gaps between them."""
    side = SIZE + GAP
    framed = np.pad(panels, [(0, 0), (0, GAP), (0, GAP), (0, 0)], constant_values=255).astype(np.uint8)
    rows = framed.reshape(-1, COLUMNS, side, side, 3).swapaxes(1, 2).reshape(-1, COLUMNS * side, 3)
    return rows[:-GAP, :-GAP]


if __name__ == "__main__":
    main()
