"""Images, kernels and heat maps, side by side on one colour scale; a kernel that slides."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from numpy.typing import ArrayLike

from coursekit import arguments
from coursekit.figures.interaction import Interactive, interactive
from coursekit.figures.picture import COLOURS, STYLE, WIDTH, Picture, numbers, show

TITLE = 12.0  # points


def images(
    images: Iterable[Any],
    titles: Sequence[str] | None = None,
    *,
    alt: str = "",
    columns: int | None = None,
    cmap: str = "gray",
    limits: tuple[float, float] | None = None,
    colorbar: bool = False,
    axes: bool = False,
) -> Picture:
    """Show images side by side, all on one colour scale so that they can be compared.

    A ValueError says which image has another shape, values beyond its range or NaN, or that titles are missing.

    Parameters
    ----------
    images : sequence of arrays
        Each [H,W], [H,W,3] or, as torch has it, [1,H,W] or [3,H,W]. Colour images hold integers 0..255 or floats 0..1.
    titles, alt : sequence of str, str
        One title for each image; what there is to see.
    columns : int, optional
        Images in a row; without it at most four.
    cmap : str
        Colour map for images without colour. A diverging one (``"RdBu"``, ``"PuOr"``) puts zero in the middle.
    limits : (float, float), optional
        The values that get the colour map's ends. Without them: the least and greatest value over all images.
    colorbar, axes : bool
        Whether the colour scale is drawn beside the images, and pixels are numbered along the edges.
    """
    arrays = images_of(images)
    gray = [array for array in arrays if array.ndim == 2]
    norm = _norm(gray, cmap, limits) if gray else None
    figure, panels = grid_of(arrays, titles, columns)
    for panel, array in zip(panels, arrays, strict=True):
        drawn = panel.imshow(array, cmap=cmap, norm=norm if array.ndim == 2 else None)
        if not axes:
            panel.set_axis_off()
    if colorbar and norm:
        figure.colorbar(drawn, ax=panels, shrink=0.8, pad=0.02, aspect=25)
    return show(figure, alt=alt)


def kernels(
    kernels: Iterable[Any], titles: Sequence[str] | None = None, *, alt: str = "", columns: int | None = None
) -> Picture:
    """Show kernels [kH,kW], or any small matrices, with the number in each cell where it fits (up to 12 columns).

    Orange is positive, purple negative, white zero; one scale for all. The arguments are those of `images`.
    """
    arrays = [image_of(kernel, index, flat=True) for index, kernel in enumerate(kernels)]
    figure, panels = grid_of(arrays, titles, columns, most=3)
    norm = _norm(arrays, "PuOr_r", None)
    widest = max(a.shape[1] for a in arrays)
    room = WIDTH * 72 / (len({p.get_subplotspec().colspan.start for p in panels}) * widest)  # points per cell
    for panel, array in zip(panels, arrays, strict=True):
        panel.imshow(array, cmap="PuOr_r", norm=norm)
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(visible=True, linewidth=0.5, color="0.6")
        if widest <= 12:
            texts = [f"{value:.{3 if widest <= 3 else 2}g}" for value in array.ravel()]
            size = min(13.0, 1.3 * room / max(map(len, texts)))
            for (row, column), text in zip(np.ndindex(array.shape), texts, strict=True):
                colour = "white" if abs(norm(array[row, column]) - 0.5) > 0.3 else "black"
                panel.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    return show(figure, alt=alt)


def overlay(
    photo: ArrayLike, heat: ArrayLike, *, alt: str = "", titles: Sequence[str] = ("photo", "heat map")
) -> Picture:
    """Show a photo, and beside it the photo in gray under a heat map.

    Parameters
    ----------
    photo : array [H,W], [H,W,3], [1,H,W] or [3,H,W]
    heat : array [h,w]
        Any size; it is stretched over the photo. Bright is high.
    alt, titles
        As in `images`.
    """
    photo, heat = image_of(photo, 0), image_of(heat, 1, flat=True)
    gray = photo if photo.ndim == 2 else photo[..., :3] @ np.array([0.299, 0.587, 0.114])
    figure, panels = grid_of([photo, photo], titles)
    height, width = photo.shape[:2]
    panels[0].imshow(photo, cmap="gray")
    panels[1].imshow(gray, cmap="gray")
    drawn = panels[1].imshow(
        heat, cmap="inferno", alpha=0.55, interpolation="bilinear", extent=(-0.5, width - 0.5, height - 0.5, -0.5)
    )
    for panel in panels:
        panel.set_axis_off()
    figure.colorbar(drawn, ax=panels, shrink=0.7, pad=0.02)
    return show(figure, alt=alt)


def sliding(
    image: ArrayLike, kernel: ArrayLike, *, alt: str = "", stride: int = 1, padding: int = 0, dilation: int = 1
) -> Interactive:
    """Show a kernel that slides over a small image: on the left where it lies, on the right the output so far.

    It can be played, paused and taken step by step; where scripts do not run, a picture shows it in the middle.

    Parameters
    ----------
    image : array [H,W]
        Small enough that its numbers can be read, say 8 x 8.
    kernel : array [kH,kW]
        Correlated with the image, not flipped.
    alt, stride, padding, dilation
        What there is to see; the others are those of `torch.nn.Conv2d`.
    """
    padded = np.pad(image_of(image, 0, flat=True), padding)
    kernel = image_of(kernel, 1, flat=True)
    extents = [dilation * (size - 1) + 1 for size in kernel.shape]
    rows, columns = (range(0, size - r + 1, stride) for size, r in zip(padded.shape, extents, strict=True))
    if not len(rows) or not len(columns):
        raise ValueError(f"the kernel extends over {extents} pixels and does not fit into the image {padded.shape}.")
    output = np.zeros((len(rows), len(columns)))
    for (i, top), (j, left) in itertools.product(enumerate(rows), enumerate(columns)):
        window = padded[top : top + extents[0] : dilation, left : left + extents[1] : dilation]
        output[i, j] = np.sum(window * kernel)
    middle = len(rows) // 2, len(columns) // 2
    so_far = output.copy()
    so_far.flat[middle[0] * len(columns) + middle[1] + 1 :] = np.nan
    corner = rows[middle[0]], columns[middle[1]]
    still = show(_sliding_frame(padded, padding, kernel, corner, dilation, so_far, middle), alt=alt)
    data = {"image": padded[padding : padded.shape[0] - padding, padding : padded.shape[1] - padding], "kernel": kernel}
    data |= {"output": output, "stride": stride, "padding": padding, "dilation": dilation}
    return interactive("sliding", data, still)


def _sliding_frame(padded, padding, kernel, corner, dilation, output, current) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[padded.shape[1], max(output.shape[1], 3)])
    for (row, column), value in np.ndenumerate(padded):
        inside = padding <= row < padded.shape[0] - padding and padding <= column < padded.shape[1] - padding
        face, colour = ("white", "black") if inside else ("#e6e6e6", "#777777")
        _number(left, row, column, value, face=face, colour=colour)
    for (m, n), weight in np.ndenumerate(kernel):
        row, column = corner[0] + m * dilation, corner[1] + n * dilation
        _number(left, row, column, padded[row, column], face="#FCE1B0", corner=f"×{weight:g}")
    for (row, column), value in np.ndenumerate(output):
        face = "#FCE1B0" if (row, column) == current else "white"
        _number(right, row, column, value, face=face)
    left.set_title("image (gray: padding), kernel on top")
    right.set_title("output")
    for panel, shape in [(left, padded.shape), (right, output.shape)]:
        panel.set(xlim=(-0.55, shape[1] - 0.45), ylim=(shape[0] - 0.45, -0.55), aspect="equal")
        panel.set_axis_off()
    return figure


def _number(panel, row: int, column: int, value: float, *, face: str, colour: str = "black", corner: str = "") -> None:
    panel.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=face, edgecolor="0.5", linewidth=0.8))
    if np.isfinite(value):
        panel.text(column, row, f"{value:g}", ha="center", va="center", fontsize=12, color=colour)
    panel.text(column + 0.44, row + 0.42, corner, ha="right", va="bottom", fontsize=8, color=COLOURS[1])


def images_of(images: Iterable[Any]) -> list[np.ndarray]:
    """Return images one by one as `image_of` does; ValueError for a single one, whose rows are no images."""
    shape = getattr(images, "shape", ())
    colour = len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) > 4
    if len(shape) == 2 or colour or hasattr(images, "convert"):
        raise ValueError("expected several images, and this is one: put it into a list, [image].")
    return [image_of(image, index) for index, image in enumerate(images)]


def image_of(values: ArrayLike, index: int, *, flat: bool = False) -> np.ndarray:
    """Return [H,W] or [H,W,3], whichever layout came in."""
    array = numbers(values)
    if array.ndim == 3 and array.shape[0] in (1, 3) and (array.shape[-1] not in (3, 4) or (flat and len(array) == 1)):
        array = array.transpose(1, 2, 0)
    array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if array.size == 0 or (array.ndim != 2 and (flat or array.ndim != 3 or array.shape[-1] not in (3, 4))):
        wanted = "[H,W]" if flat else "[H,W], [H,W,3] or [3,H,W]"
        raise ValueError(f"image {index} has shape {array.shape}; expected {wanted}.")
    if not np.isfinite(array).all():
        raise ValueError(f"image {index} holds NaN or infinite values, which have no colour.")
    if array.ndim == 3 and array.dtype != np.uint8:
        if array.min() < -1e-3 or array.max() > 1 + 1e-3:
            raise ValueError(
                f"image {index} is a float colour image with values from {array.min():.3g} to {array.max():.3g}; "
                "expected 0 to 1. Divide by 255, or undo the normalization."
            )
        array = array.clip(0, 1)
    return array


def _norm(arrays: Sequence[np.ndarray], cmap: str, limits: tuple[float, float] | None) -> Normalize:
    low, high = limits or (min(a.min() for a in arrays), max(a.max() for a in arrays))
    if limits and not low < high:
        raise ValueError(f"limits must be (low, high) with low < high, not {limits}.")
    if limits is None and cmap.removesuffix("_r") in ("PuOr", "RdBu", "coolwarm", "seismic"):
        high = max(abs(float(low)), abs(float(high)))
        low = -high
    return Normalize(low, high if high > low else low + 1)


def grid_of(arrays: Sequence, titles: Sequence[str] | None, columns: int | None = None, most: int = 4) -> tuple:
    """Return a figure and one panel per array, as high as its arrays and titles need; long titles are wrapped."""
    if not arrays:
        raise ValueError("there is no image to show: the sequence is empty.")
    titles = () if titles is None else arguments.texts("titles", titles)
    if titles and len(titles) != len(arrays):
        raise ValueError(f"{len(arrays)} images need as many titles, not {len(titles)}.")
    columns = min(len(arrays), columns or most)
    rows = -(-len(arrays) // columns)
    cell = min(WIDTH / columns, 3.4)
    titles = [_wrapped(title, cell - 0.15) for title in titles]
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    tallest = max(a.shape[0] / a.shape[1] for a in arrays)
    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.04)
        figure = Figure(figsize=(WIDTH, rows * (min(cell * tallest, 5.0) + 0.24 * lines + 0.2)), layout=layout)
        panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for panel, title in zip(panels, titles, strict=False):
        panel.set_title(title, fontsize=TITLE)
    for empty in panels[len(arrays) :]:
        empty.set_axis_off()
    return figure, panels[: len(arrays)]


def _wrapped(title: str, inches: float) -> str:
    """Break a title between its words, so that no line is longer than its panel is wide."""
    lines: list[str] = []
    for word in title.split():
        longer = f"{lines[-1]} {word}" if lines else ""
        if longer and TextPath((0, 0), longer, size=TITLE).get_extents().width / 72 < inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
