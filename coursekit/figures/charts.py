"""Numbers as charts: curves with bands, runs as dots, confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from coursekit import arguments
from coursekit.figures.picture import COLOURS, STYLE, WIDTH, Picture, numbers, show

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # a second sign beside the colour, for those who see fewer of them


def curves(
    x: ArrayLike,
    ys: Mapping[str, ArrayLike],
    *,
    alt: str = "",
    xlabel: str,
    ylabel: str,
    log: str = "",
    dashed: Sequence[str] = (),
    markers: bool = False,
) -> Picture:
    """Draw one curve for each entry; several runs of one curve become their mean with a band of one standard deviation.

    A ValueError says which curve does not fit ``x``, or which argument is none of those below.

    Parameters
    ----------
    x : array [P]
    ys : mapping from label to array [P] or [runs,P]
        NaN leaves a gap.
    alt, xlabel, ylabel : str
        What there is to see; what the axes show, with units.
    log : {"", "x", "y", "xy"}
        Which axes are logarithmic.
    dashed : sequence of str
        The labels drawn as dashed lines: predictions, references.
    markers : bool
        Whether the points are marked.
    """
    x = numbers(x)
    _check_mapping(ys, "{'training': losses}")
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f"log must be one of '', 'x', 'y', 'xy', not {log!r}.")
    figure, axis = _axis(xlabel, ylabel)
    for index, (label, values) in enumerate(ys.items()):
        y = np.atleast_2d(numbers(values))
        if y.ndim != 2 or x.ndim != 1 or y.shape[1] != len(x):
            raise ValueError(f"curve {label!r} has shape {y.shape}; with x of shape {x.shape} it must end in {x.size}.")
        look = {"color": COLOURS[index % len(COLOURS)], "linestyle": "--" if label in dashed else "-"}
        marker = _MARKERS[index % len(_MARKERS)] if (markers or len(x) == 1) and label not in dashed else None
        axis.plot(x, y.mean(0), label=label, marker=marker, markersize=4, **look)
        if len(y) > 1:
            spread = y.std(0, ddof=1)
            axis.fill_between(x, y.mean(0) - spread, y.mean(0) + spread, color=look["color"], alpha=0.2, lw=0)
    if "x" in log:
        axis.set_xscale("log")
        if len(x) <= 12:  # name the points that were measured, rather than powers of ten
            axis.set_xticks(x, [f"{value:g}" for value in x])
            axis.minorticks_off()
    elif np.array_equal(x, np.round(x)):  # epochs, blocks, layers: there is no half of one
        axis.xaxis.get_major_locator().set_params(integer=True)
    if "y" in log:
        axis.set_yscale("log")
    if list(ys) != [""]:
        with mpl.rc_context(STYLE):
            legend = axis.legend(**({} if len(ys) <= 4 else {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}))
            figure.draw_without_rendering()
            drawn = [line.get_transform().transform_path(line.get_path()) for line in axis.lines]
            if any(path.intersects_bbox(legend.get_window_extent(), filled=False) for path in drawn):
                axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)  # it would hide a curve
    return show(figure, alt=alt)


def runs(values: Mapping[str, ArrayLike], *, alt: str = "", xlabel: str, reference: str | None = None) -> Picture:
    """Compare recipes by their runs: a row for each, a dot for each run, a bar at the mean; the best row on top.

    Parameters
    ----------
    values : mapping from label to array [runs]
    alt, xlabel : str
        As in `curves`.
    reference : str, optional
        The label whose mean is drawn as a dashed line through all rows; another one is a ValueError.
    """
    _check_mapping(values, "{'SGD': [0.91, 0.93]}")
    rows = {label: np.atleast_1d(numbers(row)) for label, row in values.items()}
    if any(row.ndim != 1 or row.size == 0 for row in rows.values()):
        raise ValueError("each label needs a number or a list of numbers.")
    if reference is not None and reference not in rows:
        raise ValueError(f"the reference {reference!r} is not among the labels: {', '.join(rows)}.")
    figure, axis = _axis(xlabel, "", size=(WIDTH, 0.6 + 0.3 * len(rows)))
    ordered = sorted(rows.items(), key=lambda item: item[1].mean())
    for height, (_, row) in enumerate(ordered):
        axis.plot(row, np.full(row.size, height), "o", color=COLOURS[0], alpha=0.7, markersize=5)
        axis.plot([row.mean()] * 2, [height - 0.3, height + 0.3], color=COLOURS[1], linewidth=2)
    if reference is not None:
        axis.axvline(rows[reference].mean(), color="0.5", linestyle="--", linewidth=1, zorder=0)
    axis.set_yticks(range(len(rows)), [label for label, _ in ordered])
    axis.set_ylim(-0.6, len(rows) - 0.4)
    axis.grid(axis="x", alpha=0.3)
    return show(figure, alt=alt)


def confusion(matrix: ArrayLike, classes: Sequence[str], *, alt: str = "") -> Picture:
    """Show a confusion matrix [C,C]: rows are the true classes, columns the predicted ones, entries are counts.

    The colour shows the share of the row, so that a rare class is as visible as a common one.
    """
    counts, classes = numbers(matrix), arguments.texts("classes", classes)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"{len(classes)} classes need a square matrix of that size, not one of shape {counts.shape}.")
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axis = _axis("predicted", "true", size=(5.2, 5.0))
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if share[row, column] > 0.5 else "black"
            axis.text(column, row, f"{count:g}", ha="center", va="center", color=colour)
    turn = {"rotation": 45, "ha": "right"} if max(map(len, classes)) > 3 else {}
    axis.set_xticks(range(len(classes)), classes, **turn)
    axis.set_yticks(range(len(classes)), classes)
    return show(figure, alt=alt)


def _check_mapping(values: Mapping, example: str) -> None:
    if not isinstance(values, Mapping) or not values:
        raise ValueError(f"expected a mapping with at least one label, such as {example}; got {values!r:.60}.")


def _axis(xlabel: str, ylabel: str, size: tuple[float, float] = (WIDTH, 3.6)) -> tuple:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axis = figure.subplots()
    axis.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axis
