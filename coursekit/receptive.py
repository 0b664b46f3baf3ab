"""Receptive fields, as notebook 02 builds them: how much of the input one output sees, by formula and by gradient.

`filters` offers these names too; that is where notebooks take them from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from coursekit import arguments

Pair = int | tuple[int, int]

# Layers whose output at one position depends on the input at this position only (batch norm: in evaluation mode).
_POINTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid),
    *(nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity),
)


class Field(NamedTuple):
    """What one output of a layer sees of the input; pairs are (rows, columns), in input pixels.

    Attributes
    ----------
    layer : str
        The layer's name within the model; "input" for the first.
    size : (int, int)
        The receptive field.
    stride : (int, int)
        How far the fields of neighbouring outputs lie apart.
    start : (int, int)
        Where the field of output (0, 0) begins; below 0 it begins in the padding.
    """

    layer: str
    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]


def receptive_field(model: nn.Module) -> list[Field]:
    """Compute receptive fields by formula: a layer adds ``dilation (kernel - 1)`` times the stride so far.

    Parameters
    ----------
    model : nn.Module
        A layer or an `nn.Sequential`, nested as deep as you like, of convolutions, pooling and layers that treat each
        position by itself.

    Returns
    -------
    list of Field
        For the input, then for each layer; the last one is the model's.

    Raises
    ------
    TypeError
        If ``model`` is no module.
    ValueError
        If it holds a layer of another kind, with its name.

    Notes
    -----
    Araujo, Norris and Sim (2019), "Computing receptive fields of convolutional neural networks".
    """
    fields = [Field("input", (1, 1), (1, 1), (0, 0))]
    for name, layer in _layers(arguments.module(model)):
        kernel, leap, pads, steps = _geometry(name, layer)
        _, size, stride, start = fields[-1]
        grown = tuple(r + d * (k - 1) * j for r, d, k, j in zip(size, steps, kernel, stride, strict=True))
        begun = tuple(b - p * j for b, p, j in zip(start, pads, stride, strict=True))
        fields.append(Field(name, grown, tuple(j * s for j, s in zip(stride, leap, strict=True)), begun))
    return fields


def receptive_field_by_gradient(
    model: nn.Module, shape: tuple[int, int, int], *, position: tuple[int, int] | None = None, samples: int = 16
) -> Tensor:
    """Measure how much each input pixel can move one output: the mean size of the gradient over random inputs.

    A pixel above zero belongs to the receptive field; how far above, says what the field is like inside (Luo, Li,
    Urtasun and Zemel, 2016). The model may be of any kind; it is not changed. Works on a copy in double precision and
    in evaluation mode: in training mode, batch norm would let each output see the whole batch.

    Parameters
    ----------
    model : nn.Module
        From [1,C,H,W] to [1,C',H',W'].
    shape : (C, H, W)
    position : (int, int), optional
        Row and column of the output; without it, the middle.
    samples : int
        Random inputs. A max-pooling passes the gradient to one pixel of each window, and ReLU stops some of it:
        the more inputs, the fewer pixels are missed.

    Returns
    -------
    Tensor [H,W]

    Raises
    ------
    TypeError, ValueError
        If ``model`` is no module, a shape is not as above, or the output does not depend on the input in a way that can
        be differentiated.
    """
    arguments.module(model)
    sizes = shape if isinstance(shape, Sequence) else ()
    if len(sizes) != 3 or not all(arguments.is_whole(n, 1) for n in (*sizes, samples)):
        raise ValueError(f"shape must be (C, H, W) and samples at least 1; got {shape!r:.80} and {samples!r:.80}.")
    if position is not None:
        where = position if isinstance(position, Sequence) else ()
        if len(where) != 2 or not all(map(arguments.is_whole, where)):
            raise ValueError(f"position must be (row, column), not {position!r:.80}.")
    model = copy.deepcopy(model).cpu().double().eval()
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(shape[1:], dtype=torch.double)
    with torch.enable_grad():
        for _ in range(samples):
            x = torch.randn(1, *shape, generator=generator, dtype=torch.double, requires_grad=True)
            y = model(x)
            if not isinstance(y, Tensor) or y.ndim != 4 or not y.requires_grad:
                found = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
                raise ValueError(f"the model must give a differentiable [1,C',H',W']; it gave {found}.")
            row, column = position or (y.shape[2] // 2, y.shape[3] // 2)
            if not (0 <= row < y.shape[2] and 0 <= column < y.shape[3]):
                raise ValueError(
                    f"position {position} lies outside the output, which has {list(y.shape[2:])} positions."
                )
            channels = torch.randn(y.shape[1], generator=generator, dtype=torch.double)  # so that no two cancel out
            (gradient,) = torch.autograd.grad(y[0, :, row, column] @ channels, x)
            total += gradient[0].abs().sum(0)
    return total / samples


def pair(name: str, value: Pair, least: int) -> tuple[int, int]:
    """Return one number for rows and one for columns, each a whole number of at least ``least``.

    Raises
    ------
    ValueError
        If it is something else; ``name`` is the argument's name.
    """
    values = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2 or not all(arguments.is_whole(v, least) for v in values):
        raise ValueError(f"{name} must be a whole number of at least {least}, or a pair of such; got {value!r}.")
    return values


def _layers(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Walk through nested Sequentials in order; unlike `named_modules`, name a layer that is used twice twice."""
    if not isinstance(model, nn.Sequential):
        yield name or "model", model
        return
    for child, module in model._modules.items():
        yield from _layers(module, f"{name}.{child}" if name else child)


def _geometry(name: str, layer: nn.Module) -> tuple:
    """Return kernel, stride, padding and dilation of a layer, each as a pair."""
    if isinstance(layer, _POINTWISE):
        return (1, 1), (1, 1), (0, 0), (1, 1)
    if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        raise ValueError(
            f"layer {name!r} is a {type(layer).__name__}, and receptive_field knows convolutions, max and average "
            "pooling, and layers that treat each position by itself. Where a layer sees the whole image (flatten, "
            "linear, adaptive pooling), give the part of the model before it, such as model[:4]; for other models "
            "take receptive_field_by_gradient."
        )
    kernel, steps = pair("kernel", layer.kernel_size, 1), pair("dilation", getattr(layer, "dilation", 1), 1)
    pads = {"valid": 0, "same": tuple(d * (k - 1) // 2 for d, k in zip(steps, kernel, strict=True))}
    pads = pads[layer.padding] if isinstance(layer.padding, str) else layer.padding
    return kernel, pair("stride", layer.stride, 1), pair("padding", pads, 0), steps
