"""What notebook 04 built: freeze, put on a new head, train parts at different rates, compute features once.

Networks have torchvision's layout: all children but the last are the *backbone*, the last one (``classifier`` of
VGG, ``fc`` of ResNet) is the *head*.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader, Dataset, TensorDataset

from coursekit import arguments, runtime, training
from coursekit.training.forward import eval_mode

_SIZES = (64, 224, 28, 32, 96, 128, 299)  # of images to try a model with, in pixels


def freeze(module: nn.Module) -> nn.Module:
    """Let no training change a module: no parameter of it gets a gradient. Return it.

    A batch norm has a running mean and variance besides, which move in train mode without any gradient.
    `training.fit` keeps those of a frozen batch norm still; in a loop of your own, call ``module.eval()`` after
    ``model.train()``.
    """
    return arguments.module(module, "module").requires_grad_(False)


def unfreeze(module: nn.Module) -> nn.Module:
    """Let training change a module again. Return it."""
    return arguments.module(module, "module").requires_grad_(True)


def count(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters a model has, and how many of them can be trained."""
    parameters = list(arguments.module(model).parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def replace_head(model: nn.Module, new: int | nn.Module) -> nn.Module:
    """Put a new head on a model, in place, and return the model.

    ``new`` is a number of classes, for one linear layer; or a module that takes the backbone's features ``[N, K]``.

    Raises
    ------
    TypeError, ValueError
        If the model has no linear layer in its head, or ``new`` is neither of the two.
    """
    whole, name, head = _split(model)
    if not isinstance(new, nn.Module):
        linear = next((layer for layer in head.modules() if isinstance(layer, nn.Linear) and layer.in_features), None)
        if linear is None:
            raise ValueError(f"the head {name!r} has no linear layer to tell how many features come in; give a module.")
        outputs = arguments.whole("new (a number of classes, or a module)", new)
        new = nn.Linear(linear.in_features, outputs, device=linear.weight.device, dtype=linear.weight.dtype)
    setattr(whole, name, new)
    return model


def backbone(model: nn.Module, images: Tensor | None = None) -> nn.Sequential:
    """Return all of a model but its head, from images ``[N, C, H, W]`` to features ``[N, K]``.

    It shares its layers with the model: what is trained in one is trained in the other. It is tried out at once, since
    not every model computes its children one after the other, and nothing else: DenseNet does not.

    Parameters
    ----------
    model : nn.Module
        Of torchvision's layout.
    images : Tensor, optional
        What to try it with, as the model wants them. Without them: noise, of 64 pixels or another usual size.

    Raises
    ------
    ValueError
        If the head makes something else of the features than the model of the images, or no images can be found.
    """
    whole, _, head = _split(model)
    body = nn.Sequential(*list(whole.children())[:-1], nn.Flatten())
    if any(map(is_lazy, whole.parameters())):
        raise ValueError("a layer of the model does not know its size yet. Show it an image first: model(images)")
    with torch.no_grad(), eval_mode(whole):
        images, expected = _trial(whole, images)
        try:
            found = head(body(images))
            same = (found - expected).abs().max() <= 1e-3 * expected.abs().max()
        except Exception:  # whatever it is, the head does not even take the features
            same = False
    if not same:
        raise ValueError(
            f"{type(whole).__name__} is not of this layout: its children one after the other give something else than "
            "the model, which does more in its forward. Write a module that gives its features."
        )
    return body


def _trial(model: nn.Module, images: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return images that a model takes, and what it makes of them."""
    if images is not None:
        return images, model(images)
    like = next(model.parameters(), torch.empty(0))
    channels = next((layer.in_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)), 3)
    for size in _SIZES:
        noise = torch.Generator().manual_seed(0)
        images = torch.randn(2, channels, size, size, generator=noise, device="cpu").to(like)
        try:
            return images, model(images)
        except Exception as error:  # it wants another size, and says so in its own way
            cause = error
    raise ValueError(f"the model takes no images of {_SIZES} pixels to try it with ({cause}). Give some: images=...")


def parameter_groups(model: nn.Module, lr: float, backbone_lr: float) -> list[dict]:
    """Return parameter groups for an optimizer: one rate for the new head, another for what has learned before.

    Use them as ``torch.optim.Adam(parameter_groups(model, 1e-3, 1e-4))``. Frozen parameters are left out, and without
    a trainable backbone there is one group.

    Parameters
    ----------
    model : nn.Module
        Of torchvision's layout.
    lr, backbone_lr : float
        Learning rates of head and backbone; ten to one is common.

    Raises
    ------
    ValueError
        If a rate is not positive, or nothing can be trained.
    """
    if not (0 < lr < float("inf") and 0 < backbone_lr < float("inf")):
        raise ValueError(f"learning rates must be positive, not {lr!r} and {backbone_lr!r}.")
    whole, _, head = _split(model)
    in_head = {id(parameter) for parameter in head.parameters()}
    trainable = [parameter for parameter in whole.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("every parameter is frozen: there is nothing to train. Unfreeze a part of the model.")
    groups = [
        {"params": [p for p in trainable if id(p) in in_head], "lr": lr},
        {"params": [p for p in trainable if id(p) not in in_head], "lr": backbone_lr},
    ]
    return [group for group in groups if group["params"]]


def _split(model: nn.Module) -> tuple[nn.Module, str, nn.Module]:
    """Return the model, out of its wrapping if it is compiled, and its head with its name."""
    whole = getattr(arguments.module(model), "_orig_mod", model)
    children = list(whole.named_children())
    if len(children) < 2:
        raise ValueError("the model has no backbone and head: it needs two children or more, the last one the head.")
    return whole, *children[-1]


def features(
    backbone: nn.Module,
    data: Dataset,
    *,
    cache: str | Path | None = None,
    key: str = "",
    batch_size: int = 64,
    amp: bool | torch.dtype = False,
    device: torch.device | str | None = None,
) -> TensorDataset:
    """Return what a frozen backbone makes of each image, ``[N, K]``, and the labels ``[N]``; each computed once.

    Training a head on them gives what training it on the images gives, as long as the backbone and the images stay
    the same; so augmentation is out. The backbone computes on the device, in eval mode, and is put back afterwards.

    Parameters
    ----------
    backbone : nn.Module
        From images to features, for example `backbone`'s.
    data : Dataset
        Pairs of image and label.
    cache : path, optional
        A safetensors file to keep the features in. They are read from it only if the weights, the images as the
        transform gives them, the labels, the settings and the key are those of before; else they are computed anew.
    key : str
        Names the code of backbone and transform, such as ``"vgg16 1"``; a cache needs it. Code cannot be compared: with
        the same key you promise that the backbone computes as before. Change the key whenever you change the code.
    batch_size, amp, device
        As for `training.predict`.

    Raises
    ------
    ValueError
        If transform or backbone are random: then one set of features cannot stand for the images. With a cache, also
        if there is no key.
    """
    arguments.module(backbone, "backbone")
    if isinstance(data, DataLoader):
        raise TypeError("data must be a data set, not a DataLoader: give loader.dataset.")
    if cache is not None and not (key and isinstance(key, str)):
        raise ValueError(
            "a cache needs a key, since nothing tells whether code has changed. Give key='a name for the code of "
            "backbone and transform', and another one whenever you change it; or leave `cache` out."
        )
    origin = ""
    with _refuse_random(data):
        if cache is not None:
            weights = chain(backbone.named_parameters(), backbone.named_buffers())
            origin = _digest(chain([key, amp, runtime.device(device).type, torch.__version__], weights, _pairs(data)))
            if found := _read(Path(cache).expanduser(), origin):
                return TensorDataset(*found)
        with _put_back(backbone):
            outputs, labels = training.predict(backbone, data, batch_size=batch_size, amp=amp, device=device)
    if cache is not None:
        _write(Path(cache).expanduser(), outputs, labels, origin)
    return TensorDataset(outputs, labels)


@contextmanager
def _refuse_random(data: Dataset) -> Iterator[None]:
    """Raise ValueError if the work in this context is random, through the data's transform or the backbone.

    Random is what draws from a global generator of torch, numpy or Python, or makes two things of one image. The first
    images are tried before the work begins.
    """
    problem = ValueError(
        "the data set's transform, or the backbone, is random. Features are computed once, so that augmentation is "
        "out: take data.with_transform(None), or fine-tune instead."
    )
    before = _generators()
    if isinstance(data, Dataset) and isinstance(data, Sized):  # what is neither, `training.predict` explains
        first, again = (_digest(_pairs(data, 64)) for _ in range(2))
        if first != again or _generators() != before:
            raise problem
    yield
    if _generators() != before:
        raise problem


def _generators() -> tuple:
    numpys: Any = np.random.get_state()  # noqa: NPY002 (the global generator is the question)
    return torch.get_rng_state().tolist(), numpys[1].tolist(), numpys[2:], random.getstate()


def _pairs(data: Any, most: int | None = None) -> Iterator[object]:
    """Give pairs of image and label one after the other, as the data set gives them."""
    return (data[index] for index in range(len(data))[:most])


def _digest(parts: Iterable[object]) -> str:
    """Return a text that differs if a value differs, or a tensor in one bit."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        for value in part if isinstance(part, tuple | list) else [part]:
            value = torch.tensor(np.array(value)) if hasattr(value, "__array_interface__") else value  # a text is cut
            text = f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
            digest.update(f"{text};".encode())
            if isinstance(value, Tensor):
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path, origin: str) -> list[Tensor] | None:
    """Return features and labels of a file, if it is whole and they come from the same."""
    try:
        with safe_open(path, "pt") as file:
            same = (file.metadata() or {}).get("origin") == origin
            return [file.get_tensor(name) for name in ("features", "labels")] if same else None
    except (SafetensorError, OSError):  # missing or damaged: it is written anew
        return None


def _write(path: Path, features: Tensor, labels: Tensor, origin: str) -> None:
    """Keep features and labels in a file, in one step: nobody meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file({"features": features, "labels": labels}, temporary, metadata={"origin": origin})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _put_back(module: nn.Module) -> Iterator[None]:
    """Let a computation move a module to another device, and each part back to its own afterwards."""
    parts = [(part, [*part.parameters(recurse=False), *part.buffers(recurse=False)]) for part in module.modules()]
    homes = [(part, tensors[0].device) for part, tensors in parts if tensors]
    try:
        yield
    finally:
        for part, home in homes:  # first the whole, then its parts
            part.to(home)
