"""What notebook 04 built: freeze, put on a new head, train parts at different rates, compute features once.

Networks have torchvision's layout: all children but the last are the *backbone*, the last one (``classifier`` of
VGG, ``fc`` of ResNet) is the *head*.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import FunctionType

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from coursekit import arguments, training
from coursekit.data import ImageSet


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


def head(model: nn.Module) -> nn.Module:
    """Return the last child of a model: ``classifier`` of VGG, ``fc`` of ResNet."""
    return getattr(model, _head_name(model))


def replace_head(model: nn.Module, new: int | nn.Module) -> nn.Module:
    """Put a new head on a model, in place, and return the model.

    Parameters
    ----------
    model : nn.Module
        Of torchvision's layout.
    new : int or nn.Module
        A number of classes, for one linear layer; or any module that takes the backbone's features ``[N, C]``.

    Raises
    ------
    TypeError, ValueError
        If ``model`` has no linear layer in its head, or ``new`` is neither of the two.
    """
    name = _head_name(model)
    if isinstance(new, nn.Module):
        setattr(model, name, new)
        return model
    if not arguments.is_whole(new, 1):
        raise ValueError(f"new must be a number of classes from 1, or a module, not {new!r}.")
    linear = next((layer for layer in head(model).modules() if isinstance(layer, nn.Linear)), None)
    if linear is None:
        raise ValueError(f"the head {name!r} has no linear layer to tell how many features come in; give a module.")
    setattr(model, name, nn.Linear(linear.in_features, new, device=linear.weight.device, dtype=linear.weight.dtype))
    return model


def backbone(model: nn.Module) -> nn.Sequential:
    """Return all of a model but its head, from images ``[N, 3, H, W]`` to features ``[N, C]``.

    It shares its layers with the model: what is trained in one is trained in the other.
    """
    _head_name(model)
    return nn.Sequential(*list(model.children())[:-1], nn.Flatten())


def parameter_groups(model: nn.Module, lr: float, backbone_lr: float) -> list[dict]:
    """Return parameter groups for an optimizer: one rate for the new head, another for what has learned before.

    Parameters
    ----------
    model : nn.Module
        Of torchvision's layout. Frozen parameters are left out.
    lr, backbone_lr : float
        Learning rates of head and backbone; ten to one is common.

    Returns
    -------
    list of dict
        ``torch.optim.Adam(parameter_groups(model, 1e-3, 1e-4))``, or through ``fit``:
        ``optimizer=torch.optim.Adam(...)``. Without a trainable backbone there is one group.

    Raises
    ------
    ValueError
        If a rate is not positive, or nothing can be trained.
    """
    lr, backbone_lr = arguments.finite("lr", lr), arguments.finite("backbone_lr", backbone_lr)
    if not (lr > 0 and backbone_lr > 0):
        raise ValueError(f"learning rates must be positive, not {lr!r} and {backbone_lr!r}.")
    in_head = {id(parameter) for parameter in head(model).parameters()}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if id(p) in in_head], "lr": lr},
        {"params": [p for p in trainable if id(p) not in in_head], "lr": backbone_lr},
    ]
    if not trainable:
        raise ValueError("every parameter is frozen: there is nothing to train. Unfreeze a part of the model.")
    return [group for group in groups if group["params"]]


class Features(TensorDataset):
    """Features ``[N, C]`` and labels ``[N]``, as a data set that `training.fit` takes.

    Attributes
    ----------
    reason : str
        Why they were computed: "new", "weights changed" and the like; "" where they came from the cache.
    """

    def __init__(self, features: Tensor, labels: Tensor, reason: str) -> None:
        for name, value in (("features", features), ("labels", labels)):
            if arguments.tensor(name, value, "[N, ...]").ndim == 0 or len(value) != len(features):
                raise ValueError(f"features and labels must be one for each image; {name} is {list(value.shape)}.")
        super().__init__(features, labels)
        self.reason = reason


def features(
    backbone: nn.Module,
    data: Dataset,
    *,
    cache: str | Path | None = None,
    batch_size: int = 64,
    amp: bool | torch.dtype = False,
    device: torch.device | str | None = None,
) -> Features:
    """Return what a frozen backbone makes of each image, computed once, a batch at a time.

    Training a head on them gives what training it on the images gives, as long as the backbone and the images stay
    the same; so augmentation is out.

    Parameters
    ----------
    backbone : nn.Module
        From images to features, for example `backbone`'s. It runs in eval mode.
    data : Dataset
        Pairs of image and label. For a cache: an `ImageSet`, a `TensorDataset`, torchvision's `ImageFolder`, or a
        subset of one.
    cache : path, optional
        A safetensors file to keep the features in. It is used again only if weights, images, transform and precision
        are those of before.
    batch_size, amp, device
        As for `training.predict`.

    Raises
    ------
    ValueError
        If the transform is random: then one set of features cannot stand for the images. With a cache, also if nothing
        tells whether the data or the transform changed.
    """
    arguments.module(backbone, "backbone")
    _check_not_random(data)
    if cache is None:
        return Features(*training.predict(backbone, data, batch_size=batch_size, amp=amp, device=device), "new")
    cache = Path(cache)
    key = {"weights": _weights_key(backbone), "precision": str(amp), **_data_keys(data)}
    found, reason = _read(cache, key)
    if found:
        return Features(*found, "")
    outputs, labels = training.predict(backbone, data, batch_size=batch_size, amp=amp, device=device)
    cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}.part")
    try:
        save_file({"features": outputs.contiguous(), "labels": labels.contiguous()}, temporary, metadata=key)
        os.replace(temporary, cache)  # in one step: nobody meets half a file
    finally:
        temporary.unlink(missing_ok=True)
    return Features(outputs, labels, reason)


def _read(path: Path, key: dict[str, str]) -> tuple[tuple[Tensor, Tensor] | None, str]:
    """Return the features of a file if they were made with the same key, or else why not."""
    if not path.exists():
        return None, "new"
    try:
        with safe_open(path, "pt") as file:
            before = file.metadata() or {}
            changed = [name for name in key if before.get(name) != key[name]]
            if changed:
                return None, f"{' and '.join(changed)} changed"
            outputs, labels = (file.get_tensor(name) for name in ("features", "labels"))
            if outputs.ndim == 0 or labels.ndim == 0 or len(outputs) != len(labels):
                return None, "the file was damaged (it has not as many features as labels)"
            return (outputs, labels), ""
    except (SafetensorError, OSError) as error:
        return None, f"the file was damaged ({error})"


def _weights_key(module: nn.Module) -> str:
    digest = hashlib.blake2b(repr(module).encode(), digest_size=16)
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _data_keys(data: Dataset) -> dict[str, str]:
    digest = hashlib.blake2b(digest_size=16)
    while isinstance(data, Subset):
        digest.update(repr(list(data.indices)).encode())
        data = data.dataset
    transforms = [getattr(data, name, None) for name in ("transform", "target_transform")]
    if isinstance(data, ImageSet):
        for tensor in (data.images, data.labels):
            digest.update(tensor.contiguous().numpy())
    elif type(data) is TensorDataset:
        for tensor in data.tensors:
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    elif isinstance(getattr(data, "samples", None), list):  # torchvision's folders
        for path, label in data.samples:
            status = os.stat(path)
            digest.update(f"{path}|{label}|{status.st_size}|{status.st_mtime_ns}".encode())
    else:
        raise ValueError(
            f"nothing tells whether a {type(data).__name__} has changed, so its features cannot be kept in a file. "
            "Leave `cache` out, or give an ImageSet, a TensorDataset or an ImageFolder."
        )
    return {"images": digest.hexdigest(), "transform": "|".join(_describe(transform) for transform in transforms)}


def _describe(transform: object) -> str:
    """Return a text that is the same as long as a transform is."""
    if isinstance(transform, FunctionType):
        code = transform.__code__
        around = [cell.cell_contents for cell in transform.__closure__ or ()]
        text = repr([code.co_code.hex(), code.co_consts, code.co_names, transform.__defaults__, around])
    else:
        text = repr(transform)
    if " at 0x" in text:  # an address in memory: another one next time
        raise ValueError(
            f"nothing tells whether the transform has changed: it shows itself as {text:.80}. Use torchvision's "
            "transforms or a plain function, or leave `cache` out."
        )
    return text


def _check_not_random(data: Dataset) -> None:
    if not isinstance(data, Dataset) or not hasattr(data, "__len__"):
        return
    with torch.random.fork_rng(devices=[]):
        for index in range(min(len(data), 8)):  # a flip happens half of the time, so that one image may not show it
            if not torch.equal(data[index][0], data[index][0]):
                raise ValueError(
                    "the data set's transform is random: the same image came out differently twice. Features are "
                    "computed once, so that augmentation is out: take data.with_transform(None), or fine-tune instead."
                )


def _head_name(model: nn.Module) -> str:
    children = list(arguments.module(model).named_children())
    if len(children) < 2:
        raise ValueError("the model has no backbone and head: it needs two children or more, the last one the head.")
    return children[-1][0]
