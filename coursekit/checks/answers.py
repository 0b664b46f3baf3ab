"""What a check gets to see of a student's answer: plain values, and functions, networks and charts at arm's length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from coursekit.checks.server import MISSING
from coursekit.checks.transport import Reference, as_numpy, pack, unpack

Ask = Callable[[bytes], bytes]  # carries a packed request to a `coursekit.checks.server.AnswerServer`, its reply back
_ELLIPSIS = Reference("object", 0, "ellipsis")


class Hint(Exception):
    """An answer is wrong; the text names the mistake and does not give the answer away."""


class NotAnsweredError(Exception):
    """A question has not been answered yet; the text says what is missing."""


class Function:
    """A student's function or class. Call it with numbers, arrays, tensors, lists, or other answers.

    The arguments are copies, and the result is a fresh object. What the function does wrong by itself becomes a hint:
    an exception, a changed argument, NaN.
    """

    def __init__(self, ask: Ask, reference: Reference, name: str) -> None:
        self._ask, self.reference, self.name = ask, reference, name

    def shown(self, *args: object, **kwargs: object) -> str:
        """Write down a call, for hints; arrays by type and shape."""
        texts = [_describe(value) for value in args]
        return f"{self.name}({', '.join(texts + [f'{key}={_describe(value)}' for key, value in kwargs.items()])})"

    def __call__(self, *args: object, finite: bool = True, salt: int = 0, **kwargs: object) -> Any:
        """Call it; without ``finite`` it may give NaN; with a ``salt``, texts have other hashes, as after a restart."""
        shown = self.shown(*args, **kwargs)
        order = {"do": "call", "number": self.reference.number, "args": args, "kwargs": kwargs, "salt": salt}
        reply = _request(self._ask, order, f"`{shown}`")
        if reply["value"] is None and self.reference.kind == "function":
            raise NotAnsweredError(f"`{self.name}` gives None: it is not written yet, or its `return` is missing.")
        if reply.get("changed"):
            names = ", ".join(f"argument {key + 1}" if isinstance(key, int) else str(key) for key in reply["changed"])
            raise Hint(f"`{self.name}` changes what it is given ({names}): work on a copy.")
        return _received(self._ask, reply["value"], shown, finite)


class Module(Function):
    """A student's network or layer (`torch.nn.Module`). Call it with a batch."""

    def state(self) -> dict:
        """Return a copy of its ``state_dict``: name to tensor."""
        return self._method("state")

    def load(self, state: dict) -> None:
        """Load weights into it, all of them; raise a `Hint` if it has other weights, or of other shapes."""
        has = self.state()
        for name in sorted(state.keys() - has.keys()):
            raise Hint(f"`{self.name}` has no `{name}`.")
        for name in sorted(has.keys() - state.keys()):
            raise Hint(f"`{self.name}` has a `{name}`, for which there is no use.")
        for name, value in state.items():
            if has[name].shape != value.shape:
                shapes = f"{list(has[name].shape)}; expected is {list(value.shape)}"
                raise Hint(f"in `{self.name}`, `{name}` has the wrong shape {shapes}.")
        self._method("load", state)

    def train(self, on: bool = True) -> None:
        """Switch it to training mode, or with False to evaluation mode."""
        self._method("train", on)

    def parameters(self) -> dict[str, dict]:
        """Return name to ``{"shape": tuple, "trainable": bool}``."""
        return self._method("parameters")

    def layers(self) -> list[dict]:
        """Return ``{"name", "kind", "settings"}`` for each innermost layer, in the order in which they were made.

        ``kind`` is the class in `torch.nn`, also for a class that a student derived from it; ``settings`` holds
        numbers, texts and tuples such as ``kernel_size``, ``training`` and whether there is a ``bias``.
        """
        return self._method("layers")

    def gradients(self, x: object) -> list[str]:
        """Return the names of the parameters that a gradient of its output for ``x`` reaches."""
        return self._method("gradients", x)

    def closed(self) -> Module:
        """Return a network that does the same, for functions that may call it, but not look inside."""
        return _received(self._ask, self._method("closed"), self.name)

    def _method(self, method: str, *args: object) -> Any:
        order = {"do": "module", "number": self.reference.number, "method": method, "args": args}
        return _request(self._ask, order, f"`{self.name}` ({method})")["value"]


