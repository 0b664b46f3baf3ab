"""Serialization: what passes between a student's code and the check that judges it, as bytes.

Numbers, texts, paths, lists, dictionaries, arrays and tensors come back as fresh objects. Anything else stays where it
was made, and arrives as a `Reference`. Reading an answer executes nothing: there is no pickle here.
"""

import json
import math
import struct
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

LARGEST = 64_000_000  # bytes of one message
LONGEST_TEXT = 1_000_000  # bytes of it that are no arrays
_NUMBERS = "biufc"  # numpy's letters for bool, whole, unsigned, float, complex


@dataclass(frozen=True)
class Reference:
    """A "function" (or class) or a "module" that stays where it was made, under a number; or an "object" of no use."""

    kind: str
    number: int
    name: str  # its own, or that of its class


class TooLargeError(ValueError):
    """A value is too large to be an answer."""


def pack(value: object, refer: Callable[[object], Reference | dict | None] = lambda _: None) -> bytes:
    """Turn a value into bytes: the length of a JSON text, the text, the arrays' bytes.

    ``refer`` is asked about everything that cannot be sent; it returns a `Reference`, a dictionary that can, or None.

    Raises
    ------
    TooLargeError
        If more than 64 MB come together, or 4 MB without arrays.
    """
    blobs: list[bytes] = []
    text = json.dumps(_encode(value, blobs, refer)).encode()
    for size, most in ((len(text), LONGEST_TEXT), (sum(map(len, blobs)), LARGEST - LONGEST_TEXT)):
        if size > most:
            what = "in lists or texts" if most == LONGEST_TEXT else "in arrays"
            raise TooLargeError(f"the value takes {size / 1e6:.0f} MB {what}; at most {most / 1e6:.0f} are read.")
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


def unpack(data: bytes) -> Any:
    """Read what `pack` wrote, into fresh objects; raise a ValueError if the bytes are anything else."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > LONGEST_TEXT:
            raise ValueError("the text of a message is too long.")
        return _decode(json.loads(data[8 : 8 + length]), memoryview(data)[8 + length :], [0])
    except (struct.error, KeyError, TypeError, AttributeError, IndexError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError("these bytes are no packed value.") from error


def as_numpy(value: Any) -> Any:
    """Return a tensor as an array, also inside of lists and tuples; leave anything else as it is."""
    if isinstance(value, list | tuple):
        return [as_numpy(part) for part in value]
    if not _is_tensor(value):
        return value
    value = value.detach().cpu().resolve_conj().resolve_neg()
    return (value.float() if "bfloat16" in str(value.dtype) else value).numpy()


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")  # whoever holds a tensor has imported torch
    return torch is not None and isinstance(value, torch.Tensor)


def _encode(value: Any, blobs: list[bytes], refer: Callable) -> object:
    """Return what JSON can write; what has a type of its own becomes a dictionary, and arrays go into ``blobs``."""

    def each(items) -> list:
        return [_encode(item, blobs, refer) for item in items]

    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _NUMBERS:
        return _encode_array(value, blobs, "scalar" if isinstance(value, np.generic) else "array")
    if _is_tensor(value):
        return _encode_array(as_numpy(value), blobs, "tensor", str(value.dtype).removeprefix("torch."))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return each(value)
    if isinstance(value, Reference):
        return {"t": "reference", "v": astuple(value)}
    if isinstance(value, tuple):
        return {"t": "tuple", "v": each(value)}
    if isinstance(value, dict):
        return {"t": "dict", "v": [each(pair) for pair in value.items()]}
    if isinstance(value, Path):
        return {"t": "path", "v": str(value)}
    known = refer(value)
    return _encode(Reference("object", 0, type(value).__name__) if known is None else known, blobs, refer)


def _encode_array(value: np.ndarray | np.generic, blobs: list[bytes], kind: str, dtype: str = "") -> dict:
    array = np.asarray(value)
    if array.nbytes > LARGEST - LONGEST_TEXT:
        raise TooLargeError(f"an array takes {array.nbytes / 1e6:.0f} MB.")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:  # numpy's long double differs between machines
        array = array.astype(float)
    array = array.astype(array.dtype.newbyteorder("<"))
    blobs.append(array.tobytes())
    return {"t": kind, "v": [array.dtype.str, list(array.shape), dtype]}


def _decode(tree: object, blobs: memoryview, position: list[int]) -> Any:
    if isinstance(tree, list):
        return [_decode(item, blobs, position) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kind, value = tree["t"], tree["v"]
    if kind == "tuple":
        return tuple(_decode(value, blobs, position))
    if kind == "dict":
        return {_decode(key, blobs, position): _decode(item, blobs, position) for key, item in value}
    if kind == "path":
        return Path(value)
    if kind == "reference":
        return Reference(str(value[0]), int(value[1]), str(value[2])[:100])
    dtype, shape = np.dtype(value[0]), tuple(int(size) for size in value[1])
    if dtype.kind not in _NUMBERS or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype} cannot be sent.")
    begin = position[0]
    position[0] += math.prod(shape) * dtype.itemsize
    array = np.frombuffer(blobs[begin : position[0]], dtype).reshape(shape).astype(dtype.newbyteorder("="))
    if kind != "tensor":
        return array[()] if kind == "scalar" else array
    import torch

    wanted = getattr(torch, value[2])
    if not isinstance(wanted, torch.dtype):
        raise ValueError(f"{value[2]} is no type of tensor.")
    return torch.from_numpy(array).to(wanted)
