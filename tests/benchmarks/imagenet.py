"""EfficientNet-Lite0, which knows ImageNet, and a rival that learns from the same photos alone. See `transfer.py`.

frozen: logistic regression on its features at 224 pixels; frozen_small: at the rival's. scratch: the rival, a network
of five convolutions that sees the photos with augmentation; scratch_own: how well it knows the photos it learned from.
"""

import json
import statistics
import sys
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import TensorDataset

from coursekit import pretrained, training, transfer
from coursekit.data import ImageSet, folders
from tools.pretraining.views import Views

RIVAL_PIXELS, RIVAL_WIDTHS, RIVAL_RATE = 64, (16, 32, 64, 128, 128), 4e-3
EPOCHS = 60  # with 800 photos; with fewer photos more epochs, and fewer steps
STORED = Path("data/features") / pretrained.CARDS


def known(photos):
    """Return what EfficientNet-Lite0 makes of photos."""
    net = pretrained.load("efficientnet_lite0")
    return transfer.features(transfer.backbone(net.model), photos.with_transform(net.normalize)).tensors[0]


def read(folders_, pixels):
    """Return the photos of one or two folders as one set; those of the second one come last."""
    sets = [folders.read(folder, pixels, resize="crop") for folder in folders_ if folder]
    images, labels = (torch.cat([getattr(part, name) for part in sets]) for name in ("images", "labels"))
    return ImageSet(images, labels, sets[0].classes)


def probe(features, labels, learn, judge):
    """Return the accuracy on some photos of logistic regression on others."""
    return LogisticRegression(max_iter=2000).fit(features[learn], labels[learn]).score(features[judge], labels[judge])


def drawn(labels, count, seed, held_out=0.0):
    """Return indices of ``count`` photos, as many of each class, and of those held out, drawn by a seed."""
    generator = torch.Generator().manual_seed(seed)
    learn, judge = [], []
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        left_out = round(held_out * len(members))
        judge.append(members[:left_out])
        learn.append(members[left_out:][: count // (int(labels.max()) + 1)])
    return torch.cat(learn), torch.cat(judge)


def rival(train, test, seed, epochs):
    """Return the accuracies of a network that learns from these photos alone: on others, and on its own."""
    epochs = epochs or round(EPOCHS * (800 / len(train)) ** 0.3)
    torch.manual_seed(seed)
    layers, inputs = [], 3
    for outputs in RIVAL_WIDTHS:
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        inputs = outputs
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, len(train.classes)))
    net = pretrained.Pretrained(model, train.classes, RIVAL_PIXELS, pretrained.MEAN, pretrained.STD, "nothing")
    training.fit(
        model,
        Views([train], [RIVAL_PIXELS], net.normalize).loader(32, seed),
        epochs=epochs,
        optimizer=partial(AdamW, lr=RIVAL_RATE, weight_decay=0.05),
        scheduler=partial(OneCycleLR, max_lr=RIVAL_RATE, pct_start=0.2),
        loss=nn.CrossEntropyLoss(label_smoothing=0.1),
        seed=seed,
        channels_last=True,
    )

    def accuracy(part):
        both = (net.normalize(images.float() / 255) for images in (part.images, part.images.flip(3)))
        logits = sum(training.predict(model, TensorDataset(images, part.labels))[0] for images in both)
        return (logits.argmax(dim=1) == part.labels).float().mean().item()

    return {"scratch": accuracy(test), "scratch_own": accuracy(train)}


def compare(options):
    """Compare what EfficientNet-Lite0 knows with what a network learns from the same photos alone."""
    photos = read([options.train, options.test], 224)
    features = known(photos)
    if options.pairs:
        return pairs(photos, features, options.seeds or 5)
    rivals = "scratch" in (options.ways or "")
    ways = [lambda learn, judge, _: {"frozen": probe(features, photos.labels, learn, judge)}]
    if rivals:
        small = read([options.train, options.test], RIVAL_PIXELS)
        less = known(small)
        ways.append(lambda learn, judge, _: {"frozen_small": probe(less, small.labels, learn, judge)})
        ways.append(lambda learn, judge, seed: rival(small.subset(learn), small.subset(judge), seed, options.epochs))
    first = len(read([options.train], 8)) if options.test else len(photos)
    sizes = [20, 100, 400, first if options.test else round(0.8 * first)]
    runs = {}
    for count in sorted({int(size) for size in options.sizes.split(",")} if options.sizes else {*sizes}):
        for seed in range(options.seeds or (2 if rivals else 10)):
            learn, judge = drawn(photos.labels[:first], count, seed, 0.0 if options.test else 0.2)
            if options.test:
                judge = torch.arange(first, len(photos))
            for run in ways:
                for way, score in run(learn, judge, seed).items():
                    runs.setdefault(way, {}).setdefault(str(count), []).append(round(score, 4))
        print(count, {way: found[str(count)] for way, found in runs.items()}, flush=True)
    if options.store:
        store(runs, options.seeds or 2)
    result = {way: {size: round(statistics.mean(x), 4) for size, x in found.items()} for way, found in runs.items()}
    spread = {way: {size: round(statistics.pstdev(x), 4) for size, x in found.items()} for way, found in runs.items()}
    return result | {"spread": spread}


def store(runs, seeds):
    """Keep the runs beside the stored features, with when and how they were made."""
    cards = json.loads(STORED.read_text(encoding="utf-8"))
    how = {"date": datetime.now(UTC).date().isoformat(), "command": COMMAND.format(seeds=seeds)}
    rival = {"convolutions": len(RIVAL_WIDTHS), "pixels": RIVAL_PIXELS}
    sizes = [int(size) for size in runs["scratch"]]
    accuracy = {way: [*found.values()] for way, found in runs.items()}  # for each size a list of runs
    cards["cats_vs_dogs"]["measured"] = {"sizes": sizes, "accuracy": accuracy, "rival": rival, **how}
    STORED.write_text(json.dumps(cards, indent=1, sort_keys=True) + "\n", encoding="utf-8")


COMMAND = (
    "python tests/benchmarks/transfer.py --network efficientnet_lite0 --train DIR --ways frozen,scratch "
    "--seeds {seeds} --store"
)


def pairs(photos, features, draws):
    """Return the mean accuracy from 20 photos for each pair of classes; all others of the two are for the test."""
    result = {}
    for first, second in combinations(range(len(photos.classes)), 2):
        scores = []
        both = ((photos.labels == first) | (photos.labels == second)).nonzero()[:, 0]
        labels = (photos.labels[both] == second).long()
        for seed in range(draws):
            learn, _ = drawn(labels, 20, seed)
            rest = torch.ones(len(both), dtype=torch.bool).index_fill(0, learn, False).nonzero()[:, 0]
            scores.append(probe(features[both], labels, learn, rest))
        name = f"{photos.classes[first]}, {photos.classes[second]}"
        result[name] = round(statistics.mean(scores), 4)
        print(f"{name:24s} {result[name]:.1%}   {[round(score, 3) for score in scores]}", flush=True)
    return {"from 20 photos": result, "mean": round(statistics.mean(result.values()), 4)}
