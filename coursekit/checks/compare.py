"""Comparisons for checks: silent where an answer is right, else a `Hint` that names the mistake.

Types come first, then shapes, then values. A ``mistakes`` mapping holds what comes out if one makes a known mistake: if
the answer agrees with such a value, its text is the hint. No hint shows the expected value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real

import numpy as np

from coursekit.checks.answers import Chart, Function, Hint, Module
from coursekit.checks.plain import Opaque

Mistakes = Mapping[str, object | Callable[[], object]]  # hint -> the wrong value, or a function that computes it


def function(answer: object, name: str) -> Function:
    """Return the answer if it is a function (or class) to call, else raise a hint."""
    if not isinstance(answer, Function) or isinstance(answer, Module):
        wanted = "a class or function" if name[:1].isupper() else "a function"
        raise Hint(f"`{name}` must be {wanted}, not {kind(answer)}.")
    return answer


def module(answer: object, name: str) -> Module:
    """Return the answer if it is a network or layer, else raise a hint."""
    if not isinstance(answer, Module):
        also = " Call the class: a network is made by `Name()`." if isinstance(answer, Function) else ""
        raise Hint(f"`{name}` must be a torch.nn.Module, not {kind(answer)}.{also}")
    return answer


def chart(answer: object, name: str) -> Chart:
    """Return the answer if it is a matplotlib figure with labelled axes, else raise a hint."""
    if not isinstance(answer, Chart):
        also = " An axis knows its figure: `axis.figure`." if kind(answer).endswith(" Axes") else ""
        raise Hint(f"`{name}` must be a matplotlib Figure, not {kind(answer)}.{also}")
    if not answer.axes:
        raise Hint(f"`{name}` is empty: it has no axes.")
    for axis in answer.axes:
        if (axis["lines"] or axis["bars"]) and not (axis["xlabel"] and axis["ylabel"]):
            raise Hint(f"`{name}` has an axis without a label: say what is on both axes, and in which unit.")
    return answer


def whole(answer: object, name: str, expected: int, mistakes: Mistakes | None = None) -> None:
    """Compare a whole number; numpy's are welcome, True and 3.0 are not."""
    answer = as_whole(answer, name)
    _find_mistake(answer, mistakes, lambda wrong: answer == wrong)
    if answer != expected:
        raise Hint(f"{name} is {answer}: that is too {'large' if answer > expected else 'small'}.")


def as_whole(answer: object, name: str) -> int:
    """Return a whole number (Python's, numpy's or torch's) as an int; True, 3.0 and "3" raise a hint."""
    value = answer.item() if _is_single(answer) else answer
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise Hint(f"{name} must be a whole number (int), not {kind(answer)}.")
    return int(value)


def as_floats(answer: object, name: str) -> np.ndarray:
    """Return a number, (nested) list, array or tensor as an array of floats; texts and the like raise a hint."""
    if hasattr(answer, "detach"):
        answer = answer.detach().numpy()
    return _from_lists(answer, name).astype(float)


def number(answer: object, name: str, expected: float, mistakes: Mistakes | None = None, rtol: float = 1e-6) -> None:
    """Compare a real number with a relative tolerance (near zero, an absolute one of the same size)."""
    answer = answer.item() if _is_single(answer) else answer
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise Hint(f"{name} must be one number, not {kind(answer)}.")
    if not np.isfinite(answer):
        raise Hint(f"{name} is {answer}: did you divide by zero?")
    if _close(answer, expected, rtol):
        return
    _find_mistake(answer, mistakes, lambda wrong: _close(answer, wrong, rtol))
    raise Hint(f"{name} is too {'large' if answer > expected else 'small'}.")


