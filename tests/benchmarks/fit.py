"""What `training.fit` costs: against a bare loop, Lightning's Trainer and fastai's Learner.

The same model, data, batches and optimizer for all: the digits of scikit-learn at 28x28, small batches, where overhead
shows. The contenders take turns, each in a fresh model, and each is first, second, ... equally often. All must end at
the same loss. Medians, and quartiles of the ratio to the bare loop of the same round, are printed; the last line is one
JSON object. Lightning and fastai take part where they are installed.

    python tests/benchmarks/fit.py [--rounds 10] [--epochs 2] [--batch-size 32] [--width 1.0]
"""

import argparse
import importlib.util
import json
import logging
import os
import statistics
import time
import warnings
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small layers gain nothing from threads, and the clock is quieter

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from coursekit import training

LEARNING_RATE = 1e-3


def digits() -> TensorDataset:
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return TensorDataset(F.interpolate(images, size=(28, 28), mode="bilinear"), torch.tensor(labels))


def network(width: float) -> nn.Module:
    """Three convolutions of 32, 64 and 64 channels and a dense head, for ``width`` 1."""
    a, b = int(32 * width), int(64 * width)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, a, 3), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(a, b, 3), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(b, b, 3), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(9 * b, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def bare(model, loader, data, epochs, batch_size):
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    model.train()
    for _ in range(epochs):
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def fit_loader(model, loader, data, epochs, batch_size):
    training.fit(model, loader, epochs=epochs, optimizer=partial(torch.optim.Adam, lr=LEARNING_RATE), device="cpu")


def fit_data_set(model, loader, data, epochs, batch_size):
    optimizer = partial(torch.optim.Adam, lr=LEARNING_RATE)
    training.fit(model, data, epochs=epochs, optimizer=optimizer, batch_size=batch_size, device="cpu")


def lightning(model, loader, data, epochs, batch_size):
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, _):
            images, labels = batch
            return F.cross_entropy(self.model(images), labels)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(Module(), loader)


def fastai(model, loader, data, epochs, batch_size):
    import fastai.callback.progress  # noqa: F401 -- gives the learner no_bar
    from fastai.callback.core import Callback, CancelValidException
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    class NoValidation(Callback):
        def before_validate(self):
            raise CancelValidException

    adam = partial(OptimWrapper, opt=torch.optim.Adam)
    learner = Learner(DataLoaders(loader, loader), model, loss_func=F.cross_entropy, opt_func=adam, lr=LEARNING_RATE)
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs, lr=LEARNING_RATE, cbs=NoValidation())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--batch-size", type=int, default=32)
    options.add_argument("--width", type=float, default=1.0)
    args = options.parse_args()
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)

    contenders = {"bare loop": bare, "fit, same loader": fit_loader, "fit, data set": fit_data_set}
    for name, contender in (("lightning", lightning), ("fastai", fastai)):
        if importlib.util.find_spec(name):
            contenders[name] = contender
        else:
            print(f"{name} is not installed: left out (pip install {name})")

    data = digits()
    seconds, losses = {name: [] for name in contenders}, {}
    for turn in range(args.rounds + 1):
        names = list(contenders)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            torch.manual_seed(0)
            model = network(args.width)
            loader = DataLoader(data, args.batch_size, shuffle=True, generator=torch.Generator().manual_seed(0))
            wall, cpu = time.perf_counter(), time.process_time()
            contenders[name](model, loader, data, args.epochs, args.batch_size)
            if turn > 0:  # the first turn warms up
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
            model.eval()
            with torch.no_grad():
                losses[name] = F.cross_entropy(model(data.tensors[0]), data.tensors[1]).item()

    apart = max(losses.values()) - min(losses.values())
    if apart > 1e-4:
        raise SystemExit(f"the contenders do not do the same: their losses at the end are {losses}.")
    result = {**vars(args), "batches": args.epochs * len(loader), "losses_apart": apart, "contenders": {}}
    print(f"{'':18}{'wall s':>9}{'CPU ratio':>11}{'wall ratio':>12}  quartiles")
    for name, times in seconds.items():
        wall = statistics.median(wall for wall, _ in times)
        pairs = list(zip(times, seconds["bare loop"], strict=True))
        ratios = [ours[0] / base[0] for ours, base in pairs]
        low, middle, high = statistics.quantiles(ratios, method="inclusive")
        cpu_ratio = statistics.median(ours[1] / base[1] for ours, base in pairs)
        print(f"{name:18}{wall:9.3f}{cpu_ratio:11.3f}{middle:12.3f}  {low:.3f} to {high:.3f}")
        numbers = {"wall_s": wall, "wall_ratio": middle, "cpu_ratio": cpu_ratio}
        result["contenders"][name] = {key: round(value, 4) for key, value in numbers.items()}
        result["contenders"][name]["wall_ratio_quartiles"] = [round(low, 4), round(high, 4)]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
