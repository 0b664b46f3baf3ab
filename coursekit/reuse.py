"""May features be used again? Only if they would come out the same; `transfer.features` asks here.

Weights, images and settings are compared with those of before. Code cannot be compared: where it is not that of torch
and torchvision, the caller names it by a key. What is random is refused.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from coursekit.data import ImageSet

_LIBRARIES = ("torch", "torchvision")
_RANDOM = (
    "the data set's transform, or the backbone, is random. Features are computed once, so that augmentation is out: "
    "take data.with_transform(None), or fine-tune instead."
)


@contextmanager
def refuse_random(data: Dataset) -> Iterator[None]:
    """Raise ValueError if features computed in this context are random, through a transform or the backbone.

    Random is what draws from a global generator of torch, numpy or Python, or makes two things of one image. One pass
    over the first images shows most of it before the work begins.
    """
    before = _generators()
    if isinstance(data, Dataset) and isinstance(data, Sized):
        images: Any = data
        for index in range(min(len(images), 64)):
            first, again = (images[index][0] for _ in range(2))
            if isinstance(first, Tensor) and _digest([first]) != _digest([again]):
                raise ValueError(_RANDOM)
        if _generators() != before:
            raise ValueError(_RANDOM)
    yield
    if _generators() != before:
        raise ValueError(_RANDOM)


def _generators() -> tuple:
    numpys: Any = np.random.get_state()  # noqa: NPY002 (the global generator is the question)
    return torch.get_rng_state().tolist(), numpys[1].tolist(), numpys[2:], random.getstate()


def facts(backbone: nn.Module, data: Dataset, key: str, settings: str) -> dict[str, str]:
    """Return what the features of a backbone depend on; see `transfer.features`.

    Raises
    ------
    ValueError
        If nothing tells whether the data have changed, or there is code that no key names.
    """
    if not isinstance(key, str):
        raise TypeError(f"key must be a text, not {key!r:.80}.")
    sets = [data]
    while isinstance(sets[-1], Subset):
        sets.append(sets[-1].dataset)
    own = [type(part).__name__ for part in backbone.modules() if not _is_librarys(part)]
    own += [f"{type(part).__name__} or its transform" for part in sets if not _is_plain(part)]
    if own and not key:
        raise ValueError(
            f"nothing tells whether the code has changed of: {', '.join(dict.fromkeys(own))}. Give key='a name for "
            "it', and another name whenever you change it; or leave `cache` out."
        )
    return {
        "weights": _digest(_inside(backbone)),
        "images": _digest(part for subset in sets for part in _images(subset)),
        "settings": settings,
        "key": key,
    }


def read(path: Path, facts: dict[str, str]) -> tuple[tuple[Tensor, Tensor] | None, str]:
    """Return features and labels of a file if they were made of the same, or else None and why not."""
    if not path.exists():
        return None, "new"
    try:
        with safe_open(path, "pt") as file:
            before = file.metadata() or {}
            changed = [name for name in facts if before.get(name) != facts[name]]
            if changed:
                return None, f"{' and '.join(changed)} changed"
            found = file.get_tensor("features"), file.get_tensor("labels")
    except (SafetensorError, OSError) as error:
        return None, f"the file was damaged ({error})"
    if _digest(found) != before.get("contents"):
        return None, "the file was damaged (it holds other numbers than were written)"
    return found, ""


def write(path: Path, features: Tensor, labels: Tensor, facts: dict[str, str]) -> None:
    """Keep features and labels in a file, in one step: nobody meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    tensors = {"features": features.contiguous(), "labels": labels.contiguous()}
    try:
        save_file(tensors, temporary, metadata=facts | {"contents": _digest((features, labels))})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_librarys(module: nn.Module) -> bool:
    """Tell whether a module runs no code but torch's and torchvision's; its parts are looked at by themselves."""
    functions = [value for value in vars(module).values() if callable(value)]
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    code = [type(module), type(module).forward, *functions, *hooks]
    return all(str(getattr(part, "__module__", "")).split(".")[0] in _LIBRARIES for part in code)


def _is_plain(data: Dataset) -> bool:
    """Tell whether a data set gives its tensors by known code and without a transform."""
    return type(data) in (Subset, TensorDataset) or (type(data) is ImageSet and data.transform is None)


def _inside(module: nn.Module) -> Iterator[object]:
    """Give what the outputs of a module in eval mode depend on, but code: weights and settings of all its parts."""
    for name, part in module.named_modules():
        yield name, type(part).__qualname__
        yield from (item for item in vars(part).items() if item[0][0] != "_" and item[0] != "training")
        yield from part.named_parameters(recurse=False)
        yield from part.named_buffers(recurse=False)


def _images(data: Dataset) -> Iterator[object]:
    """Give what the images and labels of a data set depend on, but code."""
    if isinstance(data, Subset):
        yield [int(index) for index in data.indices]
    elif isinstance(data, ImageSet):
        yield from (data.images, data.labels)
    elif isinstance(data, TensorDataset):
        yield from data.tensors
    elif isinstance(samples := getattr(data, "samples", None), list):  # torchvision's folders
        for path, label in samples:
            yield hashlib.blake2b(Path(path).read_bytes()).hexdigest(), label
    else:
        raise ValueError(
            f"nothing tells whether a {type(data).__name__} has changed, so its features cannot be kept in a file. "
            "Leave `cache` out, or give an ImageSet, a TensorDataset or an ImageFolder."
        )


def _digest(parts: Iterable[object]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        for value in part if isinstance(part, tuple) else (part,):
            text = f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
            digest.update(text.encode())
            if isinstance(value, Tensor):
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
