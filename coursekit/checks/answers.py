"""What a check gets to see of a student's answer: plain values, and functions, networks and charts at arm's length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from coursekit.checks.holder import MISSING
from coursekit.checks.plain import Opaque, Reference, pack, unpack

Ask = Callable[[bytes], bytes]  # carries a packed request to a `coursekit.checks.holder.Holder` and its reply back


class Hint(Exception):
    """An answer is wrong; the text names the mistake and does not give the answer away."""


class NotAnsweredError(Exception):
    """A question has not been answered yet; the text says what is missing."""


class Function:
    """A student's function or class. Call it with numbers, arrays, tensors, lists, or other answers.

    The arguments are copies, and the result is a fresh object. What the function does wrong by itself becomes a hint:
    an exception, a changed argument.
    """

    def __init__(self, ask: Ask, reference: Reference, name: str) -> None:
        self._ask, self.reference, self.name = ask, reference, name

    def __repr__(self) -> str:
        """Say what the student calls it."""
        return f"`{self.name}`"

    def shown(self, *args: object, **kwargs: object) -> str:
        """Write down a call, for hints."""
        return f"{self.name}({describe(args, kwargs)})"

    def __call__(self, *args: object, may_change: bool = False, **kwargs: object) -> object:
        """Call it; ``may_change=True`` lets the function write into its arguments."""
        order = {"do": "call", "number": self.reference.number, "args": args, "kwargs": kwargs}
        reply = _request(self._ask, order)
        if "error" in reply:
            raise _failure(reply, f"`{self.shown(*args, **kwargs)}`")
        value = reply.get("value")
        if value is None and self.reference.kind == "function":
            raise NotAnsweredError(f"`{self.name}` gives None: it is not written yet, or its `return` is missing.")
        if value is Ellipsis:
            raise NotAnsweredError(f"`{self.name}` returns `...`.")
        if reply.get("changed") and not may_change:
            names = ", ".join(f"argument {key + 1}" if isinstance(key, int) else str(key) for key in reply["changed"])
            raise Hint(f"`{self.name}` changes what it is given ({names}): work on a copy.")
        return receive(self._ask, value, self.shown(*args, **kwargs))


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

    def _method(self, method: str, *args: object) -> object:
        order = {"do": "module", "number": self.reference.number, "method": method, "args": args}
        reply = _request(self._ask, order)
        if "error" in reply:
            raise _failure(reply, f"`{self.name}` ({method})")
        return reply.get("value")


@dataclass(frozen=True)
class Chart:
    """A matplotlib figure as numbers and texts.

    Attributes
    ----------
    axes : list of dict
        With ``title``, ``xlabel``, ``ylabel``, ``xscale``, ``yscale`` (such as ``"log"``), ``legend`` (texts),
        ``lines`` (of ``label``, ``x``, ``y``; scattered points too), ``bars`` (heights), ``images`` (arrays).
    """

    axes: list[dict] = field(default_factory=list)


def fetch(ask: Ask, name: str) -> object:
    """Get the variable ``name`` from the notebook.

    Raises
    ------
    NotAnsweredError
        If it is not defined, or still ``...``.
    Hint
        If it is too large to be an answer.
    """
    reply = _request(ask, {"do": "get", "name": name})
    if reply.get("error") == MISSING:
        raise NotAnsweredError(f"there is no `{name}`. Run the cell that defines it, then this one.")
    if "error" in reply:
        raise _failure(reply, f"`{name}`")
    return receive(ask, reply.get("value"), name)


def receive(ask: Ask, value: object, name: str) -> object:
    """Turn what came back into what a check works with; ``name`` is for messages."""
    if value is Ellipsis or (isinstance(value, list | tuple) and any(item is Ellipsis for item in value)):
        raise NotAnsweredError(f"`{name}` is still `...`.")
    if isinstance(value, dict) and any(item is Ellipsis for item in value.values()):
        raise NotAnsweredError(f"`{name}` still holds `...`.")
    if isinstance(value, dict) and set(value) == {"chart"}:
        return Chart(value["chart"])
    if isinstance(value, Reference):
        return (Module if value.kind == "module" else Function)(ask, value, name)
    if isinstance(value, list | tuple) and any(isinstance(item, Reference) for item in value):
        return [receive(ask, item, f"{name}[{k}]") for k, item in enumerate(value)]
    return value


def describe(args: tuple = (), kwargs: dict | None = None) -> str:
    """Describe arguments in a few words, for hints: arrays by type and shape."""
    texts = [_describe(value) for value in args]
    return ", ".join(texts + [f"{key}={_describe(value)}" for key, value in (kwargs or {}).items()])


def _describe(value: object) -> str:
    if isinstance(value, Function):
        return value.name
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if getattr(value, "ndim", 1) == 0:
            return f"{value}"
        kind = "array" if isinstance(value, np.ndarray) else "tensor"
        return f"{kind} {list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    text = value.name if isinstance(value, Opaque) else repr(value)
    return text if len(text) <= 40 else f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else text


def _request(ask: Ask, order: dict) -> dict:
    reply = unpack(ask(pack(order, lambda value: getattr(value, "reference", None))))
    if not isinstance(reply, dict) or not {"value", "error"} & set(reply):
        raise ValueError("the reply is not one.")
    return reply


def _failure(reply: dict, what: str) -> Exception:
    error, message = str(reply["error"]), str(reply.get("message", ""))
    if "ellipsis" in message.lower() or error == "NotImplementedError":
        return NotAnsweredError(f"{what} still computes with `...`.")
    if error == "TooLargeError":
        return Hint(f"{what} is too large: {message}")
    return Hint(f"{what} stops with {error}{': ' * bool(message)}{message}")
