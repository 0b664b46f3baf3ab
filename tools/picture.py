"""The README's picture, drawn by the package, and that of the modules, drawn from what the tests hold them to."""

from __future__ import annotations

import ast
import html
from pathlib import Path

from coursekit import convolution, critters, figures

PICTURE = Path("notebooks") / "overview.png"
ALT = "Eight drawn animal heads over photos, and below each what two Sobel kernels see of it: bright outlines on black"

MODULES = Path("docs") / "modules.svg"
_COLOURS = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00", "#56B4E9")  # a floor each, from the ground up
_WIDTH, _HEIGHT, _GAP, _LETTER = 900, 62, 16, 8.6  # pixels


def overview() -> figures.Picture:
    """Draw eight species in one row, and the magnitude of their brightness gradient in the next."""
    species = ("cat", "dog", "fox", "owl", "panda", "rabbit", "sheep", "frog")
    heads = [critters.draw(name, seed=seed, size=128, difficulty=0.2).image for seed, name in enumerate(species)]
    edges = [convolution.gradient(head.mean(axis=2) / 255)[0] for head in heads]
    return figures.images([*heads, *edges], columns=len(heads), limits=(0, 3), alt=ALT)


def floors(root: Path) -> list[list[str]]:
    """Return the package's floors, the ground floor first, as ``tests/test_house.py`` holds the modules to them."""
    tree = ast.parse((root / "tests" / "test_house.py").read_text(encoding="utf-8"))
    named = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    return ast.literal_eval(named["FLOORS"])


def modules_svg(root: Path) -> str:
    """Draw a house: a row for each floor, a box for each module; what stands above imports what lies below."""
    rows = list(reversed(floors(root)))
    height = len(rows) * (_HEIGHT + _GAP) + 40
    alt = "The package as a house. From the top: " + "; ".join(", ".join(row) for row in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" role="img">',
        f"<title>{html.escape(alt)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for index, row in enumerate(rows):
        y, colour = 10 + index * (_HEIGHT + _GAP), _COLOURS[(len(rows) - 1 - index) % len(_COLOURS)]
        parts.append(f'<rect x="10" y="{y}" width="{_WIDTH - 60}" height="{_HEIGHT}" fill="{colour}" opacity="0.15"/>')
        parts.append(f'<rect x="10" y="{y}" width="6" height="{_HEIGHT}" fill="{colour}"/>')
        share = (_WIDTH - 60 - 20 - _GAP) / len(row)
        for place, name in enumerate(row):
            x, wide = 30 + place * share, share - 12
            parts.append(
                f'<rect x="{x:.0f}" y="{y + 11}" width="{wide:.0f}" height="40" rx="4" fill="#fff" stroke="#555"/>'
            )
            size = min(16, wide / len(name) * 16 / _LETTER)
            middle = x + wide / 2
            parts.append(
                f'<text x="{middle:.0f}" y="{y + 36}" text-anchor="middle" font-size="{size:.1f}">{name}</text>'
            )
    x, end = _WIDTH - 25, 10 + len(rows) * (_HEIGHT + _GAP) - _GAP
    parts.append(f'<path d="M{x} 14 V{end - 4} m-7 -12 l7 12 l7 -12" fill="none" stroke="#555555" stroke-width="2"/>')
    parts.append(f'<text x="10" y="{height - 8}" font-size="14">A module may import what lies below it.</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def write_modules(root: Path) -> Path:
    """Write the picture of the modules, and return its path."""
    path = root / MODULES
    path.write_text(modules_svg(root), encoding="utf-8")
    return path
