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
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from coursekit.training.batches import OneProcess
from coursekit.training.history import History

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_READABLE = (Tensor, int, float, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, or does not belong to the model or the run that asks for it."""


@dataclass
class Checkpoint:
    """The file that a run is saved to, and resumed from.

    ``parts`` are what has a state: "model", "optimizer", "scheduler" and so on. ``settings`` must be the same when the
    run is resumed. ``generators`` are those that it draws from, see `generators`. Of ``fabric``, one process writes.
    """

    path: Path
    parts: dict[str, object]
    settings: dict[str, object]
    generators: dict[str, tuple[Callable, Callable]]
    fabric: Fabric | OneProcess

    def __post_init__(self) -> None:
        """Note how optimizer and scheduler are set before the first step."""
        groups = [len(group["params"]) for group in self.parts["optimizer"].param_groups]
        of_loaders = sum(name.startswith("loader") for name in self.generators)
        self.settings = plain(self.settings | {"parameters per group": groups, "generators of loaders": of_loaders})
        self.started = _hyperparameters(self._states())

    def _states(self) -> dict:
        return plain({name: part.state_dict() for name, part in self.parts.items()})

    def save(self, history: History, best: dict[str, Tensor]) -> None:
        """Write all that is needed to go on. All processes call this, and the first of them writes."""
        moments = [random_states(self.generators)] * self.fabric.world_size
        if self.fabric.world_size > 1:
            torch.distributed.all_gather_object(moments, moments[0])
        if self.fabric.global_rank == 0:
            run = {"settings": self.settings, "started": self.started, "random": moments, "best": best}
            save(self.path, run | {"rows": list(history), "losses": history.batch_losses} | self._states())

    def resume(self) -> tuple[History, dict[str, Tensor]]:
        """Go on from the file, if there is one, and return the history and the best weights.

        Raises
        ------
        CheckpointError
            If it is damaged, or belongs to another model or to a run with other settings. Then nothing is changed.
        """
        if not self.path.exists():
            return History(), {}
        saved = load(self.path)
        if not saved.keys() >= {"settings", "started", "random", "best", "rows", "losses", "model", "optimizer"}:
            raise CheckpointError(f"{self.path} was not written by fit of this version. Name another file.")
        pairs = {name: (saved["settings"].get(name), ours) for name, ours in self.settings.items()}
        reached = _hyperparameters(saved)
        for name, ours in self.started.items():
            theirs = saved["started"].get(name, ours)
            now = reached.get(name, theirs)
            scheduled = now != theirs and (not name.endswith(".lr") or f"{name[:-2]}initial_lr" in reached)
            if ours != now and not scheduled:  # what changes in the course of a run may have any value
                pairs[name] = theirs, ours
        if other := [f"{n} = {theirs}, now it is {ours}" for n, (theirs, ours) in pairs.items() if theirs != ours]:
            raise CheckpointError(
                f"{self.path} was made with {'; '.join(other)}. Call fit as before to go on, or name another file."
            )
        try:
            copy.deepcopy(self.parts["model"]).load_state_dict(saved["model"])
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.path} belongs to another model, or to one that made its parts when it first ran (then call it "
                f"once before fit): {error}"
            ) from None
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.started = saved["started"]
        set_random_states(self.generators, saved["random"][self.fabric.global_rank])
        return History(saved["rows"], saved["losses"]), saved["best"]


def save(path: str | Path, state: dict) -> None:
    """Write ``state`` so that ``path`` always holds a whole checkpoint: the new one, or the one before.

    The new one is written beside it under a temporary name, forced to the disk, then renamed in one step.
    """
    path = Path(path)
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
        raise OSError(
            f"the checkpoint {path} could not be written ({error}). {kept}; check the folder, its permissions and the "
            "free space."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | Path) -> dict:
    """Read what `save` wrote, onto the CPU: tensors and plain values only, so that nothing in the file can run code."""
    with open(path, "rb") as file:
        try:
            if damaged := zipfile.ZipFile(file).testzip():  # torch would not notice
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file fails in as many ways as there are places to damage
            kind = type(error).__name__  # without its text: torch advises to trust the file and try again
            raise CheckpointError(
                f"{path} is not a whole checkpoint of this package ({kind}). Delete it or name another file."
            ) from None
    return state if isinstance(state, dict) else {}


def plain(value: object) -> object:
    """Return ``value`` as tensors, numbers and texts, and dicts and lists of these: all that `load` would read.

    Numpy's numbers become Python's. Functions in a dict are left out: who resumes brings the same ones.
    """
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
        raise TypeError(
            f"a checkpoint can hold tensors, numbers, texts, and lists and dicts of them, not {value!r:.80}."
        )
    return value


def describe(loss: Callable) -> str:
    """Return a loss as text: its name, and the settings of a module or a partial, such as label_smoothing."""
    settings = getattr(loss, "keywords", vars(loss) if isinstance(loss, nn.Module) else {})
    shown = [f"{k}={v}" for k, v in sorted(settings.items()) if not k.startswith("_") and k != "training"]
    function = getattr(loss, "func", loss)
    return f"{getattr(function, '__qualname__', type(function).__name__)}({', '.join(shown)})"


def _hyperparameters(states: dict) -> dict[str, object]:
    """Return the settings of optimizer and scheduler, by names such as "optimizer.param_groups.0.lr"."""
    groups = [{k: v for k, v in group.items() if k != "params"} for group in states["optimizer"]["param_groups"]]
    return _flat("optimizer.param_groups", groups) | _flat("scheduler", states.get("scheduler", {}))


def _flat(name: str, value: object) -> dict[str, object]:
    if isinstance(value, list | tuple):
        value = {str(number): item for number, item in enumerate(value)}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        return {name: value.tolist() if isinstance(value, Tensor) else value}
    parts = (_flat(f"{name}.{key}", item) for key, item in value.items())
    return {inner: setting for part in parts for inner, setting in part.items()}


def generators(device: torch.device, *loaders: DataLoader | None) -> dict[str, tuple[Callable, Callable]]:
    """Return how to read and how to set each random generator that training draws from, by a name."""
    found = {
        "python": (random.getstate, random.setstate),
        "numpy": (np.random.get_state, np.random.set_state),
        "torch": (torch.get_rng_state, torch.set_rng_state),
    }
    if device.type != "cpu":
        of_device, which = getattr(torch, device.type), {"device": device} if device.type == "cuda" else {}
        found["device"] = partial(of_device.get_rng_state, **which), partial(of_device.set_rng_state, **which)
    owners = []
    for loader in loaders:
        samplers = [getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
        owners += [loader, *samplers, *(getattr(sampler, "sampler", None) for sampler in samplers)]
    unique = {id(owner.generator): owner.generator for owner in owners if getattr(owner, "generator", None)}
    for number, generator in enumerate(unique.values(), start=1):
        found[f"loader {number}"] = generator.get_state, generator.set_state
    return found


def random_states(sources: dict[str, tuple[Callable, Callable]]) -> dict[str, object]:
    """Return the states of `generators`, as plain values."""
    return {name: plain(read()) for name, (read, _) in sources.items()}


def set_random_states(sources: dict[str, tuple[Callable, Callable]], states: dict[str, object]) -> None:
    """Put back what `random_states` returned; a device that the run has left keeps its own."""
    for name in sources.keys() & states.keys():
        sources[name][1](states[name])


@contextmanager
def seeded(seed: int, device: torch.device, *loaders: DataLoader) -> Iterator[None]:
    """Seed Python, numpy and torch; afterwards put back the states from before, those of the loaders, too."""
    sources = generators(device, *loaders)
    before = random_states(sources)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_random_states(sources, before)
