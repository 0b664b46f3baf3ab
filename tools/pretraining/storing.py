"""Stores trained weights for the course: a file of safetensors, and a card that says what it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from coursekit.pretrained import CARDS, read_cards


def write_weights(name: str, model: nn.Module, card: dict, into: Path) -> dict:
    """Store parameters and buffers of a network in half precision as ``NAME.safetensors``; return its card.

    The card, facts of text and numbers, goes into ``cards.json`` with "sha256", "bytes" and "parameters" filled in. The
    folder is made if it is missing; what it has of this name is replaced.
    """
    into.mkdir(parents=True, exist_ok=True)
    data = safetensors.torch.save({key: _half(value) for key, value in model.state_dict().items()})
    (into / f"{name}.safetensors").write_bytes(data)
    cards = read_cards(into) if (into / CARDS).exists() else {}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    cards[name] = card | {"parameters": parameters, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (into / CARDS).write_text(json.dumps(cards, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return cards[name]


def _half(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    half = value.half() if value.is_floating_point() else value
    if not torch.isfinite(half).all():
        raise ValueError("a weight is not a number, or too large for half precision (above 65,504).")
    return half
