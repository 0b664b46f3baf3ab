"""The student's side of a check: a server that does with a notebook's variables what the check asks for.

In a student's notebook it lives in the same process as the check; in grading, in a confined one. Both ways a check sees
packed bytes and nothing else, so that it judges a notebook in the same way everywhere.
"""

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from coursekit.checks.transport import Reference, pack, unpack

MISSING = "missing"  # the error of a variable that is not defined


class AnswerServer:
    """Answers requests about a notebook's variables, its ``namespace``."""

    def __init__(self, namespace: Mapping[str, object]) -> None:
        self._namespace = namespace
        self._objects: dict[int, Any] = {}

    def serve(self, request: bytes) -> bytes:
        """Carry out one packed request, a dictionary with a key ``do``; return the packed reply.

        The reply has a key ``value``, or ``error`` (the class of the exception) and ``message``.
        """
        order = unpack(request)
        try:
            reply = getattr(self, "_do_" + order.pop("do"))(**order)
            return pack(reply, self._refer)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: an answer may not end the check
            return pack({"error": type(error).__name__, "message": _first_line(error)})

    def _refer(self, value: Any) -> Reference | dict | None:
        torch, figures = sys.modules.get("torch"), sys.modules.get("matplotlib.figure")
        if figures and isinstance(value, figures.Figure):
            return {"chart": [_axis(axis) for axis in value.axes]}
        if not callable(value):
            return None
        self._objects[id(value)] = value  # kept alive, so that the number stays its own
        kind = "module" if torch and isinstance(value, torch.nn.Module) else "function"
        return Reference(kind, id(value), str(getattr(value, "__name__", type(value).__name__)))

    def _do_get(self, name: str) -> dict:
        if name not in self._namespace:
            return {"error": MISSING, "message": name}
        return {"value": self._namespace[name]}

    def _do_call(self, number: int, args: tuple, kwargs: dict, salt: int) -> dict:
        given = {**dict(enumerate(args)), **kwargs}
        before = {key: pack(value) for key, value in given.items()}
        used = {key: self._resolve(value, salt) for key, value in given.items()}
        positional = [used.pop(position) for position in range(len(args))]
        result = self._objects[number](*positional, **used)
        return {"value": result, "changed": [key for key, value in given.items() if pack(value) != before[key]]}

    def _do_module(self, number: int, method: str, args: tuple) -> dict:
        return {"value": _METHODS[method](self._objects[number], *args)}

    def _resolve(self, value: object, salt: int) -> object:
        if isinstance(value, Reference):
            return self._objects[value.number]
        if not salt or not isinstance(value, list):
            return value
        _Rehashed.salt = salt
        return [_Rehashed(text) for text in value]


class _Rehashed(str):
    """A text with another hash, which its parts have as well: as if Python had been started anew."""

    salt = 0

    def __hash__(self) -> int:
        return hash((self.salt, str(self)))

    def split(self, *args, **kwargs) -> list[str]:
        return [_Rehashed(part) for part in super().split(*args, **kwargs)]

    def rsplit(self, *args, **kwargs) -> list[str]:
        return [_Rehashed(part) for part in super().rsplit(*args, **kwargs)]

    def __getitem__(self, place) -> str:
        return _Rehashed(super().__getitem__(place))


def _parameters(module) -> dict:
    return {
        name: {"shape": tuple(value.shape), "trainable": value.requires_grad}
        for name, value in module.named_parameters()
    }


def _layers(module) -> list[dict]:
    found = []
    for name, part in module.named_modules():
        if next(part.children(), None) is not None:
            continue
        kinds = [base.__name__ for base in type(part).__mro__ if base.__module__.startswith("torch.nn")]
        plain = (bool, int, float, str, tuple)
        settings = {k: v for k, v in vars(part).items() if isinstance(v, plain) and not k.startswith("_")}
        settings["bias"] = getattr(part, "bias", None) is not None
        found.append({"name": name, "kind": kinds[0] if kinds else "", "settings": settings})
    return found


def _gradients(module, x) -> list[str]:
    import torch

    asked = {name: value for name, value in module.named_parameters() if value.requires_grad}
    with torch.enable_grad():
        total = module(x).sum()
    if not total.requires_grad or not asked:
        return []
    found = torch.autograd.grad(total, list(asked.values()), allow_unused=True)
    return [name for name, value in zip(asked, found, strict=True) if value is not None]


def _closed(module):
    import torch

    closed = torch.nn.Module()
    closed.forward = lambda x: module(x)
    return closed


_METHODS = {  # what `coursekit.checks.answers.Module` may ask for
    "state": lambda module: dict(module.state_dict()),
    "load": lambda module, state: module.load_state_dict(state),
    "train": lambda module, on: module.train(on),
    "parameters": _parameters,
    "layers": _layers,
    "gradients": _gradients,
    "closed": _closed,
}


def _axis(axis) -> dict:
    """Describe one axis of a matplotlib figure by the texts and curves in it."""
    lines = [(line.get_label(), *(part.astype(float) for part in line.get_data(orig=False))) for line in axis.lines]
    points = [(part.get_label(), *_points(part).T) for part in axis.collections]
    legends = [one for one in (axis.get_legend(), *axis.figure.legends) if one]
    return {
        "xlabel": _label(axis, "x"),
        "ylabel": _label(axis, "y"),
        "xscale": axis.get_xscale(),
        "yscale": axis.get_yscale(),
        "legend": [text.get_text() for one in legends for text in one.get_texts()],
        "lines": [{"label": str(label), "x": x, "y": y} for label, x, y in [*lines, *points]],
    }


def _label(axis, which: str) -> str:
    """Return the label of an axis, or of one that it shares (twins, `sharex`), or of the figure (`supxlabel`)."""
    shared = getattr(axis, f"get_shared_{which}_axes")().get_siblings(axis)
    labels = [getattr(one, f"get_{which}label")() for one in (axis, *shared)]
    return next(filter(None, labels), getattr(axis.figure, f"get_sup{which}label")())


def _points(collection) -> np.ndarray:
    """Return the dots of a scatter plot, or the corners of what `fill_between`, `errorbar` or `vlines` draws."""
    from matplotlib.collections import LineCollection, PolyCollection

    if isinstance(collection, LineCollection | PolyCollection):
        return np.concatenate([np.zeros((0, 2)), *(path.vertices for path in collection.get_paths())])
    return np.ma.filled(np.ma.asarray(collection.get_offsets(), dtype=float), np.nan).reshape(-1, 2)


def _first_line(error: BaseException) -> str:
    with contextlib.suppress(Exception):
        return (str(error).strip().splitlines() or [""])[0][:300]
    return ""
