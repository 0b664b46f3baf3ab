"""Is an argument what it should be? Asked in one place, so that every module sees the same, and says it alike.

All other modules may use this one, and so it imports none of them, and torch only where a tensor or module is asked
for. Each function returns what it was given, or raises an error that names the argument.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

_T = TypeVar("_T")


def of_type(name: str, value: _T, types: type | tuple[type, ...], wanted: str, advice: str = "") -> _T:
    """Raise TypeError unless ``value`` is of one of the types; ``wanted`` says in words which, such as "a Dataset"."""
    if not isinstance(value, types):
        found = "None" if value is None else type(value).__name__
        raise TypeError(f"{name} must be {wanted}, not {found}.{' ' * bool(advice)}{advice}")
    return value


def module(value: object, name: str = "model") -> torch.nn.Module:
    """Raise TypeError unless ``value`` is a network or layer."""
    import torch

    made = "Make one of the class first, with brackets." if isinstance(value, type) else ""
    return of_type(name, value, torch.nn.Module, "a torch.nn.Module", made)


def tensor(name: str, value: object, shape: str, *, floats: bool = False) -> torch.Tensor:
    """Raise TypeError unless ``value`` is a tensor of real numbers; ``shape`` is what it should have, for the message.

    Sparse tensors and those without values (on the device "meta") are refused too: little works with them.
    """
    import torch

    of_type(name, value, torch.Tensor, f"a tensor {shape}", "From an array or list: torch.as_tensor(x)")
    if value.is_complex() or value.layout is not torch.strided or value.is_meta:
        kind = "of complex numbers" if value.is_complex() else "without values" if value.is_meta else "that is sparse"
        raise TypeError(f"{name} must be a plain tensor {shape} of real numbers, not one {kind}.")
    if floats and not value.is_floating_point():
        raise TypeError(f"{name} must be a float tensor {shape}, not one of {value.dtype}. Take {name}.float()")
    return value


def as_tensor(values: object) -> torch.Tensor:
    """Return anything like an array as a tensor; numpy's array for reading only is copied, since torch has none."""
    import torch

    flags = getattr(values, "flags", None)
    return torch.as_tensor(values.copy() if flags is not None and not flags.writeable else values)


def mapping(name: str, value: object, example: str) -> Mapping:
    """Raise TypeError unless ``value`` is a mapping, such as the ``example``."""
    return of_type(name, value, Mapping, f"a mapping such as {example}")


def texts(name: str, values: object) -> tuple[str, ...]:
    """Return several texts as a tuple, in their order; raise TypeError for one text, a set, or other things."""
    wanted = "a list of texts"
    of_type(name, values, Iterable, wanted)
    if isinstance(values, str | bytes | set | frozenset):  # a set would give each text a place by chance
        raise TypeError(f"{name} must be {wanted}, not {values!r:.80}.")
    found = tuple(values)
    if not all(isinstance(text, str) for text in found):
        raise TypeError(f"{name} must be {wanted}, not {values!r:.200}.")
    return found


def is_whole(value: object, least: int | None = None) -> bool:
    """Tell whether it is a whole number, Python's or numpy's, and at least so large. True and 3.0 are none."""
    return not isinstance(value, bool) and isinstance(value, Integral) and (least is None or value >= least)


def whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Raise TypeError unless ``value`` is a whole number, ValueError unless it is from ``least`` to ``most``."""
    if not is_whole(value):
        raise TypeError(f"{name} must be a whole number, not {value!r:.80}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}.")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most:,}, not {value}.")
    return int(value)


def real(name: str, value: object) -> float:
    """Raise TypeError unless ``value`` is one number, Python's or numpy's; NaN and infinity are."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r:.80}.")
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf if value > 0 else -math.inf


def finite(name: str, value: object) -> float:
    """Raise TypeError unless ``value`` is one number, ValueError if it is NaN or infinite."""
    number = real(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, not {value!r:.80}.")
    return number
