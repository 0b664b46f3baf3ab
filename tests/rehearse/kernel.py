"""What a kernel does before a notebook of the rehearsal; the notebook and the package are as they are.

- Each download comes from a server on this machine, with the checksum of what lies there; nothing else is connected.
- In each epoch `fit` trains on the first pictures of a data set only, 64 small or 8 large ones; `predict` and
  `evaluate` look at as many, whose outputs stand for the others. A loop over a `DataLoader` ends after as many.
- Weights that torchvision would download for another network than those served are random.
- Multiply-adds, operations, the processor's seconds for reading pictures, and memory are counted; what was left out is
  added in proportion.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torchvision.datasets as tv
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary
from torchvision.models import _api as zoo

from coursekit import pretrained, training  # noqa: F401 -- pretrained fetches, too
from coursekit.data import downloads
from coursekit.training.batches import size_without_gradients

SMALL, LARGE = 64, 8  # pictures of at most, and of more than 100 pixels a side
ROUNDS = 100  # of a loop with thousands of steps


class Meter(TorchDispatchMode):
    """Counts multiply-adds and operations, and the bytes of all tensors that live at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.work, self.omitted = np.zeros(2), np.zeros(2)  # multiply-adds, operations
        self.reading = 0.0  # seconds
        self.living = self.peak = self.most = 0
        self.counts = True  # operations, too
        self._seen = WeakIdKeyDictionary()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        if any(x.device.type == "meta" for x in tensors):  # shapes without numbers
            return result
        flops = flop_registry.get(function.overloadpacket)
        self.work += flops(*args, **(kwargs or {}), out_val=result) / 2 if flops else 0, self.counts
        for storage in (x.untyped_storage() for x in tensors):
            if storage not in self._seen:
                self._seen[storage] = True
                self._grow(storage.nbytes())
                weakref.finalize(storage, self._grow, -storage.nbytes())
        return result

    def _grow(self, size: int) -> None:
        self.living += size
        self.peak, self.most = max(self.peak, self.living), max(self.most, self.living)

    def watch(self, function, model, *args, **options):
        """Return what a function returns, its work, and by how many bytes tensors grew meanwhile.

        Operations are those of the model and of ``backward``: what the processor does besides is left out.
        """
        backward = torch.Tensor.backward

        def counted(*args, **options):
            self.counts = True
            backward(*args, **options)
            self.counts = False

        work, self.peak, start = self.work.copy(), self.living, self.living
        with ExitStack() as stack:
            stack.enter_context(model.register_forward_pre_hook(lambda *_: setattr(self, "counts", True)))
            stack.enter_context(model.register_forward_hook(lambda *_: setattr(self, "counts", False)))
            stack.enter_context(mock.patch.object(torch.Tensor, "backward", counted))
            stack.callback(setattr, self, "counts", True)
            self.counts = False
            result = function(model, *args, **options)
        return result, self.work - work, self.peak - start

    def omit(
        self, work: np.ndarray, data: Any, batch_size: int, epochs: int = 1, grown: float = 0, lasting: float = 0
    ) -> None:
        """Account for the pictures of ``data`` that were left out: ``work`` and ``grown`` are of the first ones."""
        few = _few(data)
        self.counts, start = False, time.process_time()
        for index in range(few):
            data[index]
        self.reading += (time.process_time() - start) / few * len(data) * epochs
        self.counts = True
        batches = math.ceil(len(data) / batch_size) / math.ceil(few / batch_size)
        self.omitted += work * (len(data) / few - 1, batches - 1)
        each = max(0, grown - lasting) / min(batch_size, few)
        self.most = max(self.most, self.living + lasting + each * min(batch_size, len(data)))


def prepare(server: str, files: str, reports: str) -> None:
    """Change what the rehearsal changes, in this process; the account goes into a file named like the notebook."""
    report = Path(reports) / Path(os.environ["JPY_SESSION_NAME"]).with_suffix(".json")
    meter = Meter()

    def write(*_) -> None:
        products, operations = meter.work + meter.omitted
        report.write_text(json.dumps([products, operations, meter.reading, meter.most]), encoding="utf-8")

    sys.addaudithook(_stay_here)
    _redirect(server, Path(files))
    shell = get_ipython()  # noqa: F821 # pyright: ignore[reportUndefinedVariable] -- a kernel has it
    shell.user_ns["range"] = _shorten(meter)
    meter.__enter__()
    shell.events.register("post_run_cell", write)


