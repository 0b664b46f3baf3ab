"""Checks that many modules make of their arguments, so that the same mistake gets the same answer everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def module(value: Any, name: str = "model") -> torch.nn.Module:
    """Return ``value`` if it is a network or layer; else raise TypeError."""
    import torch

    if not isinstance(value, torch.nn.Module):
        advice = " Make one of the class first, with brackets." if isinstance(value, type) else ""
        raise TypeError(f"{name} must be a torch.nn.Module, not {type(value).__name__}.{advice}")
    return value


def tensor(name: str, value: Any, shape: str, *, floats: bool = False) -> torch.Tensor:
    """Return ``value`` if it is a tensor, or a float tensor; else raise TypeError, which says the wanted ``shape``."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{name} must be a tensor {shape}, not {type(value).__name__}. From an array or list: torch.as_tensor(x)"
        )
    if floats and not value.is_floating_point():
        raise TypeError(f"{name} must be a float tensor {shape}, not one of {value.dtype}. Take {name}.float()")
    return value


def unit_range(name: str, images: torch.Tensor) -> None:
    """Raise ValueError for images beyond 0..1, such as bytes and normalized ones, or with NaN."""
    low, high = (extreme.item() for extreme in images.aminmax()) if images.numel() else (0, 1)
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # so that NaN is refused, too
        raise ValueError(
            f"{name} must lie in 0..1, not go from {low:.3g} to {high:.3g}. Divide bytes by 255; undo a normalization."
        )


def as_tensor(values: Any) -> torch.Tensor:
    """Return anything like an array as a tensor; numpy's read-only arrays are copied, since torch has none."""
    import torch

    flags = getattr(values, "flags", None)
    return torch.as_tensor(values.copy() if flags is not None and not flags.writeable else values)


def texts(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return several texts as a tuple; raise TypeError for a single text, a set (it has no order), or other things."""
    if isinstance(values, str | bytes | set | frozenset) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of texts, not {values!r:.80}.")
    found = tuple(values)
    if not all(isinstance(text, str) for text in found):
        raise TypeError(f"{name} must be a list of texts, not {values!r:.200}.")
    return found


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return ``value`` as an int; raise TypeError for 2.0 or True, ValueError outside ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, not {value!r:.80}.")
    number = int(value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}.")
    if most is not None and number > most:
        raise ValueError(f"{name} must be at most {most:,}, not {number}.")
    return number
