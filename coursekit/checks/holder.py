"""The student's side of a check: holds the notebook's variables, and does with them what the check asks for.

In a student's notebook it lives in the same process as the check; in grading, in a confined one. Both ways a check sees
packed bytes and nothing else, so that it judges a notebook in the same way everywhere.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping

import numpy as np

from coursekit.checks.plain import Reference, TooLargeError, pack, unpack

MISSING = "missing"  # the error of a variable that is not defined


class Holder:
    """Answers requests about a notebook's variables.

    Parameters
    ----------
    namespace : mapping
        The notebook's global variables.
    """

    def __init__(self, namespace: Mapping[str, object]) -> None:
        self._namespace = namespace
        self._objects: dict[int, object] = {}

    def serve(self, request: bytes) -> bytes:
        """Carry out one packed request, a dictionary with a key ``do``; return the packed reply.

        The reply has a key ``value``, or ``error`` (the class of the exception) and ``message``.
        """
        order = unpack(request)
        try:
            reply = getattr(self, "_do_" + order.pop("do"))(**order)
            return pack(reply, self._refer)
        except TooLargeError as error:
            return pack({"error": "TooLargeError", "message": str(error)})
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: an answer may not end the check
            return pack({"error": type(error).__name__, "message": _first_line(error)})

    def _refer(self, value: object) -> Reference | dict | None:
        if chart := _chart(value):
            return chart
        torch = sys.modules.get("torch")
        kind = "module" if torch and isinstance(value, torch.nn.Module) else "function" if callable(value) else None
        if kind is None:
            return None
        self._objects[id(value)] = value  # kept alive, so that the number stays its own
        return Reference(kind, id(value), str(getattr(value, "__name__", type(value).__name__)))

    def _do_get(self, name: str) -> dict:
        if name not in self._namespace:
            return {"error": MISSING, "message": name}
        return {"value": self._namespace[name]}

    def _do_call(self, number: int, args: tuple, kwargs: dict) -> dict:
        given = {**dict(enumerate(args)), **kwargs}
        before = {key: pack(value) for key, value in given.items()}
        args = [self._resolve(value) for value in args]
        result = self._objects[number](*args, **{key: self._resolve(value) for key, value in kwargs.items()})
        return {"value": result, "changed": [key for key, value in given.items() if pack(value) != before[key]]}

    def _do_module(self, number: int, method: str, args: tuple) -> dict:
        return {"value": _METHODS[method](self._objects[number], *args)}

    def _resolve(self, value: object) -> object:
        return self._objects[value.number] if isinstance(value, Reference) else value


def _state(module) -> dict:
    return dict(module.state_dict())


def _load(module, state: dict) -> None:
    module.load_state_dict(state)


def _train(module, on: bool) -> None:
    module.train(on)


def _parameters(module) -> dict:
    return {
        name: {"shape": tuple(value.shape), "trainable": value.requires_grad}
        for name, value in module.named_parameters()
    }


def _layers(module) -> list[dict]:
    """Describe every module inside that holds no other one: its name, its class in torch, its plain settings."""
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
    """Name the parameters that a gradient of ``module(x)`` reaches."""
    import torch

    asked = {name: value for name, value in module.named_parameters() if value.requires_grad}
    with torch.enable_grad():
        total = module(x).sum()
    if not total.requires_grad or not asked:
        return []
    found = torch.autograd.grad(total, list(asked.values()), allow_unused=True)
    return [name for name, value in zip(asked, found, strict=True) if value is not None]


_METHODS: dict[str, Callable] = {
    "state": _state,
    "load": _load,
    "train": _train,
    "parameters": _parameters,
    "layers": _layers,
    "gradients": _gradients,
}


def _chart(value: object) -> dict | None:
    """Describe a matplotlib figure by the numbers and texts in it."""
    if "matplotlib.figure" not in sys.modules:
        return None
    if not isinstance(value, sys.modules["matplotlib.figure"].Figure):
        return None
    return {"chart": [_axis(axis) for axis in value.axes]}


def _axis(axis) -> dict:
    lines = [(line.get_label(), *(part.astype(float) for part in line.get_data(orig=False))) for line in axis.lines]
    points = [(part.get_label(), *_points(part).T) for part in axis.collections]
    legends = [one for one in (axis.get_legend(), *axis.figure.legends) if one]
    return {
        "title": axis.get_title(),
        "xlabel": _label(axis, "x"),
        "ylabel": _label(axis, "y"),
        "xscale": axis.get_xscale(),
        "yscale": axis.get_yscale(),
        "legend": [text.get_text() for one in legends for text in one.get_texts()],
        "lines": [{"label": str(label), "x": x, "y": y} for label, x, y in [*lines, *points]],
        "bars": [float(patch.get_height()) for patch in axis.patches if hasattr(patch, "get_height")],
        "images": [np.ma.filled(image.get_array().astype(float), np.nan) for image in axis.images],
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
