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
    network = pretrained.load(chosen.network)
    photos = folders.read(chosen.photos, network.size, resize="crop").with_transform(network.normalize)
    features, labels = transfer.features(transfer.backbone(network.model), photos).tensors
    numbers = nn.Module()
    numbers.register_buffer("features", features)
    numbers.register_buffer("labels", labels)
    card = {
        "photos": len(photos),
        "features": features.shape[1],
        "classes": list(photos.classes),
        "counts": photos.counts(),
        "network": chosen.network,
        "pixels": network.size,
        "weights": network.source,
        "source": chosen.source,
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m tools.features --photos DIR --network {chosen.network} --name {chosen.name}",
    }
    stored = pretrained.read_cards(chosen.into) if (chosen.into / pretrained.CARDS).exists() else {}
    if measured := stored.get(chosen.name, {}).get("measured"):  # by tests/benchmarks/transfer.py
        card["measured"] = measured
    card = write_weights(chosen.name, numbers, card, chosen.into)
    print(f"{chosen.name}: {card['photos']:,} photos, {card['features']:,} features each, {card['bytes']:,} bytes")


if __name__ == "__main__":
    main()
