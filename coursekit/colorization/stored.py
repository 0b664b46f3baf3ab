"""The colorizer that the course trained itself, on tiny photos; ``python -m tools.train_colorizer`` trains it again."""

from __future__ import annotations

from coursekit.colorization.bins import Bins
from coursekit.colorization.networks import Colorizer, gray_encoder, upsampling_decoder
from coursekit.pretrained import resnet18, store

NAME = "colorizer"


def load() -> tuple[Colorizer, Bins]:
    """Return the stored colorizer, in eval mode on the CPU, and the bins that its outputs stand for.

    Raises
    ------
    WeightsError
        If the file is missing or damaged.
    """
    weights, card = store.read(NAME)
    bins = Bins(weights.pop("centres"), weights.pop("shares"))
    model = network(card["width"], len(bins))
    model.load_state_dict(weights)
    return model.eval(), bins


def network(width: float, outputs: int) -> Colorizer:
    """Return the stored colorizer's architecture, untrained: a factor for its channels, and a number of bins."""
    return Colorizer(gray_encoder(resnet18(width)), upsampling_decoder(width, outputs))
