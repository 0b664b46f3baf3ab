"""``python -m tools.overview`` draws the README's picture: heads of animals, and what Sobel kernels see of them."""

from __future__ import annotations

from pathlib import Path

from coursekit import convolution, critters, figures

PICTURE = Path("notebooks") / "overview.png"
ALT = "Eight drawn animal heads over photos, and below each what two Sobel kernels see of it: bright outlines on black"


def draw() -> figures.Picture:
    """Draw eight species in one row, and the magnitude of their brightness gradient in the next."""
    species = ("cat", "dog", "fox", "owl", "panda", "rabbit", "sheep", "frog")
    heads = [critters.draw(name, seed=seed, size=128, difficulty=0.2).image for seed, name in enumerate(species)]
    edges = [convolution.gradient(head.mean(axis=2) / 255)[0] for head in heads]
    return figures.images([*heads, *edges], columns=len(heads), limits=(0, 3), alt=ALT)


if __name__ == "__main__":
    print(draw().save(PICTURE))
