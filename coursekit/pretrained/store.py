"""Trained weights in files: tensors and text only, in half precision, with a checksum.

The files lie in ``data/weights`` of the repository, and inside the package once it is installed from a wheel.
``cards.json`` beside them says of each what it is and what its bytes must be.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

import coursekit

CARDS = "cards.json"
_FACTS = {"bytes", "sha256"}  # what each card has at least
_HERE = Path(coursekit.__file__).parent
FOLDERS = (_HERE / "_data" / "weights", _HERE.parent / "data" / "weights")  # in a wheel, in the repository


class WeightsError(RuntimeError):
    """A file of weights is missing, damaged, or not the one that its card describes."""


def folder() -> Path:
    """Return the folder of the weights that came with the package.

    Raises
    ------
    WeightsError
        If it is not there.
    """
    for path in FOLDERS:
        if (path / CARDS).is_file():
            return path
    raise WeightsError(f"the weights of the course are missing: no {CARDS} in any of {', '.join(map(str, FOLDERS))}.")


def write(name: str, model: nn.Module, card: dict, into: Path) -> dict:
    """Store the weights of a network in half precision as ``NAME.safetensors``, and its card; return the card.

    Parameters
    ----------
    name : str
        A new name, or one whose file and card are replaced.
    model : nn.Module
        All its parameters and buffers are stored.
    card : dict
        Facts that become part of ``cards.json``: text, numbers and lists of them. "sha256", "bytes" and
        "parameters" are filled in.
    into : Path
        The folder; it is made if it is missing.
    """
    into = Path(into)
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{name}.safetensors"
    tensors = {key: _half(value) for key, value in model.state_dict().items()}
    save_file(tensors, path)
    data = path.read_bytes()
    cards = read_cards(into) if (into / CARDS).exists() else {}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    cards[name] = card | {"parameters": parameters, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (into / CARDS).write_text(json.dumps(cards, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return cards[name]


def read_cards(where: Path | None = None) -> dict[str, dict]:
    """Return the cards by name: those of the package's own weights, or of another folder."""
    path = (folder() if where is None else Path(where)) / CARDS
    try:
        cards = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read {path} ({error}). Get a fresh copy of the course.") from error
    if not isinstance(cards, dict) or any(not isinstance(c, dict) or _FACTS - c.keys() for c in cards.values()):
        facts = ", ".join(sorted(_FACTS))
        raise WeightsError(f"{path} must hold cards by name, each with {facts}. Get a fresh copy of the course.")
    return cards


def read(name: str, where: Path | None = None) -> tuple[dict[str, Tensor], dict]:
    """Return stored weights in single precision, and their card.

    Parameters
    ----------
    name : str
        As in ``cards.json``.
    where : Path, optional
        The folder; that of the package if not given.

    Raises
    ------
    WeightsError
        If there is no such card or file, or the file's bytes are not those that the card promises.
    """
    where = folder() if where is None else Path(where)
    cards = read_cards(where)
    if name not in cards:
        raise WeightsError(f"there are no weights called {name!r}. There are: {', '.join(sorted(cards))}.")
    path = where / f"{name}.safetensors"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path} ({error.strerror}). Get a fresh copy of the course.") from error
    card = cards[name]
    if len(data) != card["bytes"] or hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise WeightsError(
            f"{path} is not the file that its card describes: {len(data):,} bytes instead of {card['bytes']:,}, or "
            "other contents. It is damaged or was replaced; get a fresh copy of the course."
        )
    try:
        tensors = load(data)
    except SafetensorError as error:  # only where the card was replaced as well
        raise WeightsError(f"{path} is no safetensors file ({error}).") from error
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}, card


def read_torch(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file that `torch.save` wrote, by name. Nothing in it can run code or unpack to more.

    Raises
    ------
    WeightsError
        If it is damaged or holds anything but named tensors.
    """
    try:
        if zipfile.is_zipfile(path):  # torch's form since 2020; ImageNet's weights for VGG16 are older
            with path.open("rb") as file:
                check_members(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a form of pickle that is refused in the next moment
            weights = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
            raise pickle.UnpicklingError("it holds something else than tensors by name")
    except Exception as error:  # a damaged file fails in as many ways as there are places to damage
        cause = why_not(error)
        raise WeightsError(f"{path} holds no weights to be trusted ({cause}). Delete it and run this again.") from None
    return weights


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


def _half(value: Tensor) -> Tensor:
    value = value.detach().cpu()
    if not value.is_floating_point():
        return value.clone()
    half = value.half().contiguous()
    if not torch.isfinite(half).all():
        raise ValueError("a weight is not a number, or too large for half precision (above 65,504).")
    return half