def _stay_here(event: str, arguments: tuple) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise ConnectionError(f"the rehearsal uses no network, and something wants to speak to {arguments[1][0]}.")


def _replace(old: Any, new: object) -> None:
    """Put a function in another's place, in every module of the package that has it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("coursekit") and getattr(module, old.__name__, None) is old:
            setattr(module, old.__name__, new)


def _redirect(server: str, files: Path) -> None:
    fetch = downloads.fetch

    def from_here(urls, path, *, md5=None, sha256=None, size=None, **options):
        file = files / (urls if isinstance(urls, str) else urls[0]).rsplit("/", 1)[1]
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return fetch(f"{server}/{file.name}", path, sha256=digest, **options)

    _replace(fetch, from_here)
    for module in (tv.cifar, tv.flowers102, tv.places365):  # these know checksums of what is inside an archive
        vars(module)["check_integrity"] = lambda path, md5=None: os.path.isfile(path)

    def state_dict(weights, *_, **__):
        """Return what torchvision would download."""
        file = files / weights.url.rsplit("/", 1)[1]
        if file.exists():
            return torch.load(file, weights_only=True)
        build = next(build for build in zoo.BUILTIN_MODELS.values() if zoo._get_enum_from_fn(build) is type(weights))
        return build(**{name: None for name in ("weights", "weights_backbone") if name in _names(build)}).state_dict()

    zoo.WeightsEnum.get_state_dict = state_dict


def _names(function: Any) -> set[str]:
    return set(inspect.signature(inspect.unwrap(function)).parameters)


def _shorten(meter: Meter) -> Callable[..., Iterable[int]]:
    """Shorten what goes through data, and return what is to be the notebook's `range`."""
    fit, predict, evaluate = training.fit, training.predict, training.evaluate

    def few_fit(model, train, val=None, *, batch_size=64, **options):
        if isinstance(train, DataLoader) or isinstance(val, DataLoader):
            return fit(model, train, val, batch_size=batch_size, **options)
        history, work, grown = meter.watch(fit, model, _first(train), _first(val), batch_size=batch_size, **options)
        if val is not None:
            alike = {key: options[key] for key in ("loss", "metrics") if key in options}
            at_once = size_without_gradients(batch_size)
            _, look, _ = meter.watch(evaluate, model, _first(val), batch_size=at_once, **alike)
            meter.omitted -= look
            work -= look * len(history)
            meter.omit(look * len(history), val, at_once, len(history))
        learned = sum(p.nbytes for p in model.parameters() if p.requires_grad)
        meter.omit(work, train, batch_size, len(history), grown, lasting=3 * learned)  # gradients, and what Adam keeps
        return history

    def shortened(function):
        def answer(model, data, *, batch_size=256, **options):
            if isinstance(data, DataLoader):
                return function(model, data, **options)
            found, work, grown = meter.watch(function, model, _first(data), batch_size=batch_size, **options)
            meter.omit(work, data, batch_size, grown=grown)
            if function is evaluate:
                return found
            labels = torch.stack([torch.as_tensor(data[index][1]) for index in range(len(data))])
            return found[0][torch.arange(len(data)) % len(found[0])], labels

        return answer

    whole = DataLoader.__iter__

    def few_batches(loader):
        data = loader.dataset
        if isinstance(data, IterableDataset) or not loader.batch_size or len(data) <= (few := _few(data)):
            yield from whole(loader)
            return
        work, meter.peak, living = meter.work.copy(), meter.living, meter.living
        for number, batch in enumerate(whole(loader), start=1):
            yield tree_map(lambda part: part[:few], batch)
            if number * loader.batch_size >= few:
                break
        meter.omit(meter.work - work, data, loader.batch_size, grown=meter.peak - living)

    def few_rounds(*bounds):
        """A loop of the notebook's own with thousands of steps, each of which costs what the first ones do."""
        rounds = range(*bounds)
        return rounds if len(rounds) < 20 * ROUNDS else first_rounds(rounds)

    def first_rounds(rounds):
        work = meter.work.copy()
        yield from rounds[:ROUNDS]
        meter.omitted += (meter.work - work) * (len(rounds) / ROUNDS - 1)

    DataLoader.__iter__ = few_batches
    _replace(fit, few_fit)
    _replace(predict, shortened(predict))
    _replace(evaluate, shortened(evaluate))
    return few_rounds


def _few(data: Any) -> int:
    return min(len(data), LARGE if data[0][0].shape[-1] > 100 else SMALL)


def _first(data: Dataset | None) -> Dataset | None:
    return data and Subset(data, list(range(_few(data))))
