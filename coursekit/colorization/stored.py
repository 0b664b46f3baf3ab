"""The colorizer that the course trained itself, on real photos; ``python -m tools.train_colorizer`` trains it again."""

from __future__ import annotations

from coursekit import pretrained
from coursekit.colorization.bins import Bins
from coursekit.colorization.networks import UNet

NAME = "colorizer"


def load() -> tuple[UNet, Bins]:
    """Return the stored colorizer, in eval mode on the CPU, and the bins of its outputs; else raise WeightsError."""
    weights, card = pretrained.read_weights(NAME)
    bins = Bins(weights.pop("centres"), weights.pop("shares"))
    model = UNet(pretrained.resnet18(card["layout"]["width"]), len(bins))
    model.load_state_dict(weights)
    return model.eval(), bins
