"""The head of VGG16 on frozen features: the lecture's own loop against features computed once.

    python tests/benchmarks/features.py [--images 64] [--epochs 5]

The lecture (CS3485) sends every image through VGG16 twice per epoch, once to learn and once for the accuracy, and the
test images once. `transfer.features` sends each through once in all, and with the channels last in memory, which the
lecture's loop gets in a variant of its own. Times are those of VGG16 at full width with random weights, which cost the
same. All variants run in turns in one process; results are medians over the turns.

Accuracies are those of the thin pretrained VGG16 on critters, cats against dogs, and the mean over several starts. The
script fails if two variants' accuracies are more than two points apart, or if the features are not the network's.

The last line is one JSON object. "limit" is how much faster a single convolution is in bfloat16 than in float32.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from coursekit import data, pretrained, runtime, training, transfer

APART = 0.02  # of accuracies that are to be equal, but for the noise of dropout and order


def with_head(model, features):
    """Give a frozen VGG16 the lecture's head."""
    torch.manual_seed(0)
    transfer.freeze(model.features)
    head = nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 1))
    return transfer.replace_head(model, head)


def loss(logits, labels):
    return F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())


def right(logits, labels):
    return ((logits[:, 0] > 0) == labels.bool()).float()


def lecture(layout):
    """Train, then measure the accuracy on both parts, in each epoch; return that on the test part."""

    def run(model, train, test, epochs):
        model = model.to(memory_format=layout)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(epochs):
            model.train()
            for images, labels in DataLoader(train, 32, shuffle=True):
                batch_loss = loss(model(images.to(memory_format=layout)), labels)
                batch_loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            model.eval()
            with torch.no_grad():
                _, test_accuracy = (
                    torch.cat([right(model(x.to(memory_format=layout)), y) for x, y in DataLoader(part, 32)]).mean()
                    for part in (train, test)
                )
        return test_accuracy.item()

    return run


def cached(amp):
    """Train the head on features computed once; return the accuracy on the test part."""

    def run(model, train, test, epochs):
        body = transfer.backbone(model).to(memory_format=torch.channels_last)
        learn, judge = (transfer.features(body, part, batch_size=32, amp=amp) for part in (train, test))
        settings = {"loss": loss, "metrics": {"accuracy": right}, "batch_size": 32}
        history = training.fit(model.classifier, learn, judge, epochs=epochs, **settings)
        return history[-1]["val_accuracy"]

    return run


VARIANTS = {
    "lecture": lecture(torch.contiguous_format),
    "lecture, channels last": lecture(torch.channels_last),
    "cache, float32": cached(False),
    "cache, bfloat16": cached(torch.bfloat16),
}


def times(options):
    """Return the seconds of each variant, by turns."""

    def part(count):
        images = torch.randn(count, 3, options.pixels, options.pixels)
        return TensorDataset(images, torch.arange(count) % 2)

    train, test = part(options.images), part(options.images // 2)
    seconds = {name: [] for name in VARIANTS}
    for turn in range(options.turns):
        for name, run in VARIANTS.items():
            model = with_head(pretrained.vgg16(pooled=1, hidden=8, classes=1), 512)
            start = time.perf_counter()
            run(model, train, test, options.epochs)
            seconds[name].append(time.perf_counter() - start)
            print(f"turn {turn + 1}: {name:24s} {seconds[name][-1]:.2f} s", flush=True)
    return {name: statistics.median(values) for name, values in seconds.items()}


def accuracies(options):
    """Return the mean accuracy of each variant, over starts, on pictures that the network can tell apart."""
    drawn = data.critters(200, 1000, options.pixels, 0)
    found = {name: [] for name in VARIANTS}
    for start in range(options.starts):
        for name, run in VARIANTS.items():
            net = pretrained.load("vgg16")
            parts = [TensorDataset(net.normalize(p.images.float() / 255), p.labels) for p in (drawn.train, drawn.test)]
            features = transfer.backbone(net.model)(parts[0].tensors[0][:1]).shape[1]
            model = with_head(net.model, features)
            torch.manual_seed(start)
            found[name].append(run(model, *parts, options.epochs))
    means = {name: statistics.mean(values) for name, values in found.items()}
    if max(means.values()) - min(means.values()) > APART:
        raise SystemExit(f"the variants do not learn the same: {means}")
    few = TensorDataset(*(tensor[:64] for tensor in parts[1].tensors))
    cache = model.classifier(transfer.features(transfer.backbone(model), few, batch_size=32).tensors[0])
    torch.testing.assert_close(cache, model.eval()(few.tensors[0]), rtol=1e-3, atol=1e-4)
    return means


def limit():
    """Return how many times as fast one of VGG16's convolutions is in bfloat16, compared with float32."""
    layer, images = nn.Conv2d(256, 256, 3, padding=1), torch.randn(32, 256, 24, 24)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        layer, images = (part.to(dtype, memory_format=torch.channels_last) for part in (layer, images))
        taken = []
        for _ in range(6):
            start = time.perf_counter()
            with torch.no_grad():
                layer(images)
            taken.append(time.perf_counter() - start)
        seconds[dtype] = statistics.median(taken[1:])
    return seconds[torch.float32] / seconds[torch.bfloat16]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, help="for training; half as many for testing")
    parser.add_argument("--pixels", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--starts", type=int, default=3)
    options = parser.parse_args()
    runtime.setup("mini", device="cpu")
    torch.manual_seed(1)
    reached = accuracies(options)
    medians = times(options)
    result = {
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "times_as_fast": {name: round(medians["lecture"] / value, 1) for name, value in medians.items()},
        "accuracy": {name: round(value, 4) for name, value in reached.items()},
        "limit": round(limit(), 2),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
