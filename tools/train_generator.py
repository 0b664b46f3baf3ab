"""``python -m tools.train_generator`` trains notebook 9's stored classifier, generator and denoiser again.

On scikit-learn's digits, the training part of `data.digits`: about half an hour on one core.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coursekit import data, generation, training
from tools.pretraining.storing import write_weights

_BATCH, _COUNT = 64, 360  # of a step; of what is scored


def main(arguments: list[str] | None = None) -> None:
    """Train the three networks, score what they make, and store weights and card."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_generator", description=__doc__)
    parser.add_argument("--classifier-epochs", type=int, default=20)
    parser.add_argument("--generator-steps", type=int, default=4000)
    parser.add_argument("--denoiser-steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, default=Path("data/weights"), help="where weights and card are written")
    chosen = parser.parse_args(arguments)
    digits, start = data.digits(), time.time()
    images, labels = digits.train[:][0], digits.train.labels
    classifier = train_classifier(digits, chosen.classifier_epochs, chosen.seed)
    generator = train_generator(2 * images - 1, labels, chosen.generator_steps, chosen.seed)
    denoiser = train_denoiser(images, labels, chosen.denoiser_steps, chosen.seed)
    card = {"source": f"{digits.source}, for training: {len(images):,} images", "images": len(images)}
    card |= {"steps": [chosen.generator_steps, chosen.denoiser_steps], "epochs": chosen.classifier_epochs}
    card |= {"seed": chosen.seed, "minutes": round((time.time() - start) / 60), "licence": "CC BY 4.0"}
    card |= scores(classifier, generator, denoiser, digits)
    networks = nn.ModuleDict({"classifier": classifier, "generator": generator, "denoiser": denoiser})
    write_weights(generation.NAME, networks, card, chosen.into)


def train_classifier(digits: data.Splits, epochs: int, seed: int) -> nn.Sequential:
    """Train notebook 3's network to read the digits."""
    torch.manual_seed(seed)
    model = generation.classifier()
    optimizer, schedule = partial(AdamW, weight_decay=0.01), partial(OneCycleLR, max_lr=3e-3)
    training.fit(model, digits.train, epochs=epochs, seed=seed, optimizer=optimizer, scheduler=schedule)
    return model


class Discriminator(nn.Module):
    """From images ``[N, 1, 28, 28]`` and the classes that they should show to logits ``[N]`` of being real."""

    def __init__(self, classes: int = 10, hidden: int = 192) -> None:
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(
            nn.Linear(generation.SIDE**2 + classes, hidden), nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1), nn.Flatten(0),
        )  # fmt: skip

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Look at each image beside the class that it should show."""
        return self.layers(torch.cat([images.flatten(1), one_hot(labels, self.classes)], dim=1))


def train_generator(images: Tensor, labels: Tensor, steps: int, seed: int) -> nn.Module:
    """Train generator and discriminator in turns, and return the generator with the mean of its last weights."""
    torch.manual_seed(seed)
    generator, discriminator = generation.Generator(), Discriminator()
    optimizer_g = Adam(generator.parameters(), 5e-4, (0.5, 0.999))
    optimizer_d = Adam(discriminator.parameters(), 1e-3, (0.5, 0.999))
    mean = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(0.995), use_buffers=True)
    for step in range(steps):
        chosen = torch.randint(len(images), (_BATCH,))
        real, wanted = images[chosen], labels[chosen]
        made = generator(torch.randn(_BATCH, generation.LATENT), wanted)
        loss = softplus(-discriminator(real, wanted)).mean() + softplus(discriminator(made.detach(), wanted)).mean()
        _step(optimizer_d, loss)
        _step(optimizer_g, softplus(-discriminator(made, wanted)).mean())
        mean.update_parameters(generator)
        _report("generator", step, loss)
    return mean.module.eval()


def train_denoiser(images: Tensor, labels: Tensor, steps: int, seed: int) -> generation.Denoiser:
    """Train the denoiser, and return it with the mean of its last weights."""
    torch.manual_seed(seed)
    model = generation.Denoiser().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = AdamW(model.parameters(), 3e-3)
    schedule = LambdaLR(optimizer, lambda step: min(1, (step + 1) / 50) * max(0.02, 1 - step / steps))
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    for step in range(steps):
        chosen = torch.randint(len(images), (_BATCH,))
        loss = generation.denoising_loss(model, images[chosen], labels[chosen])
        _step(optimizer, loss)
        schedule.step()
        mean.update_parameters(model)
        _report("denoiser", step, loss)
    model.load_state_dict(mean.module.state_dict())
    return model.eval()


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _report(name: str, step: int, loss: Tensor) -> None:
    if step % 250 == 249:
        print(f"{name}, step {step + 1}: loss {loss.item():.4f}", flush=True)


@torch.no_grad()
def scores(
    classifier: nn.Sequential, generator: nn.Module, denoiser: generation.Denoiser, digits: data.Splits
) -> dict[str, dict]:
    """Score what the networks make: the share that is read right, and the distance from the training images."""
    features, wanted = classifier[:-1], torch.arange(_COUNT) % len(digits.classes)
    z = torch.randn(_COUNT, generation.LATENT, generator=torch.Generator().manual_seed(0))
    made = {"held out": digits.test[:], "generator": (generator(z, wanted) / 2 + 0.5, wanted)}
    for guidance in (1, 2):
        images = generation.sample(denoiser, wanted, guidance=guidance) / 2 + 0.5
        made[f"guidance {guidance}"] = images, wanted
    real, found = features(digits.train[:][0]), {}
    for name, (images, labels) in made.items():
        right = (classifier(images).argmax(dim=1) == labels).double().mean().item()
        distance = generation.frechet(features(images), real)
        found[name] = {"right": round(right, 3), "frechet": round(distance, 1), "images": len(images)}
        print(name, found[name], flush=True)
    return found


if __name__ == "__main__":
    main()
