"""Comparisons for checks: silent where an answer is right, else a `Hint` that names the mistake.

Types come first, then shapes, then values. ``mistakes`` holds what comes out if one makes a known mistake: if the
answer agrees with such a value, its text is the hint. No hint shows the expected value.

One rule for all labs says what numbers are. One number is Python's, a numpy scalar, or an array or tensor without axes.
Several are a list, a tuple, an array or a tensor; where they have two axes and more, a question may insist on its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit.checks.answers import Chart, Function, Hint, Module, is_finite
from coursekit.checks.differences import Small, close, explain, floats
from coursekit.checks.transport import Reference, as_numpy

if TYPE_CHECKING:
    from torch import Tensor

# A hint and the wrong value that it belongs to, or a function that computes it.
Mistakes = Mapping[str, object] | Iterable[tuple[str, object]]


def is_kind(answer: object, name: str, wanted: type) -> None:
    """Raise a hint unless the answer is what a check's annotation asks for: a function, a network, or a figure."""
    if wanted is Function and (not isinstance(answer, Function) or isinstance(answer, Module)):
        what = "a class or function" if name[:1].isupper() else "a function"
        raise Hint(f"`{name}` must be {what}, not {kind(answer)}.")
    if wanted is Module:
        module(answer, name)
    if wanted is not Chart:
        return
    if not isinstance(answer, Chart):
        also = " An axis knows its figure: `axis.figure`." if kind(answer).endswith(" Axes") else ""
        raise Hint(f"`{name}` must be a matplotlib Figure, not {kind(answer)}.{also}")
    if not answer.axes:
        raise Hint(f"`{name}` is empty. (After `plt.show()`, `plt.gcf()` is a new figure: take it before.)")
    for axis in answer.axes:
        if axis["lines"] and not (axis["xlabel"] and axis["ylabel"]):
            raise Hint(f"`{name}` has an axis without a label: say what is on both axes, and in which unit.")


def any_axis(figure: Chart, look: Callable[[dict], None]) -> None:
    """Look at each axis of a figure; one must be right, else the hint is about the one with the most curves."""
    hints = []
    for axis in sorted(figure.axes, key=lambda axis: -len(axis["lines"])):
        try:
            return look(axis)
        except Hint as hint:
            hints.append(hint)
    raise hints[0]


def module(answer: object, name: str) -> Module:
    """Return the answer if it is a network or layer, else raise a hint."""
    if not isinstance(answer, Module):
        also = " Call the class: a network is made by `Name()`." if isinstance(answer, Function) else ""
        raise Hint(f"`{name}` must be a torch.nn.Module, not {kind(answer)}.{also}")
    return answer


def as_number(answer: Any, name: str, least: float = -np.inf, most: float = np.inf, *, whole: bool = False) -> float:
    """Return one number, as a float, or with ``whole`` as an int; True, texts and longer arrays raise a hint."""
    value = answer.item() if getattr(answer, "shape", None) == () else answer
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not least <= value <= most:
        reach = f" from {least:g} to {most:g}" if np.isfinite(most) else ""
        raise Hint(f"{name} must be {'a whole number (int)' if whole else 'one number'}{reach}, not {kind(answer)}.")
    return value if whole else float(value)


def as_array(answer: object, name: str, shape: tuple[int, ...] | None = None, *, whole: bool = False) -> np.ndarray:
    """Return several numbers as an array of floats, or with ``whole`` of ints; anything else raises a hint.

    ``name`` is how hints call them; -1 in ``shape`` stands for any length.
    """
    try:
        values = np.array(as_numpy(answer))
    except (TypeError, ValueError):
        raise Hint(f"the rows of {name} differ in length.") from None
    if values.dtype.kind not in "biuf":
        raise Hint(f"{name} must hold numbers only, not {kind(answer, show=True)}.")
    if shape is not None and not _fits(values.shape, shape):
        known = {(-1,): "a list of numbers", (1,): "a list of one number", (-1, -1): "rows of numbers"}
        count = " x ".join(map(str, shape)) + " numbers" + " [rows, columns]" * (len(shape) == 2)
        raise Hint(f"{name} must be {known.get(shape, count)}, not {kind(answer, show=True)}.")
    if whole and values.size and values.dtype.kind not in "iu":
        raise Hint(f"{name} must hold *whole* numbers (int), not {kind(values.ravel()[0] if values.size else answer)}.")
    return values.astype(int if whole else float)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(n in (m, -1) for n, m in zip(wanted, shape, strict=True))


def results(
    function: Function,
    settings: Sequence[tuple],
    shape: tuple[int, ...] | Callable[..., tuple[int, ...]] = (),
    *,
    whole: bool = True,
    each: str = "",
    nan: str = "",
) -> tuple[np.ndarray, list[str]]:
    """Call a function with each setting; return the numbers that it gives, and each call as a text.

    A dictionary at the end of a setting holds keyword arguments; ``each`` says what the numbers of a call stand for,
    and ``nan`` where NaN may come from. Where the shape depends on the setting, the numbers come one after the other,
    each with its call.
    """
    rows, calls, name = [], [], f"what `{function.name}` returns{each and f' ({each})'}"
    for setting in settings:
        named = setting[-1] if isinstance(setting[-1], dict) else {}
        setting = setting[: len(setting) - bool(named)]
        answer = function(*setting, finite=not nan, **named)
        if nan and not is_finite(answer):
            raise Hint(f"`{function.name}` gives NaN: {nan}")
        wanted = shape if isinstance(shape, tuple) else shape(*setting)
        rows.append(as_array(answer, name, wanted, whole=whole) if wanted else as_number(answer, name, whole=whole))
        calls += [function.shown(*setting, **named)] * (rows[-1].size if callable(shape) else 1)
    return np.concatenate([row.ravel() for row in rows]) if callable(shape) else np.array(rows), calls


