"""``python -m tools.train_colorizer --photos DIR`` trains the stored colorizer again, or one on photos of your own.

With the photos that `data/README.md` names, one core that computes in bfloat16 takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

from coursekit import pretrained, training
from coursekit.colorization import (
    Bins,
    UNet,
    as_photo,
    ciede2000,
    colorize,
    colourfulness,
    lab_to_rgb,
    rgb_to_lab,
    stored,
)
from coursekit.photos import ImageFileError, read_image
from tools.pretraining.storing import write_weights

SIDE, CROP = 112, 96  # pixels: the shorter side of the photos, and what the network is shown of them
LARGEST = 256  # pixels of the shorter side of photos to judge by
TEMPERATURES = 1.0, 0.8, 0.6, 0.4, 0.2
HELD_OUT = 13  # every 13th photo of a folder is kept apart
_BATCH, _RATE = 32, 3e-3
_MIX, _STEP = 0.75, 12.0  # of `Bins.weights`; between two bins, in units of CIELAB
_SMALLEST = 80  # pixels that are enlarged to the crop
_DUPLICATE = 0.95  # correlation of two photos that are nearly the same
_CELL = 4  # units of CIELAB: targets are looked up on a grid


def main(arguments: list[str] | None = None) -> None:
    """Read the photos, keep some apart, train, and store weights and card."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_colorizer", description=__doc__)
    parser.add_argument(
        "--photos", metavar="DIR", type=Path, nargs="+", required=True, help="searched with sub-folders"
    )
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", default="photos of your own", help="what the card says of them")
    parser.add_argument("--into", type=Path, default=Path("data/weights"), help="where weights and card are written")
    chosen = parser.parse_args(arguments)
    parts = {folder.name: split(folder) for folder in chosen.photos}
    photos = [photo for train, _ in parts.values() for path in train if (photo := read_photo(path)) is not None]
    print(f"{len(photos):,} photos", flush=True)
    start = time.time()
    model, bins = train_colorizer(photos, chosen.epochs, chosen.seed)
    minutes, median, first = round((time.time() - start) / 60), constant(photos), chosen.photos[0].name
    held_out = {name: without_near_duplicates(paths, photos) for name, (_, paths) in parts.items()}
    card = {
        "source": chosen.source,
        "images": len(photos),
        "epochs": chosen.epochs,
        "seed": chosen.seed,
        "minutes": minutes,
        "layout": {"width": 0.25},
        "size": SIDE,
        "constant": median,
        "licence": "CC BY 4.0",
        "held out": {name: judge(model, bins, paths, median, curve=name == first) for name, paths in held_out.items()},
    }
    model.register_buffer("centres", bins.centres)
    model.register_buffer("shares", bins.shares)
    write_weights(stored.NAME, model, card, chosen.into)


