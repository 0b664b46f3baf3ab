"""Diagrams: a network as the tensors that pass through it, a layer's channels, residual blocks and paths, a U-Net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

from coursekit.figures.picture import COLOURS, STYLE, WIDTH, Picture, show

if TYPE_CHECKING:
    from torch import nn

_ELEMENTWISE = ("ReLU", "LeakyReLU", "PReLU", "ELU", "BatchNorm2d", "Dropout", "Identity", "Sigmoid", "Softmax")


def network(model: nn.Module, shape: Sequence[int], *, alt: str = "", columns: int = 6) -> Picture:
    """Draw a network as a row of tensors, with the layer that makes each of them, its shape and its parameters.

    Layers that act on each element alone (activations, batch norm, dropout) are written with the layer before them.

    Parameters
    ----------
    model : nn.Module
        A `torch.nn.Sequential`, nested or not: its layers run in the order in which they stand.
    shape : sequence of int
        The shape of one input without the batch axis, such as ``(1, 28, 28)``.
    alt : str
        What there is to see.
    columns : int
        Tensors in one row of the drawing.
    """
    steps = [(["input"], tuple(shape), 0), *_steps(model, shape)]
    rows = [steps[start : start + columns] for start in range(0, len(steps), columns)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.75 * WIDTH / columns * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, row in zip(axes, rows, strict=True):
        axis.set(xlim=(0, columns), ylim=(-0.85, 0.9), aspect="equal")
        axis.set_axis_off()
        for place, (names, size, parameters) in enumerate(row):
            _tensor(axis, place + 0.42, size, COLOURS[4] if names == ["input"] else COLOURS[5])
            axis.text(place + 0.42, 0.88, "\n".join(names), ha="center", va="top", fontsize=8)
            lines = ["x".join(map(str, size))] + [f"{parameters:,}\nparameters"] * bool(parameters)
            axis.text(place + 0.42, -0.45, "\n".join(lines), ha="center", va="top", fontsize=8)
            if place or row is not rows[0]:
                axis.annotate("", (place + 0.08, 0), (place - 0.12, 0), arrowprops={"arrowstyle": "->", "color": "0.3"})
    return show(figure, alt=alt)


def channels(inputs: int, outputs: int, *, alt: str = "") -> Picture:
    """Draw how a convolutional layer connects its channels: a kernel for each pair of an output and an input.

    Parameters
    ----------
    inputs, outputs : int
        Number of channels; few enough to be drawn, say up to four.
    alt : str
        What there is to see.
    """
    unit = min(1.1, WIDTH / (inputs + 2.9))  # inches
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=((inputs + 2.9) * unit, (outputs + 1.5) * unit), layout="constrained")
        axis = figure.subplots()
    axis.set(xlim=(-0.9, inputs + 2.0), ylim=(outputs - 0.45, -1.95), aspect="equal")
    axis.set_axis_off()

    def write(x: float, y: float, text: str) -> None:
        axis.text(x, y, text, ha="center", va="center", fontsize=10)

    for n in range(inputs):
        axis.add_patch(Rectangle((n - 0.32, -1.6), 0.64, 0.64, facecolor="0.88", edgecolor="0.5"))
        write(n, -1.28, f"X[{n}]")
        axis.annotate("", (n, -0.4), (n, -0.92), arrowprops={"arrowstyle": "->", "color": "0.3"})
    for m in range(outputs):
        colour = COLOURS[m % 3]
        for n in range(inputs):
            for k in range(9):
                corner = n - 0.3 + 0.2 * (k % 3), m - 0.3 + 0.2 * (k // 3)
                axis.add_patch(Rectangle(corner, 0.2, 0.2, facecolor=colour, alpha=0.35, edgecolor="white"))
            write(n, m, f"W[{m}, {n}]")
            write(n + 0.5, m, "+")
        write(inputs + 0.02, m, f"b[{m}]")
        write(inputs + 0.45, m, "=")
        axis.add_patch(Rectangle((inputs + 0.8, m - 0.32), 0.64, 0.64, facecolor=colour, alpha=0.35, edgecolor="0.5"))
        write(inputs + 1.12, m, f"Z[{m}]")
    return show(figure, alt=alt)


def blocks(branches: Mapping[str, tuple[Sequence[str], str | None]], *, alt: str = "") -> Picture:
    """Draw blocks of a network side by side: the layers of the branch from top to bottom, the shortcut, their sum.

    Parameters
    ----------
    branches : mapping from title to (layers, shortcut)
        The names of the branch's layers in their order; and what stands on the shortcut, "" for the input itself, None
        for a plain block, which has no shortcut.
    alt : str
        What there is to see.
    """
    tallest = max(len(layers) for layers, _ in branches.values())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.37 * (tallest + 4.3)), layout="constrained")
        axes = figure.subplots(1, len(branches), squeeze=False)[0]
    for axis, (title, (layers, shortcut)) in zip(axes, branches.items(), strict=True):
        axis.set(xlim=(-1.25, 1.75), ylim=(-tallest - 3.1, 0.7), title=title)
        axis.set_axis_off()
        end = -len(layers) - 0.9
        for row, text in enumerate(layers, start=1):
            _arrow(axis, (0, 1.0 - row - 0.35 * (row > 1)), (0, -row + 0.35))
            _labelled(axis, -row, text, COLOURS[5] if text[:1].isdigit() else "0.9")
        _arrow(axis, (0, -len(layers) - 0.35), (0, end + (0.0 if shortcut is None else 0.3)))
        axis.text(0, 0.15, "x", ha="center", va="bottom", fontsize=10, style="italic")
        if shortcut is not None:
            way = {"color": COLOURS[1], "linewidth": 1.8}
            axis.plot([0, 1.3, 1.3], [-0.1, -0.1, end], **way)
            _arrow(axis, (1.3, end), (0.2, end), **way)
            axis.text(0, end, "+", ha="center", va="center", fontsize=12)
            axis.plot(0, end, "o", markersize=15, markerfacecolor="none", markeredgecolor="0.3")
            turned = {"rotation": 90} if shortcut else {"style": "italic"}
            axis.text(1.38, end / 2, shortcut or "x", ha="left", va="center", fontsize=9, color=COLOURS[1], **turned)
            _arrow(axis, (0, end - 0.3), (0, end - 0.65))
        _labelled(axis, end - (0.35 if shortcut is None else 1.0), "ReLU", "0.9")
    return show(figure, alt=alt)


def paths(count: int, *, alt: str = "") -> Picture:
    """Draw a residual network of so many blocks, and below it all of its paths: through each branch, or around it.

    Parameters
    ----------
    count : int
        How many blocks; at most four, since there are ``2 ** count`` paths.
    alt : str
        What there is to see.
    """
    taken = [set(chosen) for length in range(count + 1) for chosen in combinations(range(count), length)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.42 * (len(taken) + 2.6)), layout="constrained")
        axis = figure.subplots()
    axis.set(xlim=(-0.8, count + 1.6), ylim=(-len(taken) - 0.6, 1.6))
    axis.set_axis_off()
    for place in range(count):
        way = {"connectionstyle": "arc3,rad=-0.55", "arrowstyle": "->", "mutation_scale": 10, "color": COLOURS[1]}
        axis.add_patch(FancyArrowPatch((place + 0.05, 0.6), (place + 0.95, 0.6), linewidth=1.5, **way))
        axis.text(place + 0.97, 0.6, "+", ha="center", va="center", fontsize=11)
    for row, chosen in enumerate([set(range(count)), *taken]):
        y = 0.6 if row == 0 else -row
        axis.text(-0.15, y, "x", ha="center", va="center", fontsize=10, style="italic")
        for place in range(count):
            branch = place in chosen
            end = 1.0 if row else 0.9
            axis.plot([place, place + end], [y, y], color="0.3" if branch else COLOURS[1], linewidth=1.2, zorder=0)
            if branch:
                axis.add_patch(Rectangle((place + 0.25, y - 0.3), 0.45, 0.6, facecolor=COLOURS[5], edgecolor="0.3"))
                axis.text(place + 0.475, y, f"$f_{{{place + 1}}}$", ha="center", va="center", fontsize=10)
        text = "the network" if row == 0 else f"length {len(chosen)}"
        axis.text(count + 0.25, y, text, ha="left", va="center", fontsize=9)
    return show(figure, alt=alt)


def u_net(down: Sequence[Sequence[int]], up: Sequence[Sequence[int]], *, alt: str = "") -> Picture:
    """Draw a U-Net: the encoder's maps from top to bottom, the decoder's up again, and the skip connections.

    Parameters
    ----------
    down, up : sequence of (channels, height, width)
        The shape of the maps after each stage. A decoder has one stage less than its encoder; what comes after these,
        such as the head, is drawn at the end of the first row.
    alt : str
        What there is to see.
    """
    deep = len(down) - 1
    places = [(step, -min(step, max(0, 2 * deep - step))) for step in range(len(down) + len(up))]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.64 * (deep + 1)), layout="constrained")
        axis = figure.subplots()
    axis.set(xlim=(-0.7, len(places) - 0.3), ylim=(-deep - 0.5, 0.5))
    axis.set_axis_off()
    look = {"arrowstyle": "-|>", "color": "0.4", "shrinkA": 22, "shrinkB": 22}
    for start, end in pairwise(places):
        axis.annotate("", end, start, arrowprops=look)
    for step in range(deep):
        axis.annotate("", places[2 * deep - step], places[step], arrowprops=look | {"linestyle": "--"})
    for step, (place, (channels_, height, width)) in enumerate(zip(places, [*down, *up], strict=True)):
        box = {"boxstyle": "round", "facecolor": COLOURS[4 if step <= deep else 5], "alpha": 0.5}
        axis.text(*place, f"{channels_}\n{height}x{width}", bbox=box, ha="center", va="center", fontsize=8)
    axis.text(deep, 0.25, "skip connections", ha="center", fontsize=8)
    return show(figure, alt=alt)


def pipelines(rows: Mapping[str, Sequence[tuple[str, int]]], kinds: Sequence[str], *, alt: str = "") -> Picture:
    """Draw programs below each other, each as a row of steps in the colour of their kind, with a legend of the kinds.

    Parameters
    ----------
    rows : mapping from title to steps
        Each step is a text, which may have several lines, and the number of its kind.
    kinds : sequence of str
        What the colours mean.
    alt : str
        What there is to see.
    """
    longest = max(len(steps) for steps in rows.values())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.85 * len(rows) + 0.35), layout="constrained")
        axis = figure.subplots()
    axis.set(xlim=(-1.15, longest - 0.55), ylim=(len(rows) - 0.6, -0.8))
    axis.set_axis_off()
    for row, (title, steps) in enumerate(rows.items()):
        axis.text(-0.5, row, title, ha="right", va="center", fontsize=10)
        for place, (text, kind) in enumerate(steps):
            if place:
                _arrow(axis, (place - 0.6, row), (place - 0.4, row))
            look = {"facecolor": COLOURS[5 - kind], "edgecolor": "0.3", "alpha": 0.6, "label": kinds[kind]}
            axis.add_patch(Rectangle((place - 0.4, row - 0.34), 0.8, 0.68, **look))
            axis.text(place, row, text, ha="center", va="center", fontsize=8.5)
    handles, labels = axis.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    axis.legend([known[kind] for kind in kinds], kinds, loc="upper center", ncols=len(kinds), frameon=False)
    return show(figure, alt=alt)


def _steps(model: nn.Module, shape: Sequence[int]) -> list[tuple[list[str], tuple[int, ...], int]]:
    """Run the model once and return, for each tensor that is drawn, its layers' names, its shape and parameters."""
    import torch

    leaves = [module for module in model.modules() if not list(module.children())]
    found: list = []

    def note(module, _, output):
        name, parameters = _name(module), sum(p.numel() for p in module.parameters(recurse=False))
        if type(module).__name__ in _ELEMENTWISE and found:
            found[-1][0].append(name)
            found[-1][2] += parameters
        else:
            found.append([[name], tuple(output.shape[1:]), parameters])

    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            first = next(model.parameters(), torch.zeros(()))
            model.eval()(torch.zeros(1, *shape, device=first.device, dtype=first.dtype))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return [(names, size, parameters) for names, size, parameters in found]