def each_call(
    function: Function, settings: Sequence[tuple], compute: Callable, hints: Mapping[str, str], name: str,
    shape: tuple[int, ...] | Callable[..., tuple[int, ...]] = (), *, rtol: float = 1e-9,
    small: Small | None = None, **options: Any,
) -> None:  # fmt: skip
    """Compare the numbers that a function gives for each setting with those of ``compute(*setting, mistake)``.

    The mistake is a key of ``hints``, or an empty text for none; ``name``, ``rtol`` and ``small`` are those of
    `array`, ``shape`` and ``options`` those of `results`.
    """
    answers, calls = results(function, settings, shape, **options)

    def each(mistake: str = "") -> np.ndarray:
        rows = [np.array(compute(*setting, mistake)) for setting in settings]
        return np.concatenate(rows) if callable(shape) else np.array(rows)

    array(answers, name, each(), mistakes_of(each, hints), rtol=rtol, calls=None if small else calls, small=small)


def mistakes_of(compute: Callable[[str], object], hints: Mapping[str, str]) -> list[tuple[str, Callable]]:
    """Make mistakes from hints by name: ``compute(name)`` is what comes out if one makes that one."""
    return [(hint, lambda slip=slip: compute(slip)) for slip, hint in hints.items()]


def array(
    answer: Any,
    name: str,
    expected: np.ndarray | Tensor,
    mistakes: Mistakes = (),
    *,
    rtol: float = 1e-6,
    dtype: object = None,
    shapes: Mapping[tuple[int, ...], str] | None = None,
    calls: Sequence[str] | None = None,
    small: Small | None = None,
) -> None:
    """Compare numbers by type, shape and values.

    With two axes and more it must be an array where an array is expected, and a tensor where a tensor is.

    Parameters
    ----------
    answer : object
    name : str
        How hints call it, such as "the result".
    expected : ndarray or Tensor
    mistakes : mapping or pairs
    rtol : float
        Tolerance, relative to the largest expected value.
    dtype : optional
        What the type of numbers must be; without it, any real type will do.
    shapes : mapping, optional
        Hints for wrong shapes.
    calls : sequence of str, optional
        What was called for each row (see `Function.shown`): hints then show the smallest call with a wrong result.
    small : tuple, optional
        The student's function, the right one and small inputs by their names: hints then show these, what came out,
        and a map of where it is wrong.
    """
    strict = dtype is not None or expected.ndim > 1
    if strict and not isinstance(answer, np.generic | type(expected)):
        wanted = "a numpy array" if isinstance(expected, np.ndarray) else "a torch tensor"
        raise Hint(f"{name} must be {wanted}, not {kind(answer)}.")
    if dtype is not None and answer.dtype != dtype:
        raise Hint(f"{name} has numbers of type {_short(answer.dtype)}, but they must be {_short(dtype)}.")
    values, right = as_array(answer, name), floats(expected)
    if values.ndim == 0 < right.ndim:
        raise Hint(f"{name} must be a list of numbers (or an array or tensor), not {kind(answer)}.")
    if values.shape == right.shape and close(values, right, rtol).all():
        return
    for hint, wrong in mistakes.items() if isinstance(mistakes, Mapping) else mistakes:
        wrong = floats(wrong() if callable(wrong) else wrong)
        if wrong.shape == values.shape and close(values, wrong, rtol).all():
            raise Hint(hint)
    if values.shape != right.shape:
        turned = values.ndim > 1 and values.T.shape == right.shape and close(values.T, right, rtol).all()
        shown = f"{name} has shape {list(values.shape)}; expected is {list(right.shape)}."
        shown += " The numbers are right, but it is transposed." if turned else ""
        raise Hint((shapes or {}).get(values.shape, shown))
    raise Hint(explain(values, right, name, rtol, calls, small))


def choice(answer: Any, name: str, expected: str, hints: Mapping[str, str]) -> None:
    """Compare a text that must be one of several; ``hints`` has one for each that is wrong."""
    given = answer.strip().lower() if isinstance(answer, str) else answer
    if given not in (expected, *hints):
        raise Hint(
            f"{name} must be one of {', '.join(map(repr, sorted({expected, *hints})))}, not {kind(answer, True)}."
        )
    if given != expected:
        raise Hint(hints[given])


def kind(answer: Any, show: bool = False) -> str:
    """Say what something is, for a hint."""
    if isinstance(answer, Reference):
        return f"an object of class {answer.name}"
    if hasattr(answer, "dtype"):
        numpy = isinstance(answer, np.ndarray)
        what = "a number" if isinstance(answer, np.generic) else "an array" if numpy else "a tensor"
        return f"{what} of type {_short(answer.dtype)}" + (f" and shape {list(answer.shape)}" if answer.shape else "")
    names = {Module: "a network", Function: "a function", Chart: "a figure", str: "a text", list: "a list"}
    names |= {tuple: "a tuple", dict: "a dictionary", type(None): "None"}
    if show and not isinstance(answer, Function | Chart):
        return repr(answer)[:60]
    return names.get(type(answer), type(answer).__name__)


def _short(dtype: object) -> str:
    return str(np.dtype(dtype) if isinstance(dtype, type) else dtype).removeprefix("torch.")