def split(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files below a folder that are for training, and every 13th, which is kept apart to judge by."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [path for n, path in enumerate(files) if n % HELD_OUT != 6], files[6::HELD_OUT]


def without_near_duplicates(paths: list[Path], photos: list[Tensor]) -> list[Path]:
    """Leave out the photos of which the training photos have a near duplicate: their small copies correlate."""
    known = torch.stack([_thumbnail(photo) for photo in photos])
    read = [(path, read_photo(path)) for path in paths]
    return [path for path, photo in read if photo is not None and (known @ _thumbnail(photo)).max() < _DUPLICATE]


def _thumbnail(photo: Tensor) -> Tensor:
    small = F.interpolate(photo[None, :1].float(), (12, 12), mode="area").flatten()
    return F.normalize(small - small.mean(), dim=0)


def read_photo(path: Path) -> Tensor | None:
    """Read a photo as uint8 Lab ``[3, h, w]``, its shorter side `SIDE`, the longer at most half as long again.

    L is stored as 2.55 L, a and b as a + 128 and b + 128. A file that cannot be read is named, and left out.
    """
    try:
        image = Image.fromarray(read_image(path)[0])
    except ImageFileError as error:
        print(f"left out: {path.name} ({error})")
        return None
    short = min(image.size)
    width, height = (min(side, round(1.5 * short)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    size = max(SIDE, round(width * SIDE / short)), max(SIDE, round(height * SIDE / short))
    image = image.crop((left, top, left + width, top + height)).resize(size, Image.Resampling.BILINEAR)
    lab = rgb_to_lab(np.asarray(image)) * (2.55, 1, 1) + (0, 128, 128)
    return torch.from_numpy(lab.round().clip(0, 255).astype(np.uint8)).permute(2, 0, 1)


def train_colorizer(photos: list[Tensor], epochs: int, seed: int = 0) -> tuple[UNet, Bins]:
    """Train a U-Net on the thin ResNet18 as a classifier over bins of ab, rare colours weighing more."""
    ab = torch.cat([F.avg_pool2d(unpack(photo[None])[1], 4).flatten(2) for photo in photos], dim=2)[..., None]
    bins = Bins.of(ab, step=_STEP, least=2e-4)
    print(bins, flush=True)
    targets = soft_targets(bins, _MIX)
    torch.manual_seed(seed)
    thin, _ = pretrained.load_thin("resnet18")
    model = UNet(thin, len(bins))
    start = time.time()
    training.fit(
        model,
        DataLoader(Batches(photos, seed), batch_size=None),
        epochs=epochs,
        seed=seed,
        optimizer=partial(AdamW, weight_decay=0.05),
        scheduler=partial(OneCycleLR, max_lr=_RATE),
        loss=lambda logits, ab: F.cross_entropy(logits.movedim(1, -1).flatten(0, 2), targets[grid_index(ab)]),
        metrics={},
        amp=torch.bfloat16,
        channels_last=True,
        after_epoch=lambda history: print(
            f"epoch {len(history)}: loss {history['loss'][-1]:.4f}, {time.time() - start:.0f} s", flush=True
        ),
    )
    return model, bins


def soft_targets(bins: Bins, mix: float) -> Tensor:
    """Return for each cell of a grid over ab the probabilities of the bins, times the weight of its colour.

    The five nearest bins share a colour, by a Gaussian of 5 units, as Zhang, Isola and Efros (2016) have it.
    """
    axis = torch.arange(0.0, 256, _CELL) + _CELL / 2 - 128
    distances = torch.cdist(torch.cartesian_prod(axis, axis), bins.centres * 100)
    distance, nearest = distances.topk(min(5, len(bins)), largest=False)
    near = (-(distance**2) / (2 * 5**2)).softmax(dim=1)
    shares = torch.zeros(len(axis) ** 2, len(bins)).scatter_(1, nearest, near)
    return shares * (shares @ bins.weights(mix))[:, None]


def grid_index(ab: Tensor) -> Tensor:
    """Return the number of each pixel's cell ``[N H W]`` for ab / 100 ``[N, 2, H, W]``."""
    a, b = ((ab * 100 + 128) / _CELL).long().unbind(1)
    return (a * (256 // _CELL) + b).flatten()


def unpack(photos: Tensor) -> tuple[Tensor, Tensor]:
    """Return L / 100 and ab / 100 of photos as `read_photo` stores them."""
    return photos[:, :1].float() / 255, (photos[:, 1:].float() - 128) / 100


class Batches(Dataset):
    """Whole batches of L, and of ab at half the size: pieces drawn at random, mirrored at random, of one scale each."""

    def __init__(self, photos: list[Tensor], seed: int) -> None:
        self.photos, self.generator = photos, torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        """Return the number of whole batches."""
        return len(self.photos) // _BATCH

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one batch; the first one of an epoch shuffles the photos."""
        if index == 0:
            self.order = torch.randperm(len(self.photos), generator=self.generator)
        side = int(torch.randint(_SMALLEST, SIDE + 1, (), generator=self.generator))
        pieces = [self.piece(self.photos[n], side) for n in self.order[index * _BATCH : (index + 1) * _BATCH]]
        light, ab = unpack(torch.stack(pieces))
        size = {"mode": "bilinear", "antialias": True}
        return F.interpolate(light, (CROP, CROP), **size), F.interpolate(ab, (CROP // 2, CROP // 2), **size)

    def piece(self, photo: Tensor, side: int) -> Tensor:
        """Cut a square out of a photo, anywhere, and mirror it or not."""
        y, x, mirrored = torch.rand(3, generator=self.generator).tolist()
        top, left = int(y * (photo.shape[1] - side + 1)), int(x * (photo.shape[2] - side + 1))
        piece = photo[:, top : top + side, left : left + side]
        return piece.flip(2) if mirrored < 0.5 else piece


def constant(photos: list[Tensor]) -> list[float]:
    """Return the median a and the median b of all photos, in units of CIELAB: the second baseline."""
    some = torch.cat([photo[1:, ::4, ::4].flatten(1) for photo in photos], dim=1).float() - 128
    return some.median(dim=1).values.tolist()


def judge(model: UNet, bins: Bins, paths: Iterable[Path], constant: list[float], curve: bool = False) -> dict:
    """Return means over photos: CIEDE2000 of the network, of all gray, of one colour; colourfulness, and the true one.

    Answers are decoded as `colorize` does it by default; ``curve`` adds temperature, CIEDE2000 and colourfulness of
    others. A photo whose shorter side is above 256 pixels is made smaller first.
    """
    rows = []
    for path in paths:
        try:
            photo = shrink(as_photo(path))
        except ImageFileError as error:
            print(f"left out: {path.name} ({error})", file=sys.stderr)
            continue
        answer = colorize(model, photo, bins)
        rows.append(
            {
                "ciede2000": ciede2000(answer, photo),
                "gray": ciede2000(one_colour(photo, [0, 0]), photo),
                "constant": ciede2000(one_colour(photo, constant), photo),
                "colourfulness": colourfulness(answer),
                "true_colourfulness": colourfulness(photo),
            }
        )
        if curve:
            tries = [colorize(model, photo, bins, temperature=temperature) for temperature in TEMPERATURES]
            rows[-1]["curve"] = [[ciede2000(one, photo), colourfulness(one)] for one in tries]
    if not rows:
        raise SystemExit("there is no photo to judge by.")
    means: dict = {name: np.mean([row[name] for row in rows], axis=0).round(2).tolist() for name in rows[0]}
    if curve:
        means["curve"] = [
            [temperature, *point] for temperature, point in zip(TEMPERATURES, means["curve"], strict=True)
        ]
    return means | {"photos": len(rows)}


def shrink(photo: np.ndarray) -> np.ndarray:
    """Return a photo whose shorter side has at most 256 pixels."""
    scale = LARGEST / min(photo.shape[:2])
    if scale >= 1:
        return photo
    size = max(1, round(scale * photo.shape[1])), max(1, round(scale * photo.shape[0]))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))


def one_colour(photo: np.ndarray, ab: list[float]) -> np.ndarray:
    """Give a photo's lightness one colour, [a, b] in units of CIELAB."""
    lab = rgb_to_lab(photo)
    lab[..., 1:] = ab
    return lab_to_rgb(lab)


if __name__ == "__main__":
    main()
