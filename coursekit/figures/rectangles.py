"""Boxes on images: those that are true, and those that a detector found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from coursekit.figures.panels import grid_of, images_of
from coursekit.figures.picture import COLOURS, Picture, numbers, show

_BRIGHT = (4, 5, 2, 3, 1, 0)  # of COLOURS: black letters can be read on them


def boxes(
    images: Iterable[Any],
    targets: Sequence[Mapping[str, Any]] = (),
    detections: Sequence[Mapping[str, Any]] = (),
    classes: Sequence[str] = (),
    titles: Sequence[str] | None = None,
    *,
    alt: str = "",
    columns: int | None = None,
) -> Picture:
    """Show images with boxes: true ones white and dashed, detected ones in the colour of their class, with their score.

    A label stands at its box, above the upper left corner if it can; no label hides another one while there is room.

    Parameters
    ----------
    images : sequence of arrays
        As for `figures.images`.
    targets, detections : sequence of dict
        One for each image, or none at all: ``boxes`` [N,4], as ``(x0, y0, x1, y1)`` in pixels; ``labels`` [N] and
        ``scores`` [N] where there are any.
    classes : sequence of str
        The name of each label, written at the detected boxes, or at the true ones where there are no others.
    titles, alt, columns
        As for `figures.images`.
    """
    arrays = images_of(images)
    figure, panels = grid_of(arrays, titles, columns)
    for kind in (targets, detections):
        if len(kind) not in (0, len(arrays)):
            raise ValueError(f"{len(arrays)} images need as many dicts with boxes, not {len(kind)}.")
    written = []
    for index, (panel, array) in enumerate(zip(panels, arrays, strict=True)):
        panel.imshow(array, cmap="gray", extent=(0, array.shape[1], array.shape[0], 0))
        panel.set_axis_off()
        if len(detections):
            written.append(_draw(panel, detections[index], classes, dashed=False))
        if len(targets):
            written.append(_draw(panel, targets[index], () if len(detections) else classes, dashed=True))
    if any(written):
        figure.draw_without_rendering()  # now each panel has its size
    for labels in written:
        _place(labels)
    return show(figure, alt=alt)


def _draw(panel: Any, one: Mapping[str, Any], classes: Sequence[str], dashed: bool) -> list[tuple[Any, Rectangle]]:
    """Draw the frames, and return each label, which has no place yet, with its frame."""
    corners = numbers(one["boxes"]).reshape(-1, 4)
    labels = numbers(one["labels"]).astype(int).tolist() if "labels" in one else [1] * len(corners)
    if classes and not all(0 <= label < len(classes) for label in labels):
        raise ValueError(f"labels {sorted(set(labels))} need more names than {classes}: label 0 is the background.")
    scores = numbers(one["scores"]).tolist() if "scores" in one else [None] * len(corners)
    written = []
    for (x0, y0, x1, y1), label, score in zip(corners.tolist(), labels, scores, strict=True):
        colour = "white" if dashed else COLOURS[_BRIGHT[(label - 1) % len(_BRIGHT)]]
        line = {"linewidth": 1.2 if dashed else 1.8, "linestyle": (0, (3, 2)) if dashed else "-"}
        frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, **line)
        frame.set_path_effects([patheffects.withStroke(linewidth=2.8, foreground="black")])
        panel.add_patch(frame)
        words = ([classes[label]] if classes else []) + ([] if score is None else [f"{score:.2f}"])
        if words:
            plate = {"facecolor": colour, "edgecolor": "none", "pad": 0.8}
            text = panel.text(x0, y0, " ".join(words), fontsize=7, va="bottom", bbox=plate)
            text.set_in_layout(False)
            written.append((text, frame))
    return written


def _place(labels: list[tuple[Any, Rectangle]]) -> None:
    """Move the labels of one panel, so that each is inside of it, near its frame, and where no other one is."""
    taken = np.empty((0, 4))  # as (left, bottom, right, top) in the figure's pixels
    for text, frame in labels:
        panel = text.axes
        plate = Bbox.union([text.get_window_extent(), text.get_bbox_patch().get_window_extent()])
        places = _places(frame.get_window_extent(), plate.width, plate.height, panel.bbox)
        across = np.minimum(places[:, None, 2:], taken[:, 2:]) - np.maximum(places[:, None, :2], taken[:, :2])
        hidden = across.clip(min=0).prod(axis=2).sum(axis=1)
        best = places[hidden.argmin()]  # the first one of those that hide least
        taken = np.vstack([taken, best])
        text_at = panel.transData.transform(text.get_position()) + best[:2] - (plate.x0, plate.y0)
        text.set_position(panel.transData.inverted().transform(text_at))


def _places(frame: Any, width: float, height: float, panel: Any) -> np.ndarray:
    """Return where a label may lie, the best first: along the frame's edges, then anywhere, the nearest first."""
    size = np.array([width, height])
    steps = np.arange(0, max(frame.width - width, 0) + 1, 2)
    rows = (frame.y1, frame.y1 - height, frame.y0 - height, frame.y0)  # above, inside, below, inside at the bottom
    along = [(frame.x0 + step, y) for y in rows for step in steps]
    grid = np.meshgrid(np.arange(panel.x0, panel.x1 - width, 3), np.arange(panel.y0, panel.y1 - height, 3))
    anywhere = np.stack(grid, axis=2).reshape(-1, 2)
    distance = np.abs(anywhere - (frame.x0, frame.y1)).sum(axis=1)
    corners = np.concatenate([along, anywhere[distance.argsort(kind="stable")]])
    low, high = panel.min - 0.5, panel.max + 0.5
    inside = ((corners >= low) & (corners + size <= high)).all(axis=1)
    corners = corners[inside] if inside.any() else np.array([panel.min])
    return np.hstack([corners, corners + size])
