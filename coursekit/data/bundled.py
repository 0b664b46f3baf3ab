"""The data sets that need no download, stored curves, your own folder, and `load`, which chooses by profile."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from coursekit import arguments, runtime
from coursekit import critters as _critters
from coursekit.data import folders
from coursekit.data.imageset import ImageSet, Splits
from coursekit.data.torchvision_sets import cats_vs_dogs, cifar10, fashion_mnist, flowers102, mnist, places365
from coursekit.photos import photo

_TRAIN_PHOTOS = ("astronaut", "china", "coffee", "motorcycle", "rocket")
_TEST_PHOTOS = ("chelsea", "flower")
_CURVES = tuple(folder / "curves" for folder in runtime.DATA)


def digits(size: int = 28, seed: int = 0) -> Splits:
    """Handwritten digits: 1,438 for training, 359 for testing; gray, of at least 8 pixels; classes 0 to 9.

    The 8x8 digits that scikit-learn brings, enlarged (bicubic) so that they fill 20/28 of the frame, as in MNIST.
    Source: Alpaydin and Kaynak (1998), through scikit-learn. The same seed gives the same split.
    """
    from sklearn.datasets import load_digits  # here, because it takes a second that only this function needs

    arguments.whole("size", size, 8)
    values, labels = load_digits(return_X_y=True)
    small = (values.reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    frame = (0.4, 0.4, 11.6, 11.6)  # with a margin of 2 pixels all around: a frame of 11.2 = 8 * 28/20
    padded = [Image.fromarray(np.pad(digit, 2)) for digit in small]
    images = np.stack([np.asarray(x.resize((size, size), Image.Resampling.BICUBIC, frame)) for x in padded])
    everything = ImageSet(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long(), map(str, range(10)))
    return Splits(*everything.split(0.8, seed), "digits", "Alpaydin and Kaynak (1998), through scikit-learn")


def critters(
    train: int = 1000,
    test: int = 1000,
    size: int = 64,
    seed: int = 0,
    *,
    difficulty: float = 0.5,
    species: Sequence[str] = ("cat", "dog"),
    natural: bool = False,
) -> Splits:
    """Drawn animals over photos: as many as wanted; colour; the species are the classes, as many of each.

    Source: drawn by `critters`, which knows the truth about each picture: that of training image i of class c is
    ``critters.draw(species[c], (seed, i), size, difficulty)``, that of a test image has ``(seed, 1, i)``.

    Parameters
    ----------
    train, test : int
        Number of pictures. The first ones stay the same, whatever the number.
    size, seed, difficulty, species
        As for `critters.make`.
    natural : bool
        Animals in the colours of their species. Training and test have then different photos, as `photo_crops` has.
    """

    def _drawn(count: int, key: int | tuple[int, int], photos: tuple[str, ...]) -> ImageSet:
        look: dict[str, Any] = {"natural": True, "photos": photos} if natural else {}
        images, labels, _ = _critters.make(count, species, key, size, difficulty, **look)
        return ImageSet(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels), species)

    parts = _drawn(train, seed, _TRAIN_PHOTOS), _drawn(test, (seed, 1), _TEST_PHOTOS)
    return Splits(*parts, "critters", "drawn by coursekit.critters")


def photo_crops(train: int = 1000, test: int = 200, size: int = 64, seed: int = 0) -> Splits:
    """Random square pieces of seven bundled colour photos; the two photos for testing are unseen in training.

    For training: astronaut, china, coffee, motorcycle, rocket. For testing: chelsea (a cat), flower. The class is the
    photo, as many pieces of each, half of them mirrored; the same seed gives the same ones. Source: see `photo`.
    """
    for name, value in (("train", train), ("test", test), ("size", size)):
        arguments.whole(name, value)
    names = (*_TRAIN_PHOTOS, *_TEST_PHOTOS)
    photos = [Image.fromarray(photo(name)) for name in names]

    def _pieces(count: int, first: int, last: int) -> ImageSet:
        rng = np.random.default_rng([seed, first])  # the training pieces stay the same, whatever `test` is
        labels = torch.arange(count) % (last - first) + first
        images = np.stack([_piece(photos[label], size, rng) for label in labels])
        return ImageSet(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels, names)

    middle = len(_TRAIN_PHOTOS)
    return Splits(_pieces(train, 0, middle), _pieces(test, middle, len(names)), "photo_crops", "see data.photo")


def _piece(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    shorter = min(image.size)
    side = int(rng.integers(min(size, shorter), shorter + 1))
    left, top = (int(rng.integers(length - side + 1)) for length in image.size)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side)))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def curves(name: str) -> dict[str, Any]:
    """Return curves of trainings that take too long for a notebook, as ``data/README.md`` describes them.

    A ValueError says which names there are.
    """
    files = {file.stem: file for folder in _CURVES for file in folder.glob("*.json")}
    if name not in files:
        raise ValueError(f"there are no curves called {name!r}. There are: {', '.join(sorted(files)) or 'none'}.")
    return json.loads(files[name].read_text(encoding="utf-8"))


def folder(
    train: str | os.PathLike[str],
    test: str | os.PathLike[str] | None = None,
    size: int = 64,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    resize: str = "squash",
) -> Splits:
    """Your own photos, in a folder with a sub-folder for each class; ``.train.report`` says what became of them.

    `train` and `test` have the same classes, laid out as ``train/cats/*.jpg``, ``train/dogs/*.jpg``. Without `test`,
    the part `test_fraction` of each class is set aside; the same seed gives the same split. For `size` and `resize`, in
    pixels, and for the errors, see `folders.read`.
    """
    found = folders.read(train, size, resize=resize)
    parts = found.split(1 - test_fraction, seed) if test is None else (found, folders.read(test, size, resize=resize))
    return Splits(*parts, found.report.folder, "your folder")


def load(task: str, name: str | None = None, **options: Any) -> Splits:
    """Load the data set of a task for the profile in force, so that a notebook has the same cells in both.

    A ValueError says which tasks and names there are, a DownloadError what to do where the data cannot be had.

    ==================  =============  =======================================
    task                mini           full (the first, if `name` is not given)
    ==================  =============  =======================================
    ``digits``          `digits`       `mnist`, `fashion_mnist`, `cifar10`
    ``cats_vs_dogs``    `critters`     `cats_vs_dogs`
    ``colour_photos``   `photo_crops`  `flowers102`, `places365`
    ==================  =============  =======================================

    The mini profile does not use `name`. The options are those of the data set's function, as ``train`` and ``size``.
    """
    if task not in _TASKS:
        raise ValueError(f"there is no task {task!r}. There are: {', '.join(_TASKS)}.")
    mini, *full = _TASKS[task]
    names = [choice.__name__ for choice in full]
    if name not in (None, *names):
        raise ValueError(f"for the task {task!r} there is no data set {name!r}. There are: {', '.join(names)}.")
    if runtime.profile() == "mini":
        return mini(**options)
    return full[names.index(name) if name else 0](**options)


_TASKS = {
    "digits": (digits, mnist, fashion_mnist, cifar10),
    "cats_vs_dogs": (critters, cats_vs_dogs),
    "colour_photos": (photo_crops, flowers102, places365),
}