def array(
    answer: object,
    name: str,
    expected: np.ndarray,
    mistakes: Mistakes | None = None,
    *,
    rtol: float = 1e-6,
    dtype: object = None,
    lists: bool = False,
    shapes: Mapping[tuple[int, ...], str] | None = None,
    calls: Sequence[str] | None = None,
) -> None:
    """Compare an array (or tensor, if ``expected`` is one) by type, shape and values.

    Parameters
    ----------
    answer : object
    name : str
        How hints call it, such as "the result".
    expected : ndarray or Tensor
    mistakes : mapping, optional
    rtol : float
        Tolerance, relative to the largest expected value.
    dtype : optional
        What the type of numbers must be; without it, any real type will do.
    lists : bool
        Whether nested lists will do too.
    shapes : mapping, optional
        Hints for wrong shapes.
    calls : sequence of str, optional
        What was called for each row (see `Function.shown`): hints then show the first call with a wrong result.
    """
    tensor = not isinstance(expected, np.ndarray)
    wanted = "a torch tensor" if tensor else "a numpy array"
    wanted = f"a list of numbers (or {wanted})" if lists else wanted
    if isinstance(answer, list | tuple) and lists:
        answer = _from_lists(answer, name)
    elif isinstance(answer, np.generic | np.ndarray) == tensor or not hasattr(answer, "dtype"):
        raise Hint(f"{name} must be {wanted}, not {kind(answer)}.")
    if isinstance(answer, np.ndarray) and answer.dtype.kind not in "biufc":
        raise Hint(f"{name} must hold numbers only.")
    if dtype is not None and answer.dtype != dtype:
        raise Hint(f"{name} has numbers of type {_short(answer.dtype)}, but they must be {_short(dtype)}.")
    values, right = _as_float(answer), _as_float(expected)
    same = values.shape == right.shape
    if same and np.isfinite(values).all() and _close(values, right, rtol):
        return
    _find_mistake(values, mistakes, lambda wrong: _agree(values, wrong, rtol))
    if not same:
        if hint := (shapes or {}).get(values.shape):
            raise Hint(hint)
        raise Hint(f"{name} has shape {list(values.shape)}; expected is {list(right.shape)}.")
    if not np.isfinite(values).all():
        raise Hint(f"{name} holds NaN or infinite values: did you divide by zero?")
    wrong = ~np.isclose(values, right, rtol=0, atol=rtol * _scale(right))
    first = [int(k) for k in np.argwhere(wrong)[0]]
    share = f"all {wrong.size} values" if wrong.all() else f"{wrong.sum()} of {wrong.size} values"
    where = f"in `{calls[first[0]]}`" if calls else f"at {first}"
    raise Hint(f"{share} of {name} are wrong, the first {where}.")


def choice(answer: object, name: str, expected: str, options: Sequence[str], hints: Mapping[str, str]) -> None:
    """Compare a text that must be one of several; ``hints`` has one for each wrong option."""
    if not isinstance(answer, str) or answer.strip().lower() not in options:
        raise Hint(f"{name} must be one of {', '.join(map(repr, options))}, not {kind(answer, show=True)}.")
    if answer.strip().lower() != expected:
        raise Hint(hints[answer.strip().lower()])


def kind(answer: object, show: bool = False) -> str:
    """Say what something is, for a hint."""
    if isinstance(answer, Opaque):
        return f"an object of class {answer.name}"
    if isinstance(answer, Module):
        return "a network"
    if isinstance(answer, Function):
        return "a function"
    if isinstance(answer, Chart):
        return "a figure"
    if hasattr(answer, "dtype"):
        what = "a number" if isinstance(answer, np.generic) else "an array" if _is_numpy(answer) else "a tensor"
        return f"{what} of type {_short(answer.dtype)}" + (f" and shape {list(answer.shape)}" if answer.shape else "")
    if show:
        return repr(answer)[:60]
    names = {"str": "a text", "list": "a list", "tuple": "a tuple", "dict": "a dictionary", "NoneType": "None"}
    return names.get(type(answer).__name__, type(answer).__name__)


def _find_mistake(answer: object, mistakes: Mistakes | None, agrees: Callable[[object], bool]) -> None:
    for hint, wrong in (mistakes or {}).items():
        wrong = wrong() if callable(wrong) else wrong
        if agrees(wrong):
            raise Hint(hint.rstrip())  # two mistakes may share a hint: spaces at its end tell the keys apart


def _agree(values: np.ndarray, wrong: object, rtol: float) -> bool:
    wrong = _as_float(wrong)
    return wrong.shape == values.shape and _close(values, wrong, rtol)


def _close(answer: object, expected: object, rtol: float) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(np.subtract(answer, expected)) <= rtol * _scale(expected)))


def _scale(values: object) -> float:
    sizes = np.abs(values)
    return max(float(np.max(sizes, initial=0, where=np.isfinite(sizes))), 1e-12)


def _as_float(values: object) -> np.ndarray:
    values = values.detach().double().numpy() if hasattr(values, "detach") else np.asarray(values)
    return values.astype(complex if values.dtype.kind == "c" else float)


def _from_lists(answer: object, name: str) -> np.ndarray:
    try:
        values = np.array(answer)
    except (TypeError, ValueError):
        raise Hint(f"the rows of {name} differ in length.") from None
    if values.dtype.kind not in "biuf":
        raise Hint(f"{name} must hold numbers only.")
    return values


def _is_single(answer: object) -> bool:
    return hasattr(answer, "dtype") and getattr(answer, "shape", None) == ()


def _is_numpy(answer: object) -> bool:
    return isinstance(answer, np.ndarray)


def _short(dtype: object) -> str:
    return str(np.dtype(dtype) if isinstance(dtype, type) else dtype).removeprefix("torch.")
