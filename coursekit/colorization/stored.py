"""The colorizer that the course trained itself, on tiny photos: how it was made, and how to get it.

``python -m tools.train_colorizer`` trains it again.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

from coursekit import arguments, pretrained, training
from coursekit.colorization.bins import Bins
from coursekit.colorization.cielab import lab_pairs
from coursekit.colorization.networks import Colorizer, gray_encoder, upsampling_decoder
from coursekit.data import ImageSet

NAME, WIDTH = "colorizer", 0.5
_BATCH, _LARGER = 64, 1.5


def load() -> tuple[Colorizer, Bins]:
    """Return the stored colorizer, in eval mode on the CPU, and the bins that its outputs stand for.

    Raises
    ------
    WeightsError
        If the file is missing or damaged.
    """
    weights, card = pretrained.read_weights(NAME)
    bins = Bins(weights.pop("centres"), weights.pop("shares"))
    model = _network(card["width"], len(bins))
    model.load_state_dict(weights)
    return model.eval(), bins


def train(images: ImageSet, epochs: int = 4, width: float = WIDTH, seed: int = 0) -> tuple[Colorizer, Bins]:
    """Train a colorizer as a classifier over ab bins, one cycle of the learning rate, mirrored and at two sizes.

    Parameters
    ----------
    images : ImageSet
        Colour, at least 64.
    epochs, seed : int
    width : float
        Factor for the channels.
    """
    light, ab = lab_pairs(images).tensors
    bins = Bins.of(ab[:: len(ab) // 10_000 + 1], least=2e-4)  # some million pixels tell which colours there are
    batches = _Batches(light, bins.encode(ab).to(torch.int16), seed)
    torch.manual_seed(seed)
    model = _network(width, len(bins))
    training.fit(
        model,
        DataLoader(batches, batch_size=None),
        epochs=epochs,
        optimizer=partial(AdamW, weight_decay=0.01),
        scheduler=partial(OneCycleLR, max_lr=6e-3),
        metrics={},
        channels_last=True,
        after_epoch=lambda history: print(f"epoch {len(history)}: loss {history['loss'][-1]:.4f}", flush=True),
    )
    return model, bins


def write(model: Colorizer, bins: Bins, card: dict, into: Path) -> dict:
    """Store a trained colorizer with its bins in half precision, and return its card."""
    arguments.of_type("bins", bins, Bins, "the Bins that the model was trained with")
    whole = nn.Module()
    for name, module in arguments.module(model).named_children():
        whole.add_module(name, module)
    whole.register_buffer("centres", bins.centres)
    whole.register_buffer("shares", bins.shares)
    return pretrained.write_weights(NAME, whole, card, into)


def _network(width: float, outputs: int) -> Colorizer:
    return Colorizer(gray_encoder(pretrained.resnet18(width)), upsampling_decoder(width, outputs))


class _Batches(Dataset):
    """Whole batches of lightness and bins: drawn at random, half of them mirrored, half of them enlarged."""

    def __init__(self, light: Tensor, labels: Tensor, seed: int) -> None:
        self.light, self.labels = light, labels
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.light) // _BATCH

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index == 0:
            self.order = torch.randperm(len(self.light), generator=self.generator)
        rows = self.order[index * _BATCH : (index + 1) * _BATCH]
        light, labels = self.light[rows], self.labels[rows].long()
        mirror, enlarge = (torch.rand(2, generator=self.generator) < 0.5).tolist()
        if mirror:
            light, labels = light.flip(3), labels.flip(2)
        if enlarge:
            light = F.interpolate(light, scale_factor=_LARGER, mode="bilinear")
            labels = F.interpolate(labels[:, None].float(), scale_factor=_LARGER, mode="nearest")[:, 0].long()
        return light, labels
