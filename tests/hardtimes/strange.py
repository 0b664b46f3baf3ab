"""Values that no function asked for: of every type, or like the right one but for a little."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from tests.hardtimes.entries import PATIENT

HUGE = (10**5, 10**9, 2**31, 2**63 - 1, 2**64, 10**30)
WHOLE = (0, 1, 2, 3, 5, 17, -1, -2, -(10**9), -(10**30))
REAL = (0.0, -0.0, 0.5, 1.0, 1.5, -0.5, math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, 5e-324)
TEXTS = ("", " ", "a", "cat", "0", "nan", "None", "ä", "\N{CAT}", "\0", "\ud800", "no/such/folder/file", "x" * 5000)
NUMPY = ("bool", "uint8", "uint16", "int8", "int64", "float16", "float32", "float64", "complex128", ">f4", "O", "U3")
TORCH = (torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.float64)
TORCH = (*TORCH, torch.complex64)
SHAPES = ((), (0,), (1,), (3,), (0, 3), (1, 1), (2, 3), (1, 4, 4), (3, 4, 4), (4, 4, 3), (0, 3, 4, 4), (2, 0, 4, 4))
SHAPES = (*SHAPES, (1, 1, 1, 1), (1, 1, 4, 4), (2, 3, 4, 4), (2, 2, 0, 4), (1, 2, 3, 4, 5))


def _array(dtype: str, shape: tuple[int, ...], fill: object) -> np.ndarray:
    values = np.zeros(shape) if fill == "zeros" else np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    with np.errstate(all="ignore"):
        array = np.asarray((values if isinstance(fill, str) else values * fill).astype(dtype))
    array.flags.writeable = fill != "zeros"
    return array


def _tensor(dtype: torch.dtype, shape: tuple[int, ...], fill: object) -> torch.Tensor:
    return torch.from_numpy(_array("float64", shape, fill).copy()).to(dtype)


def _objects() -> list:
    """Made anew each time: a call may use them up, or change them."""
    return [
        object(), len, lambda *_, **__: None, int, float, nn.Linear, range(3), iter(()), iter([1, 2]), slice(1, 3), ...,
        Path("missing"), Path(), b"", b"ab", bytearray(b"a"), 1 + 2j, {1, 2}, frozenset(), NotImplemented,
        {}, {"a": 1}, {1: [2]}, {"a": None}, (), [], [[]], [[1], [1, 2]], [None], ["a"], [1, "a"], [math.nan],
        ("a", "b"), ValueError("a"), [[1.0, 2.0], [3.0, 4.0]], (1,), (1, 2), (0, 0), (-1, 2), (1.5, 2), (1, 2, 3),
        (1, 2, 3, 4), [3, 8, 8], nn.Identity(), nn.ReLU(), nn.Linear(3, 2), nn.Conv2d(3, 2, 3), nn.Sequential(),
        nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten()), nn.Module(),
        nn.ModuleDict(), torch.float32, torch.device("cpu"), torch.Size([2]), torch.Generator(),
        nn.Parameter(torch.ones(2)),
        torch.utils.data.TensorDataset(torch.ones(2, 3)), torch.utils.data.DataLoader([1, 2]),
        np.float32(1.5), np.int64(3), np.bool_(True), np.datetime64("2020-01-01"), np.array([{}, None]),
        np.ma.masked_array([1.0, 2.0], [True, False]), torch.ones(2, 3).to_sparse(), torch.ones(2, 3, device="meta"),
    ]  # fmt: skip


def anything(key: str = "") -> st.SearchStrategy:
    """Return a strategy for values of every type; without huge numbers where they only ask for a lot of work."""
    whole = WHOLE if key in PATIENT else (*WHOLE, *HUGE)
    fills = st.sampled_from(["zeros", 1.0, 255.0, -1.0, math.nan, math.inf, 1e300])
    scalars = st.one_of(st.none(), st.booleans(), st.sampled_from(whole), st.sampled_from(REAL), st.sampled_from(TEXTS))
    return st.one_of(
        scalars,
        st.lists(scalars, max_size=3),
        st.lists(scalars, min_size=1, max_size=4).map(tuple),
        st.lists(st.lists(st.sampled_from(REAL), max_size=3), max_size=3),
        st.integers(0, len(_objects()) - 1).map(lambda index: _objects()[index]),
        st.builds(_array, st.sampled_from(NUMPY), st.sampled_from(SHAPES), fills),
        st.builds(_tensor, st.sampled_from(TORCH), st.sampled_from(SHAPES), fills),
    )


def spoilt(key: str, right: object) -> st.SearchStrategy:
    """Return a strategy for values in place of a right one: as often nearly right as of another kind."""
    if isinstance(right, tuple) and key in ("names", "loaders"):
        return anything(key).map(lambda value: (value,))
    if key == "options":
        names = st.sampled_from([*right, "unknown"])
        return st.builds(lambda name, value: {**right, name: value}, names, anything(key))
    near = _near(key, right)
    if not near:
        return anything(key)
    return st.booleans().flatmap(
        lambda close: st.sampled_from(near).map(lambda make: make()) if close else anything(key)
    )


def _near(key: str, right: object) -> list:
    """Return functions that make values like the right one, but for a little."""
    if isinstance(right, torch.Tensor):
        return [
            *(lambda dtype=dtype: right.to(dtype) for dtype in TORCH),
            *(lambda make=make: torch.from_numpy(np.array(make())) for make in _near_arrays(right.numpy())),
            lambda: right.numpy(), lambda: right.tolist(), lambda: right.flip(0) if right.ndim < 2 else right.mT,
            lambda: right.to("meta"),
            lambda: right.to_sparse(), lambda: right.clone().float().requires_grad_(), lambda: [right], list,
        ]  # fmt: skip
    if isinstance(right, np.ndarray):
        return [
            *(lambda dtype=dtype: right.astype(dtype) for dtype in NUMPY), *_near_arrays(right),
            lambda: torch.from_numpy(right.copy()), lambda: right.tolist(), lambda: [right, right[:1]],
        ]  # fmt: skip
    if isinstance(right, bool) or right is None:
        return []
    if isinstance(right, int):
        changed = [right + 1, right - 1, -right, float(right), right + 0.5, np.int64(right), np.float32(right)]
        changed += [str(right), [right], (right, right), (right, right, right), torch.tensor(right), np.array([right])]
    elif isinstance(right, float):
        changed = [-right, 2 * right, right * 1e9, right * 1e-9, str(right), [right], (right, right), np.float16(right)]
        changed += [torch.tensor(right), np.array(right), round(right), np.array([right, right])]
    elif isinstance(right, str | bytes):
        changed = [right.upper(), right * 2, right[:-1], Path("missing"), [right], right.split(), list(right)]
    elif isinstance(right, Path):
        changed = [str(right), right / "below", right.with_suffix(".other"), right.parent, bytes(right), [right]]
    elif isinstance(right, Mapping):
        first = next(iter(right), "a")
        changed = [dict(list(right.items())[1:]), list(right.items()), list(right), {**right, 3: 4}, tuple(right)]
        changed += [{**right, first: value} for value in (None, "a", [], -1, math.nan, (1, 2), object())]
        changed += [{**right, "": next(iter(right.values()), 1)}, {first: right}]
    elif isinstance(right, list | tuple):
        kind = type(right)
        changed = [right[1:], right * 2, kind(reversed(right)), list(right), tuple(right), [right], {*map(str, right)}]
        changed += [kind([value, *right[1:]]) for value in (None, "a", -1, 0, 1.5, math.nan, 1000, [], right)]
        changed += [iter(right), dict.fromkeys(map(str, right)), str(right)]
    elif isinstance(right, nn.Module):
        changed = [type(right), list(right.children()), right.state_dict(), _with_nan(right), _as_double(right)]
    else:
        return []
    return [lambda value=value: value for value in changed]


def _near_arrays(right: np.ndarray) -> list:
    axes = range(right.ndim)
    return [
        *(lambda axis=axis: right.take([0], axis) for axis in axes),
        *(lambda axis=axis: right.take([], axis) for axis in axes),
        *(lambda axis=axis: right.take([0, 0, 0, 0, 0], axis) for axis in axes),
        *(lambda axis=axis: right.take(0, axis) for axis in axes),
        *(lambda number=number: _with(right, number) for number in (math.nan, math.inf, -math.inf, 1e30, -5.0)),
        lambda: right[None], lambda: right[..., None], lambda: right[::-1], lambda: np.asfortranarray(right),
        lambda: np.zeros_like(right), lambda: np.ones_like(right), lambda: right * 255, lambda: -right.astype(float),
    ]  # fmt: skip


def _with(right: np.ndarray, number: float) -> np.ndarray:
    changed = right.astype(float)
    changed.flat[:1] = number
    return changed


def _with_nan(module: nn.Module) -> nn.Module:
    module = copy.deepcopy(module)
    for parameter in module.parameters():
        parameter.data.fill_(math.nan)
    return module


def _as_double(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).double()


def holds_nan(value: object, depth: int = 0) -> bool:
    """Tell whether a number somewhere in it is NaN or infinite, or so large that its square is."""
    if isinstance(value, nn.parameter.UninitializedTensorMixin):
        return False
    if isinstance(value, torch.Tensor):
        return value.device.type != "meta" and not bool(value.detach().to_dense().isfinite().all())
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "fc" and not bool(np.isfinite(value).all())
    if isinstance(value, float | complex):
        return not (math.isfinite(value.real) and math.isfinite(value.imag))
    if depth > 4:
        return False
    if isinstance(value, nn.Module):
        return any(holds_nan(tensor) for tensor in value.state_dict().values() if isinstance(tensor, torch.Tensor))
    if isinstance(value, Mapping):
        return any(holds_nan(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple | set):
        return any(holds_nan(item, depth + 1) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return holds_nan(vars(value), depth + 1)
    if type(value).__module__.startswith("coursekit") or isinstance(value, torch.utils.data.TensorDataset):
        return holds_nan(getattr(value, "__dict__", {}), depth + 1)
    return False


def describe(value: object) -> str:
    """Return a short text from which the value can be made again."""
    if isinstance(value, torch.Tensor | np.ndarray):
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        where = " (meta)" if kind == "tensor" and value.device.type == "meta" else ""
        numbers = "" if where else f" with {'NaN or infinity' if holds_nan(value) else 'numbers'}"
        return f"{kind} {str(value.dtype).removeprefix('torch.')} {list(value.shape)}{where}{numbers}"
    if isinstance(value, list | tuple) and len(value) < 6:
        inside = ", ".join(map(describe, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, Mapping) and len(value) < 6:
        return "{" + ", ".join(f"{key!r:.20}: {describe(item)}" for key, item in value.items()) + "}"
    text = repr(value) if not isinstance(value, nn.Module) else f"{type(value).__name__} (module)"
    return text.partition(" at 0x")[0][:80].replace("\n", " ")
