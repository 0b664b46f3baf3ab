"""Checkpoints: a run is saved at the end of an epoch, and goes on from there as if nothing had happened."""

from __future__ import annotations

import copy
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from coursekit.training.batches import Processes
from coursekit.training.history import History

_READABLE = (Tensor, int, float, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
Generators = dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, or does not belong to the model or the run that asks for it."""


@dataclass
class Checkpoint:
    """The file that a run is saved to and resumed from: its parts that have a state, and settings that must agree."""

    path: Path
    parts: dict[str, Any]
    settings: dict[str, object]
    generators: Generators
    processes: Processes

    def __post_init__(self) -> None:
        """Add to the settings those of optimizer and scheduler, before the first step."""
        states = self._states()
        for number, group in enumerate(states["optimizer"]["param_groups"]):
            group["params"] = len(group["params"])
            self.settings |= {f"{name} of parameter group {number}": value for name, value in group.items()}
        self.settings |= {f"scheduler.{name}": value for name, value in states.get("scheduler", {}).items()}
        self.settings = {name: str(value) for name, value in self.settings.items()}

    def _states(self) -> dict[str, Any]:
        return {name: plain(part.state_dict()) for name, part in self.parts.items() if part is not None}

    def save(self, history: History, best: dict[str, Tensor]) -> None:
        """Write all that is needed to go on. All processes call this, and the first of them writes."""
        moments = [{name: plain(read()) for name, (read, _) in self.generators.items()}]
        if self.processes.world_size > 1:
            moments *= self.processes.world_size
            torch.distributed.all_gather_object(moments, moments[0])
        if self.processes.global_rank == 0:
            run = {"settings": self.settings, "random": moments, "best": best}
            save(self.path, run | {"rows": list(history), "losses": history.batch_losses} | self._states())

    def resume(self) -> tuple[History, dict[str, Tensor]]:
        """Go on from the file, if any: history and best weights. After a CheckpointError all is as it was."""
        if not self.path.exists():
            return History(), {}
        saved = load(self.path)
        if not saved.keys() >= {"settings", "random", "best", "rows", "losses", "model", "optimizer"}:
            raise CheckpointError(f"{self.path} was not written by fit of this version. Name another file.")
        pairs = {name: (saved["settings"].get(name), ours) for name, ours in self.settings.items()}
        if other := [f"{n} = {theirs}, now it is {ours}" for n, (theirs, ours) in pairs.items() if theirs != ours]:
            raise CheckpointError(
                f"{self.path} was made with {'; '.join(other)}. Call fit as before to go on, with what makes an "
                "optimizer, not with one that has taken steps; or name another file."
            )
        before = copy.deepcopy(self.parts["model"].state_dict())
        try:
            self.parts["model"].load_state_dict(saved["model"])
        except RuntimeError as error:
            self.parts["model"].load_state_dict(before)
            raise CheckpointError(f"{self.path} belongs to another model: {error}") from None
        for name, part in self.parts.items():
            if part is not None:
                part.load_state_dict(saved[name])
        put_back(self.generators, saved["random"][self.processes.global_rank])
        return History(saved["rows"], saved["losses"]), saved["best"]


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` beside ``path``, then rename it: there is always a whole checkpoint, the new one or the old."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        kept = "The one before is still there" if path.exists() else "There is none yet"
        raise OSError(f"{path} could not be written ({error}). {kept}; check the folder and the free space.") from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, onto the CPU: tensors and plain values only, so that nothing in the file can run code."""
    with open(path, "rb") as file:
        try:
            if damaged := zipfile.ZipFile(file).testzip():  # torch would not notice
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file fails in as many ways as there are places to damage
            kind = type(error).__name__  # without its text: torch advises to trust the file and try again
            raise CheckpointError(f"{path} is not a whole checkpoint ({kind}). Delete it or name another.") from None
    return state if isinstance(state, dict) else {}


def plain(value: Any) -> Any:
    """Return ``value`` with Python's numbers for numpy's and without functions, so that `load` can read it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        found = copy.copy(value)  # an OrderedDict or a Counter stays one
        found.clear()
        found.update({plain(k): plain(v) for k, v in value.items() if isinstance(v, Tensor) or not callable(v)})
        return found
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if not isinstance(value, _READABLE):
        raise TypeError(f"a checkpoint can hold tensors, numbers, texts, lists and dicts of them, not {value!r:.80}.")
    return value


def describe(loss: Callable[..., Tensor]) -> str:
    """Return a loss as text: its name, and the settings of a module or a partial, such as label_smoothing."""
    function = getattr(loss, "func", loss)
    settings = getattr(loss, "keywords", getattr(loss, "__dict__", {}))
    settings = settings | (loss.state_dict() if isinstance(loss, nn.Module) else {})  # weights of classes
    shown = {name: value for name, value in settings.items() if not name.startswith("_") and name != "training"}
    return f"{getattr(function, '__qualname__', type(function).__name__)} {shown}"


def generators(device: torch.device, *loaders: DataLoader | None) -> Generators:
    """Return how to read and how to set each random generator that training draws from, by a name."""
    found: Generators = {
        "python": (random.getstate, random.setstate),
        "numpy": (np.random.get_state, np.random.set_state),
        "torch": (torch.get_rng_state, torch.set_rng_state),
    }
    if device.type != "cpu":
        module, which = torch.get_device_module(device), {"device": device} if device.type == "cuda" else {}
        found["device"] = partial(module.get_rng_state, **which), partial(module.set_rng_state, **which)
    owned = []
    for loader in loaders:
        inner = getattr(loader, "batch_sampler", None)
        owners = (loader, getattr(loader, "sampler", None), inner, getattr(inner, "sampler", None))
        owned += [generator for owner in owners if (generator := getattr(owner, "generator", None))]
    for number, generator in enumerate(owned):  # numbered alike on every device, so that a run may change it
        found[f"loader {number}"] = generator.get_state, generator.set_state
    return found


def put_back(sources: Generators, states: dict[str, Any]) -> None:
    """Set generators to the states that they had; a device that the run has left keeps its own."""
    for name in sources.keys() & states.keys():
        sources[name][1](states[name])


@contextmanager
def seeded(seed: int, device: torch.device, *loaders: DataLoader) -> Iterator[None]:
    """Seed Python, numpy and torch; afterwards put back the states from before, those of the loaders, too."""
    sources = generators(device, *loaders)
    before = {name: read() for name, (read, _) in sources.items()}
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        put_back(sources, before)
