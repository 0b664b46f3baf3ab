"""Plain data: what may pass between a student's code and the check that judges it.

Numbers, texts, lists, dictionaries, arrays and tensors become bytes and come back as fresh objects of exactly these
types. Nothing else gets through: an object of a student's own class arrives as its name (`Opaque`), a function, class
or network as a number under which it is kept where it was made (`Reference`). So a check never touches an object whose
``==`` is always true, and reading an answer executes nothing (there is no pickle here).
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LARGEST = 64_000_000  # bytes of one message
_DEEPEST = 20  # lists inside lists
_LONGEST = 1_000_000  # items of a list: an array holds more, in a small part of the time
_KINDS = "biufc"  # numpy's letters for bool, whole, unsigned, float, complex


@dataclass(frozen=True)
class Opaque:
    """Something that is no plain data; ``name`` is its class."""

    name: str


@dataclass(frozen=True)
class Reference:
    """A function, class or network that stays where it was made, under a number.

    Attributes
    ----------
    kind : {"function", "module"}
        What one can do with it: see `coursekit.checks.answers`.
    number : int
    name : str
        For messages.
    """

    kind: str
    number: int
    name: str


class TooLargeError(ValueError):
    """A value is too large or too deeply nested to be an answer."""


def pack(value: object, refer: Callable[[object], Reference | dict | None] | None = None) -> bytes:
    """Turn a value into bytes: the length of a JSON text, the text, the arrays' bytes.

    Parameters
    ----------
    value : object
    refer : callable, optional
        Is asked about everything that is no plain data; returns a `Reference`, a dictionary of plain data with a key
        ``"chart"``, or None (then the value becomes an `Opaque`).

    Raises
    ------
    TooLargeError
        If more than 64 MB come together, or lists are nested more than 20 deep.
    """
    blobs: list[bytes] = []
    tree = _encode(value, blobs, refer or (lambda _: None), 0)
    text = json.dumps(tree).encode()
    if len(text) + sum(map(len, blobs)) > LARGEST:
        raise TooLargeError(f"the value takes more than {LARGEST / 1e6:.0f} MB.")
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


def unpack(data: bytes) -> object:
    """Read what `pack` wrote, into fresh objects.

    Raises
    ------
    ValueError
        If the bytes are not what `pack` writes.
    """
    try:
        (length,) = struct.unpack_from("<Q", data)
        return _decode(json.loads(data[8 : 8 + length]), memoryview(data)[8 + length :], [0])
    except (struct.error, KeyError, TypeError, AttributeError, IndexError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError("these bytes are no packed value.") from error


def _encode(value: object, blobs: list[bytes], refer: Callable, depth: int) -> object:
    if depth > _DEEPEST:
        raise TooLargeError(f"lists are nested more than {_DEEPEST} deep.")
    if value is None or value is True or value is False:
        return value
    if value is Ellipsis:
        return {"t": "ellipsis"}
    # The base classes' own methods: a subclass may say that it is anything.
    for base, read in ((int, int.__int__), (str, str.__str__), (float, float.__float__)):
        if isinstance(value, base) and not isinstance(value, np.generic):
            return read(value)
    if isinstance(value, complex) and not isinstance(value, np.generic):
        return {"t": "complex", "v": [value.real, value.imag]}
    if isinstance(value, list | tuple):
        base = list if isinstance(value, list) else tuple
        if base.__len__(value) > _LONGEST:
            raise TooLargeError(f"a list has more than {_LONGEST:,} items; use an array.")
        items = [_encode(item, blobs, refer, depth + 1) for item in base.__iter__(value)]
        return items if base is list else {"t": "tuple", "v": items}
    if isinstance(value, dict):
        pairs = [[_encode(part, blobs, refer, depth + 1) for part in pair] for pair in dict.items(value)]
        return {"t": "dict", "v": pairs}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _KINDS:
        return _encode_array(value, blobs, "scalar" if isinstance(value, np.generic) else "array")
    if _is_tensor(value):
        return _encode_tensor(value, blobs)
    known = refer(value)
    if isinstance(known, Reference):
        return {"t": "reference", "v": [known.kind, known.number, known.name]}
    if isinstance(known, dict):
        return _encode(known, blobs, refer, depth + 1)
    return {"t": "opaque", "v": type(value).__name__}


def _encode_array(value: np.ndarray | np.generic, blobs: list[bytes], kind: str, dtype: str = "") -> dict:
    array = np.array(np.asarray(value), order="C", subok=False)
    if array.nbytes > LARGEST:
        raise TooLargeError(f"an array takes {array.nbytes / 1e6:.0f} MB; at most {LARGEST / 1e6:.0f} are read.")
    array = array.astype(array.dtype.newbyteorder("<"))
    if array.dtype.itemsize > 8 and array.dtype.kind == "f":  # numpy's long double differs between machines
        array = array.astype("<f8")
    blobs.append(array.tobytes())
    return {"t": kind, "v": [array.dtype.str, list(array.shape)], "d": dtype}


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")  # whoever holds a tensor has imported torch
    return torch is not None and isinstance(value, torch.Tensor)


def _encode_tensor(value: object, blobs: list[bytes]) -> dict:
    import torch

    with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
        plain = torch.Tensor.detach(value).cpu()
        plain = plain.to_dense() if plain.layout != torch.strided else plain
        dtype = str(plain.dtype).removeprefix("torch.")
        plain = plain.float() if plain.dtype == torch.bfloat16 else plain
        return _encode_array(plain.resolve_conj().resolve_neg().numpy(), blobs, "tensor", dtype)


def _decode(tree: object, blobs: memoryview, position: list[int]) -> object:
    if isinstance(tree, list):
        return [_decode(item, blobs, position) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kind, value = tree["t"], tree.get("v")
    if kind == "ellipsis":
        return Ellipsis
    if kind == "complex":
        return complex(*value)
    if kind == "tuple":
        return tuple(_decode(item, blobs, position) for item in value)
    if kind == "dict":
        return {_decode(key, blobs, position): _decode(item, blobs, position) for key, item in value}
    if kind == "opaque":
        return Opaque(str(value)[:100])
    if kind == "reference":
        return Reference(str(value[0]), int(value[1]), str(value[2])[:100])
    dtype, shape = np.dtype(value[0]), tuple(int(size) for size in value[1])
    if dtype.kind not in _KINDS or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype} is no plain data.")
    begin = position[0]
    position[0] += math.prod(shape) * dtype.itemsize
    array = np.frombuffer(blobs[begin : position[0]], dtype).reshape(shape).astype(dtype.newbyteorder("="))
    if kind == "array":
        return array
    if kind == "scalar":
        return array[()]
    import torch

    wanted = getattr(torch, tree["d"])
    if not isinstance(wanted, torch.dtype):
        raise ValueError(f"{tree['d']} is no type of tensor.")
    return torch.from_numpy(array).to(wanted)
