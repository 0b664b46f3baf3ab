"""``python -m tools.features --photos DIR`` stores what a network that knows ImageNet makes of photos.

Notebook 4 learns cats and dogs from these numbers. A thousand photos take a minute on one CPU core. No photo is stored.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from torch import nn

from coursekit import pretrained, transfer
from coursekit.data import folders
from tools.pretraining.storing import write_weights


def main(arguments: list[str] | None = None) -> None:
    """Read the photos, compute, store features and card."""
    parser = argparse.ArgumentParser(prog="python -m tools.features", description=__doc__)
    parser.add_argument("--photos", metavar="DIR", required=True, help="a folder with one folder of photos per class")
    parser.add_argument("--name", default="cats_vs_dogs", help="of the file (default: cats_vs_dogs)")
    parser.add_argument("--source", default="Cats vs Dogs (Elson et al., 2007): the first photos of each class")
    parser.add_argument("--network", default="efficientnet_lite0", help="default: efficientnet_lite0")
    parser.add_argument("--into", type=Path, default=Path("data/features"), help="where features and card are written")
    chosen = parser.parse_args(arguments)
    card = make(chosen.photos, chosen.network, chosen.source, chosen.name, chosen.into)
    print(f"{chosen.name}: {card['photos']:,} photos, {card['features']:,} features each, {card['bytes']:,} bytes")


def make(photos: str | Path, network: str, source: str, name: str, into: Path) -> dict:
    """Compute the features of all photos in a folder, store them in half precision, and return the card."""
    net = pretrained.load(network)
    found = folders.read(photos, net.size, resize="crop")
    body = transfer.backbone(net.model)
    features, labels = transfer.features(body, found.with_transform(net.normalize)).tensors
    numbers = nn.Module()
    numbers.register_buffer("features", features)
    numbers.register_buffer("labels", labels)
    card = {
        "photos": len(found),
        "features": features.shape[1],
        "classes": list(found.classes),
        "counts": found.counts(),
        "network": network,
        "pixels": net.size,
        "weights": net.source,
        "source": source,
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m tools.features --photos DIR --network {network} --name {name}",
    }
    kept = pretrained.read_cards(into).get(name, {}) if (into / pretrained.CARDS).exists() else {}
    measured = {"measured": kept["measured"]} if "measured" in kept else {}  # by tests/benchmarks/transfer.py
    return write_weights(name, numbers, card | measured, into)


if __name__ == "__main__":
    main()
