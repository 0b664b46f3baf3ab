"""The head of VGG16 on frozen features: the lecture's own loop against features computed once.

    python tests/benchmarks/features.py [--images 64] [--epochs 5]

The lecture (CS3485) sends every image through VGG16 twice per epoch, once to learn and once for the accuracy, and the
test images once. `transfer.features` sends each through once in all. VGG16 at full width has random weights here, which
costs the same time. All variants run in turns in one process; results are medians over the turns. The last line is one
JSON object: seconds and speed-up of each variant, and the largest difference of logits that bfloat16 makes.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from coursekit import pretrained, runtime, training, transfer


def vgg16():
    torch.manual_seed(0)
    model = pretrained.vgg16(pooled=1, hidden=8, classes=1)
    transfer.freeze(model.features)
    head = nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 1))
    return transfer.replace_head(model, head)


def loss(logits, labels):
    return F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())


def right(logits, labels):
    return ((logits[:, 0] > 0) == labels.bool()).float()


def lecture(model, train, test, epochs):
    """Train, then measure the accuracy on both parts, in each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        model.train()
        for images, labels in DataLoader(train, 32, shuffle=True, generator=torch.Generator().manual_seed(0)):
            batch_loss = loss(model(images), labels)
            batch_loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            for part in (train, test):
                for images, labels in DataLoader(part, 32):
                    right(model(images), labels).mean()
    return model(test.tensors[0][:32]).detach()


def cached(amp):
    def run(model, train, test, epochs):
        body = transfer.backbone(model).to(memory_format=torch.channels_last)
        learn, judge = (transfer.features(body, part, batch_size=32, amp=amp) for part in (train, test))
        head = transfer.head(model)
        settings = {"loss": loss, "metrics": {"accuracy": right}, "batch_size": 32}
        training.fit(head, learn, judge, epochs=epochs, **settings)
        return head(judge.tensors[0][:32]).detach()

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, help="for training; half as many for testing")
    parser.add_argument("--pixels", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    runtime.setup("mini", device="cpu")
    torch.manual_seed(1)

    def part(count):
        images = torch.randn(count, 3, options.pixels, options.pixels)
        return TensorDataset(images, torch.arange(count) % 2)

    train, test = part(options.images), part(options.images // 2)
    variants = {"lecture": lecture, "cache, float32": cached(False), "cache, bfloat16": cached(torch.bfloat16)}
    seconds, logits = {name: [] for name in variants}, {}
    for turn in range(options.turns):
        for name, run in variants.items():
            model = vgg16()
            start = time.perf_counter()
            logits[name] = run(model, train, test, options.epochs)
            seconds[name].append(time.perf_counter() - start)
            print(f"turn {turn + 1}: {name:16s} {seconds[name][-1]:.2f} s", flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    exact = logits["cache, float32"]
    print(
        json.dumps(
            {
                "seconds": {name: round(value, 3) for name, value in medians.items()},
                "times_as_fast": {name: round(medians["lecture"] / value, 1) for name, value in medians.items()},
                "largest_difference_of_bfloat16": round((logits["cache, bfloat16"] - exact).abs().max().item(), 4),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
