"""Where an answer differs from what is right, in words and as a small map: never by how much.

A hint ends in a case that one can compute by hand. `smallest_call` finds it among numbers for many settings; `by_hand`
tries a function on a small input. The map says for each value whether it is right (.), too large (+) or too small (-).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from coursekit.checks.transport import as_numpy

WIDEST, HIGHEST = 120, 10  # characters and lines of a table
# The student's function, the right one, and inputs by their names; or a function that finds what to say by itself.
Small = tuple[Callable, Callable, Mapping[str, object]] | Callable[[], str]


def close(answer: np.ndarray, expected: np.ndarray, rtol: float) -> np.ndarray:
    """Compare element by element; ``rtol`` is relative to the largest expected value."""
    sizes = np.abs(expected)
    return np.abs(answer - expected) <= rtol * max(np.max(sizes, initial=0, where=np.isfinite(sizes)), 1e-12)


def floats(values: object) -> np.ndarray:
    """Return numbers of any kind as an array of floats."""
    return np.asarray(as_numpy(values), dtype=float)


def pattern(values: np.ndarray, right: np.ndarray, rtol: float) -> str:
    """Say how two arrays of one shape differ, such as "only at the border", or "all have the wrong sign"."""

    def same(other: np.ndarray) -> bool:
        return other.shape == values.shape and bool(close(values, other, max(rtol, 1e-9)).all())

    wrong = ~close(values, right, rtol)
    if values.size > 1 and np.ptp(values) == 0 < np.ptp(right):
        return "all values are the same number"
    if values.size > 1 and np.ptp(right) > 0:
        factor = (values * right).sum() / (right**2).sum()
        planes = {"it is turned over left to right": right[..., ::-1]} if right.ndim else {}
        if right.ndim > 1:
            planes |= {"it is upside down": right[..., ::-1, :], "it is transposed": right.swapaxes(-1, -2)}
            planes["it is turned by 180 degrees"] = right[..., ::-1, ::-1]
        else:
            planes = {"its order is reversed": right[::-1]}
        known = {"all values have the wrong sign": -right, **planes}
        known |= {"all values have lost their sign": np.abs(right), "what is below 0 is cut off": np.maximum(right, 0)}
        known["all values are a hundred times as large, as per cent are"] = 100 * right
        known |= {f"the numbers are rounded (digits behind the point: {n})": np.round(right, n) for n in range(5)}
        known["all values are right but for one common factor"] = factor * right
        known["the same number is added to all values"] = right + (values - right).mean()
        for text, other in known.items():
            if same(other):
                return text
        for axis in range(max(right.ndim - 2, 0), right.ndim):
            for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
                one, other = (np.moveaxis(part, axis, 0)[at] for part, at in ((values, here), (right, there)))
                if one.size > 1 and close(one, other, rtol).all():
                    return "everything is moved by one " + ("column" if axis == right.ndim - 1 else "row")
        if close(np.sort(values, axis=None), np.sort(right, axis=None), rtol).all():
            return "the numbers are right, but they stand at other places"
    if np.ptp(right) > 20 and not np.any(values % 1) and not np.any(right % 1) and np.abs(values - right).max() == 1:
        return "no value is off by more than 1, as after another rounding"
    if right.ndim > 1 and min(right.shape[-2:]) > 2 and not wrong.all():
        inside = wrong[..., 1:-1, 1:-1]
        if not inside.any() and wrong.sum() > 2:
            return "only the border is wrong"
        if inside.all() and wrong.sum() == inside.sum() > 1:
            return "the border is right, and the inside is not"
    for axis in range(right.ndim - 2 if right.ndim > 2 else 0):
        bad = np.moveaxis(wrong, axis, 0).reshape(right.shape[axis], -1).any(axis=1)
        if not bad.all():
            return f"only at {', '.join(map(str, np.flatnonzero(bad)[:3]))} of axis {axis}"
    signs = {("too large" if sign > 0 else "too small") for sign in np.sign(values - right)[wrong]}
    some = "one value is " if wrong.sum() == 1 else "some values are right, others "
    many = "all values are " if wrong.all() else some
    return many + " or ".join(sorted(signs)) if values.size > 1 else f"it is {signs.pop()}"


def marks(values: np.ndarray, right: np.ndarray, rtol: float) -> np.ndarray:
    """Return the map: a sign for each value."""
    return np.where(close(values, right, rtol), ".", np.where(values > right, "+", "-"))


def table(parts: Mapping[str, Any]) -> str:
    """Write numbers or signs side by side, each with its name above; nothing if that gets too large."""
    columns = []
    for name, part in parts.items():
        part = np.asarray(as_numpy(part))
        rows = part.reshape(-1, part.shape[-1]) if part.ndim else part.reshape(1, 1)
        texts = [[v if isinstance(v, str) else f"{float(v) + 0:.4g}" for v in row] for row in rows.tolist()]
        wide = max(len(text) for row in texts for text in row)
        lines = [name, *(" ".join(text.rjust(wide) for text in row) for row in texts)]
        columns.append([line.ljust(max(map(len, lines))) for line in lines])
    height = max(map(len, columns))
    filled = [column + [" " * len(column[0])] * (height - len(column)) for column in columns]
    lines = ["\n      " + "    ".join(row).rstrip() for row in zip(*filled, strict=True)]
    return "".join(lines) if height <= HIGHEST and max(map(len, lines)) < WIDEST else ""


def smallest_call(values: np.ndarray, right: np.ndarray, calls: Sequence[str], rtol: float) -> str:
    """Among numbers for many calls show the wrong call with the smallest numbers in it."""
    wrong = ~close(values, right, rtol)
    bad = {call for call, one in zip(calls, wrong, strict=True) if np.any(one)}
    call = min(bad, key=lambda text: (sum(map(float, re.findall(r"\d+\.?\d*", text.partition("(")[2]))), len(text)))
    of = [k for k, text in enumerate(calls) if text == call]
    own, true = (part[of].ravel() for part in (values, right))
    if own.size == 1:
        return f"the smallest case that is wrong: `{call}` gives {own[0]:.6g}, which is {_than(own[0], true[0])}."
    shown = table({"gives": own, "where": marks(own, true, rtol)}) or f": {pattern(own, true, rtol)}."
    return f"the smallest case that is wrong: `{call}`{shown}"


def _than(value: float, right: float) -> str:
    return "too large" if value > right else "too small"


def by_hand(small: Small, rtol: float) -> str:
    """Call a function with a small input; show input, result and map if it is wrong there, else say that it is not."""
    if callable(small):
        return small()
    function, compute, given = small
    own, right = floats(function(*given.values())), floats(compute(*given.values()))
    if own.shape != right.shape:
        text, parts = f" A case for paper; shape {list(own.shape)} comes out:", given
    elif close(own, right, rtol).all():
        text, parts = " Where one can compute it by hand it is right:", {**given, "yours": own}
    else:
        text, parts = " A case for paper:", {**given, "yours": own, "where": marks(own, right, rtol)}
    shown = table(parts)
    return text + shown if shown else ""


def explain(values: np.ndarray, right: np.ndarray, name: str, rtol: float, calls: Any, small: Small | None) -> str:
    """Say all that may be said about a wrong answer of the right shape."""
    if calls:
        return smallest_call(values, right, calls, rtol)
    text = f"{name.rstrip(',')}: {pattern(values, right, rtol)}."
    if small:
        return text + by_hand(small, rtol)
    return text + (table({"yours": values, "where": marks(values, right, rtol)}) if values.size > 1 else "")