@dataclass(frozen=True)
class Chart:
    """A matplotlib figure as numbers and texts.

    ``axes`` has for each axis ``xlabel``, ``ylabel``, ``xscale``, ``yscale`` (such as ``"log"``), ``legend`` (texts),
    and ``lines`` (of ``label``, ``x``, ``y``; scattered points too). Points that are not finite are not drawn, and not
    here.
    """

    axes: list[dict]


def fetch(ask: Ask, name: str) -> Any:
    """Get the variable ``name`` from the notebook.

    Raises
    ------
    NotAnsweredError
        If it is not defined, or still ``...``.
    Hint
        If it is too large to be an answer, or holds NaN.
    """
    return _received(ask, _request(ask, {"do": "get", "name": name}, f"`{name}`")["value"], name)


def is_finite(value: object) -> bool:
    """Tell whether no number in an answer is NaN or infinite."""
    if isinstance(value, list | tuple | dict):
        return all(map(is_finite, value.values() if isinstance(value, dict) else value))
    value = as_numpy(value)
    return not isinstance(value, float | np.ndarray | np.generic) or bool(np.isfinite(value).all())


def _received(ask: Ask, value: Any, name: str, finite: bool = True) -> Any:
    """Turn what came back into what a check works with; ``name`` is for messages."""
    if isinstance(value, Reference):
        if value == _ELLIPSIS:
            raise NotAnsweredError(f"`{name}` is still `...`.")
        kinds = {"function": Function, "module": Module}
        return kinds[value.kind](ask, value, name) if value.kind in kinds else value
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    references = [part for part in parts if isinstance(part, Reference)]
    if _holds_ellipsis(value):
        raise NotAnsweredError(f"`{name}` still holds `...`.")
    if isinstance(value, dict) and set(value) == {"chart"}:
        return Chart([{**axis, "lines": [_drawn(**line) for line in axis["lines"]]} for axis in value["chart"]])
    if finite and not is_finite(value):
        raise Hint(f"`{name}` holds NaN or infinity: a division by zero, the logarithm of 0, or too large a step?")
    if references and not isinstance(value, dict):
        return [_received(ask, item, f"{name}[{k}]", finite) for k, item in enumerate(value)]
    return value


def _holds_ellipsis(value: object) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return value == _ELLIPSIS if isinstance(value, Reference) else any(map(_holds_ellipsis, parts))


def _drawn(label: str, x: np.ndarray, y: np.ndarray) -> dict:
    shown = np.isfinite(x) & np.isfinite(y)
    return {"label": label, "x": x[shown], "y": y[shown]}


def _describe(value: Any) -> str:
    if isinstance(value, Function):
        return value.name
    if getattr(value, "shape", ()) and np.prod(value.shape) <= 4:
        return str(np.asarray(as_numpy(value), dtype=float).round(3).tolist())
    if getattr(value, "shape", ()):
        kind = "array" if isinstance(value, np.ndarray) else "tensor"
        return f"{kind} {list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    text = repr(value)
    return text if len(text) <= 40 or not hasattr(value, "__len__") else f"{type(value).__name__} of {len(value)}"


def _request(ask: Ask, order: dict, what: str) -> dict:
    """Send a request; turn an error into a hint about ``what`` was asked for."""
    reply = unpack(ask(pack(order, lambda value: getattr(value, "reference", None))))
    if not isinstance(reply, dict) or not {"value", "error"} & set(reply):
        raise ValueError("the reply is not one.")
    if "error" not in reply:
        return reply
    error, message = str(reply["error"]), str(reply.get("message", ""))
    if error == MISSING:
        raise NotAnsweredError(f"there is no {what}. Run the cell that defines it, then this one.")
    if "ellipsis" in message.lower() or error == "NotImplementedError":
        raise NotAnsweredError(f"{what} still computes with `...`.")
    if error == "TooLargeError":
        raise Hint(f"{what} is too large: {message}")
    raise Hint(f"{what} stops with {error}{': ' * bool(message)}{message}")