def _name(module: Any) -> str:
    kind = type(module).__name__
    if kind in ("Conv2d", "ConvTranspose2d"):
        size = "x".join(map(str, module.kernel_size))
        stride = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
        return f"{kind} {size}{stride}"
    if kind in ("MaxPool2d", "AvgPool2d"):
        return f"{kind} {module.kernel_size}"
    return {"AdaptiveAvgPool2d": "global average", "BatchNorm2d": "batch norm"}.get(kind, kind)


def _tensor(axis: Axes, x: float, shape: tuple[int, ...], colour: str) -> None:
    """Draw a tensor [C,H,W] as a box whose front is the image and whose depth is the channels; a vector as a bar."""
    if len(shape) < 3:
        axis.add_patch(Rectangle((x - 0.04, -0.4), 0.08, 0.8, facecolor=colour, edgecolor="0.3", linewidth=0.8))
        return
    depth, height = shape[0], shape[-2]
    side = 0.12 + 0.5 * min(1.0, (height / 64) ** 0.5)
    back = 0.03 + 0.2 * min(1.0, (depth / 256) ** 0.5)
    left, bottom = x - (side + back) / 2, -(side + back) / 2
    right, top = left + side, bottom + side
    style = {"edgecolor": "0.3", "linewidth": 0.8}
    axis.add_patch(Rectangle((left, bottom), side, side, facecolor=colour, **style))
    lid = [(left, top), (left + back, top + back), (right + back, top + back), (right, top)]
    wall = [(right, bottom), (right + back, bottom + back), (right + back, top + back), (right, top)]
    axis.add_patch(Polygon(lid, facecolor=colour, alpha=0.6, **style))
    axis.add_patch(Polygon(wall, facecolor=colour, alpha=0.4, **style))


def _labelled(axis: Axes, y: float, text: str, colour: str) -> None:
    """Draw a box around x = 0 with the name of a layer."""
    axis.add_patch(Rectangle((-0.95, y - 0.35), 1.9, 0.7, facecolor=colour, edgecolor="0.3", linewidth=0.8))
    axis.text(0, y, text, ha="center", va="center", fontsize=9)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], **look: Any) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "0.3", "shrinkA": 0, "shrinkB": 0} | look)
