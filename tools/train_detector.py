"""``python -m tools.train_detector`` trains the stored detector again: thousands of drawn scenes, a quarter of an hour.

It starts from the thin ResNet18 of the course, and is judged on scenes that it has not seen, half of them in front of
photos that it has not seen either.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import BoundingBoxFormat

from coursekit import critters, detection, pretrained
from coursekit.critters import scene
from coursekit.detection import SPECIES, Boxes, average_precision
from tools.pretraining.storing import write_weights

NEW_PHOTOS = "coffee", "motorcycle"  # behind no animal of the training
DIFFICULTY, ANIMALS = 0.5, (2, 5)
_BATCH, _RATE = 16, 2e-3


def main(arguments: list[str] | None = None) -> None:
    """Draw scenes, train, judge, and store weights and card."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_detector", description=__doc__)
    parser.add_argument("--scenes", type=int, default=5000, help="to train on (default: 5000)")
    parser.add_argument("--test", type=int, default=300, help="to judge by, of each kind (default: 300)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, default=Path("data/weights"), help="where weights and card are written")
    chosen = parser.parse_args(arguments)
    start = time.time()
    old = [name for name in scene.PHOTOS if name not in NEW_PHOTOS]
    images, truths = scenes(chosen.scenes, (chosen.seed, 0), old)
    print(f"{len(images):,} scenes drawn in {time.time() - start:.0f} s", flush=True)
    tests = {"photos of the training": scenes(chosen.test, (chosen.seed, 1), old)}
    tests["new photos"] = scenes(chosen.test, (chosen.seed, 2), NEW_PHOTOS)
    model = train_detector(images, truths, chosen.epochs, chosen.seed, tests)
    card = {"source": "drawn scenes of animals", "images": len(images), "epochs": chosen.epochs, "seed": chosen.seed}
    card |= {"classes": SPECIES, "size": detection.SIZE, "layout": {"width": 0.25}, "licence": "CC BY 4.0"}
    card |= {"minutes": round((time.time() - start) / 60), "average precision": judge(model, tests)}
    print(write_weights("detector", model, card, chosen.into))


def scenes(count: int, seed: tuple[int, ...], photos: tuple[str, ...] | list[str]) -> tuple[list[Tensor], list[Boxes]]:
    """Draw scenes in front of the photos named; images come as bytes, since all are kept."""
    options = {"difficulty": DIFFICULTY, "animals": ANIMALS, "photos": photos}
    groups = critters.make_groups(count, SPECIES, seed, detection.SIZE, **options)
    images = [torch.from_numpy(group.image).permute(2, 0, 1).contiguous() for group in groups]
    return images, [detection.target_of(group) for group in groups]


def train_detector(
    images: list[Tensor],
    truths: list[Boxes],
    epochs: int,
    seed: int = 0,
    tests: dict[str, tuple[list[Tensor], list[Boxes]]] | None = None,
) -> torch.nn.Module:
    """Train all of a detector, its backbone the thin ResNet18; after each third epoch print what it has reached."""
    torch.manual_seed(seed)
    thin, _ = pretrained.load_thin("resnet18")
    model = detection.faster_rcnn(thin).train()
    optimizer = AdamW(model.parameters(), lr=_RATE, weight_decay=0.02)
    steps = len(images) // _BATCH
    schedule = OneCycleLR(optimizer, _RATE, total_steps=epochs * steps, pct_start=0.15)
    start = time.time()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in torch.randperm(len(images))[: steps * _BATCH].split(_BATCH):
            pairs = [augment(images[index] / 255, truths[index]) for index in batch.tolist()]
            losses = model(*map(list, zip(*pairs, strict=True)))
            loss = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / steps:.3f}, {time.time() - start:.0f} s", flush=True)
        if tests and (epoch % 3 == 0 or epoch == epochs):
            print(f"  average precision {judge(model, tests)}", flush=True)
    return model.eval()


def augment(image: Tensor, truth: Boxes) -> tuple[Tensor, Boxes]:
    """Mirror a scene or not, and change its light and colours a little."""
    boxes = truth["boxes"]
    if torch.rand(()) < 0.5:
        size = image.shape[1], image.shape[2]
        image = functional.horizontal_flip_image(image)
        boxes = functional.horizontal_flip_bounding_boxes(boxes, BoundingBoxFormat.XYXY, size)
    light = 1 + 0.2 * (2 * torch.rand(3, 1, 1) - 1)
    return (image * light).clamp(0, 1), {"boxes": boxes, "labels": truth["labels"]}


def judge(model: torch.nn.Module, tests: dict[str, tuple[list[Tensor], list[Boxes]]]) -> dict[str, float]:
    """Return the mean over classes of the average precision at IoU 0.5, by test."""
    reached = {}
    for name, (images, truths) in tests.items():
        found = detection.detect(model, [image / 255 for image in images])
        values = [average_precision(found, truths, label) for label in range(1, len(SPECIES) + 1)]
        reached[name] = round(float(np.mean(values)), 3)
    return reached


if __name__ == "__main__":
    main()
