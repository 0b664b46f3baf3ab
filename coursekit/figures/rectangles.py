"""Boxes on images: those that are true, and those that a detector found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib import patheffects
from matplotlib.patches import Rectangle

from coursekit.figures.panels import grid_of, image_of
from coursekit.figures.picture import COLOURS, Picture, numbers, show

_BRIGHT = (4, 5, 2, 3, 1, 0)  # of COLOURS: black letters can be read on them


def boxes(
    images: Iterable[Any],
    truths: Sequence[Mapping[str, Any]] = (),
    found: Sequence[Mapping[str, Any]] = (),
    classes: Sequence[str] = (),
    titles: Sequence[str] | None = None,
    *,
    alt: str = "",
    columns: int | None = None,
) -> Picture:
    """Show images with boxes: true ones white and dashed, found ones in the colour of their class, with their score.

    Parameters
    ----------
    images : sequence of arrays
        As for `figures.images`.
    truths, found : sequence of dict
        One for each image, or none at all: ``boxes`` [N,4], as ``(x0, y0, x1, y1)`` in pixels; ``labels`` [N] and
        ``scores`` [N] where there are any.
    classes : sequence of str
        The name of each label, written at the found boxes, or at the true ones where there are no others.
    titles, alt, columns
        As for `figures.images`.
    """
    arrays = [image_of(image, index) for index, image in enumerate(images)]
    figure, panels = grid_of(arrays, titles, columns)
    for kind in (truths, found):
        if len(kind) not in (0, len(arrays)):
            raise ValueError(f"{len(arrays)} images need as many dicts with boxes, not {len(kind)}.")
    for index, (panel, array) in enumerate(zip(panels, arrays, strict=True)):
        panel.imshow(array, cmap="gray", extent=(0, array.shape[1], array.shape[0], 0))
        panel.set_axis_off()
        if len(found):
            _draw(panel, found[index], classes, dashed=False, height=array.shape[0])
        if len(truths):
            names = () if len(found) else classes
            _draw(panel, truths[index], names, dashed=True, height=array.shape[0])
    return show(figure, alt=alt)


def _draw(panel: Any, one: Mapping[str, Any], classes: Sequence[str], dashed: bool, height: int) -> None:
    corners = numbers(one["boxes"]).reshape(-1, 4)
    labels = numbers(one["labels"]).astype(int) if "labels" in one else [1] * len(corners)
    scores = numbers(one["scores"]).tolist() if "scores" in one else [None] * len(corners)
    for (x0, y0, x1, y1), label, score in zip(corners.tolist(), labels, scores, strict=True):
        colour = "white" if dashed else COLOURS[_BRIGHT[(label - 1) % len(_BRIGHT)]]
        line = {"linewidth": 1.2 if dashed else 1.8, "linestyle": (0, (3, 2)) if dashed else "-"}
        frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, **line)
        frame.set_path_effects([patheffects.withStroke(linewidth=2.8, foreground="black")])
        panel.add_patch(frame)
        words = ([classes[label]] if classes else []) + ([] if score is None else [f"{score:.2f}"])
        if words:
            plate = {"facecolor": colour, "edgecolor": "none", "pad": 0.8}
            panel.text(x0, max(y0, 0.05 * height), " ".join(words), fontsize=7, va="bottom", bbox=plate)
