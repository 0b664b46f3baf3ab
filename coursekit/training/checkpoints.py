"""Checkpoints that survive a crash: written as a whole or not at all, read as tensors and plain numbers only.

A checkpoint holds the random states too, so that a run that was stopped goes on as if nothing had happened.
"""

from __future__ import annotations

import os
import random
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch.utils.data import DataLoader

from coursekit import arguments

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody writes cannot be deleted anyway
    fcntl = None


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, or does not belong to the model or the run that asks for it."""


def save(path: str | Path, state: dict) -> None:
    """Write ``state`` so that ``path`` always holds a whole checkpoint: the new one, or the one before.

    The new one is written beside it under a temporary name, forced to the disk, then renamed, which the file system
    does in one step. What a killed run left half-written is removed.

    Parameters
    ----------
    path : str or Path
        Its folder is made if it is missing.
    state : dict
        Tensors, numbers, strings, and dicts, lists and tuples of them.

    Raises
    ------
    OSError
        If it cannot be written (no space, no permission). What was at ``path`` is still there.
    """
    path = Path(path)
    arguments.of_type("state", state, dict, "a dict")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _remove_leftovers(path)
        with _open_locked(temporary) as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError | RuntimeError):  # torch reports a full disk as a RuntimeError
            raise OSError(
                f"the checkpoint {path} could not be written ({error}). "
                f"{'The one before is still there' if path.exists() else 'There is none yet'}; "
                "check the folder, its permissions and the free space."
            ) from error
        raise


def load(path: str | Path) -> dict:
    """Read a checkpoint that `save` wrote, onto the CPU. Nothing in the file can run code.

    Raises
    ------
    OSError
        If there is no such file, or it may not be read.
    CheckpointError
        If the file is truncated, damaged, or holds anything but tensors and plain values.
    """
    with Path(path).open("rb") as file:  # a number would be a file that is open already
        try:
            check_members(file)
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file fails in as many ways as there are places to damage
            raise CheckpointError(
                f"{path} is not a whole checkpoint of this package ({why_not(error)}). Delete it or name another file."
            ) from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, not a checkpoint of this package.")
    return state


def why_not(error: Exception) -> str:
    """Say in one line why a file could not be read, where torch begins with the advice to trust it and try again."""
    text = str(error)
    if asked := re.search(r"GLOBAL (\S+)", text):
        return f"it asks for {asked[1]}, and may hold tensors and plain values only"
    if strange := re.search(r"Unsupported operand \d+", text):
        return f"it is a pickle that torch did not write: {strange[0]}"
    first, _, _ = text.strip().partition("\n")
    return f"{type(error).__name__}: {first.partition(' In PyTorch 2.6')[0][:120] or 'no reason given'}"


def check_members(file: BinaryIO) -> None:
    """Refuse what torch would read all the same: members with a wrong checksum, and packed ones, which may be bombs.

    Raises
    ------
    zipfile.BadZipFile
        If there is one, or the file is no zip.
    """
    with zipfile.ZipFile(file) as archive:
        packed = [info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise zipfile.BadZipFile(f"{packed[0]} is packed, as torch.save packs nothing")
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")


def check_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor], path: str | Path) -> None:
    """See whether ``weights``, read from ``path``, fit into ``model``, before any of them is put there.

    Raises
    ------
    CheckpointError
        If names or shapes differ, naming the first that do.
    """
    ours = {name: list(value.shape) for name, value in model.state_dict().items()}
    theirs = {name: list(value.shape) for name, value in weights.items()}
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            raise CheckpointError(
                f"{path} belongs to another model: {name!r} is {theirs.get(name, 'missing')} in the file and "
                f"{ours.get(name, 'missing')} in the model. Build the model as it was, or name another file."
            )


def random_states(device: torch.device, *loaders: DataLoader | None) -> dict:
    """Return the states of all random generators that training draws from, as plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 -- augmentations may draw from it
    states = {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
        "loaders": [generator.get_state() for generator in _generators(loaders)],
    }
    if device.type != "cpu":
        states["device"] = getattr(torch, device.type).get_rng_state(*_which(device))
    return states


def set_random_states(states: dict, device: torch.device, *loaders: DataLoader | None) -> None:
    """Put back what `random_states` returned for the same device and loaders."""
    random.setstate(states["python"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    for generator, state in zip(_generators(loaders), states["loaders"], strict=True):
        generator.set_state(state)
    if "device" in states and device.type != "cpu":
        getattr(torch, device.type).set_rng_state(states["device"], *_which(device))


@contextmanager
def seeded(seed: int, device: torch.device, *loaders: DataLoader) -> Iterator[None]:
    """Seed Python, numpy and torch; afterwards put back the states from before, as if nothing had been drawn.

    The states of ``loaders`` are put back too; they are not seeded.
    """
    before = random_states(device, *loaders)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_random_states(before, device, *loaders)


def _which(device: torch.device) -> tuple[torch.device, ...]:
    """Apple's MPS is one device and takes no argument."""
    return () if device.type == "mps" else (device,)


def _generators(loaders: tuple[DataLoader | None, ...]) -> list[torch.Generator]:
    """Collect the generators that loaders and their samplers own, each once, in a fixed order."""
    owners = []
    for loader in loaders:
        for sampler in (getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
            owners += [sampler, getattr(sampler, "sampler", None)]
        owners.append(loader)
    found = [getattr(owner, "generator", None) for owner in owners]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


def _lock(file) -> bool:
    """Mark a file as being written; False if another process has done so."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _open_locked(path: Path) -> BinaryIO:
    """Make a file and lock it; another process that took it for a leftover in between makes that necessary again."""
    while True:
        file = open(path, "wb")  # noqa: SIM115 -- the caller closes it
        if _lock(file) and path.exists():
            return file
        file.close()


def _remove_leftovers(path: Path) -> None:
    name = re.compile(re.escape(path.name) + r"\.\d+\.part")  # not that of a run called model.pt.2 beside model.pt
    for leftover in [other for other in path.parent.iterdir() if name.fullmatch(other.name)]:
        with suppress(OSError):
            if fcntl is None:  # Windows deletes no file that somebody has opened
                leftover.unlink()
                continue
            with open(leftover, "rb") as file:
                if _lock(file):
                    leftover.unlink()  # while it is locked: nobody can begin to write it now


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk as well; Windows neither needs nor allows it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
