"""The colorizer that the course trained itself, on tiny photos; ``python -m tools.train_colorizer`` trains it again."""

from __future__ import annotations

from coursekit import pretrained
from coursekit.colorization.bins import Bins
from coursekit.colorization.networks import Colorizer, gray_encoder, upsampling_decoder

NAME = "colorizer"


def load() -> tuple[Colorizer, Bins]:
    """Return the stored colorizer, in eval mode on the CPU, and the bins of its outputs; else raise WeightsError."""
    weights, card = pretrained.read_weights(NAME)
    bins = Bins(weights.pop("centres"), weights.pop("shares"))
    model = network(card["width"], len(bins))
    model.load_state_dict(weights)
    return model.eval(), bins


def network(width: float, outputs: int) -> Colorizer:
    """Return the stored colorizer's architecture, untrained: a factor for its channels, and a number of bins."""
    return Colorizer(gray_encoder(pretrained.resnet18(width)), upsampling_decoder(width, outputs))
