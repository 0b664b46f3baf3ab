"""The data sets that need no download, your own folder, and `load`, which chooses by profile."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from coursekit import arguments, runtime
from coursekit import critters as _critters
from coursekit.data import folders
from coursekit.data.datasets import cats_vs_dogs, cifar10, fashion_mnist, flowers102, mnist, places365
from coursekit.data.imagesets import ImageSet, Splits
from coursekit.photos import photo

_TRAIN_PHOTOS = ("astronaut", "china", "coffee", "motorcycle", "rocket")
_TEST_PHOTOS = ("chelsea", "flower")
_LARGEST = 1 << 14  # pixels along a side


def digits(size: int = 28, seed: int = 0) -> Splits:
    """Handwritten digits: 1,438 for training, 359 for testing; gray; classes 0 to 9.

    The 8x8 digits that scikit-learn brings, enlarged (bicubic) so that they fill 20/28 of the frame and stand in
    its middle, light on black: the layout of MNIST. Source: Alpaydin and Kaynak (1998), through scikit-learn.

    Parameters
    ----------
    size : int, default 28
        Height and width in pixels.
    seed : int, default 0
        Of the split, which is stratified. The same seed gives the same split.

    Raises
    ------
    ValueError
        If `size` is not at least 8, the size of the originals.
    """
    from sklearn.datasets import load_digits  # here, because it takes a second that only this function needs

    if arguments.whole("size", size, most=_LARGEST) < 8:
        raise ValueError(f"size must be at least 8 pixels, the size of the originals; got {size}.")
    values, labels = load_digits(return_X_y=True)
    small = (values.reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    frame = (0.4, 0.4, 11.6, 11.6)  # with a margin of 2 pixels all around: a frame of 11.2 = 8 * 28/20
    images = np.stack(
        [Image.fromarray(np.pad(digit, 2)).resize((size, size), Image.Resampling.BICUBIC, frame) for digit in small]
    )
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
    size : int, default 64
        Height and width in pixels, at least 32.
    seed : int, default 0
        The same seed gives the same pictures.
    difficulty : float, default 0.5
        0 (easy) to 1.
    species : sequence of str
        Of `critters.SPECIES`.
    natural : bool, default False
        Animals in the colours of their species, for colorization. The photos behind those for training and those for
        testing are then different ones, the same as for `photo_crops`.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of the above; the message says which values there are.
    """

    def _drawn(count: int, key: int | tuple[int, int], photos: tuple[str, ...]) -> ImageSet:
        look = {"natural": True, "photos": photos} if natural else {}
        images, labels, _ = _critters.make(count, species, key, size, difficulty, **look)
        return ImageSet(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels), species)

    parts = _drawn(train, seed, _TRAIN_PHOTOS), _drawn(test, (seed, 1), _TEST_PHOTOS)
    return Splits(*parts, "critters", "drawn by coursekit.critters")


def photo_crops(train: int = 1000, test: int = 200, size: int = 64, seed: int = 0) -> Splits:
    """Random square pieces of seven bundled colour photos; the two photos for testing are unseen in training.

    For training: astronaut, china, coffee, motorcycle, rocket. For testing: chelsea (a cat), flower. The class is
    the photo. Pieces are of any side from `size` to the photo's shorter side, half of them mirrored. Source: see
    `photo`.

    Parameters
    ----------
    train, test : int
        Number of pieces, as many of each photo as of the others.
    size : int, default 64
        Height and width in pixels to which each piece is scaled.
    seed : int, default 0
        The same seed gives the same pieces.

    Raises
    ------
    ValueError
        If a number is not at least 1.
    """
    for name, value in (("train", train), ("test", test)):
        arguments.whole(name, value)
    arguments.whole("size", size, most=_LARGEST), arguments.whole("seed", seed, 0)
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
    piece = image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    pixels = np.asarray(piece)
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def folder(
    train: str | os.PathLike[str],
    test: str | os.PathLike[str] | None = None,
    size: int = 64,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    **options: object,
) -> Splits:
    """Your own photos: a folder with one sub-folder of images for each class.

    Parameters
    ----------
    train : path
        The folder, laid out as ``train/cats/*.jpg``, ``train/dogs/*.jpg``.
    test : path, optional
        A folder of the same classes. Without it, a part of `train` is set aside for testing.
    size : int, default 64
        Height and width in pixels.
    test_fraction : float, default 0.2
        How much of each class is set aside, where `test` is not given.
    seed : int, default 0
        Of that split.
    **options
        For `folders.read`, such as ``resize``, ``channels`` or ``limit_per_class``.

    Returns
    -------
    Splits
        ``.train.report`` and ``.test.report`` say what became of each file.

    Raises
    ------
    OSError, TypeError, ValueError
        As `folders.read` says; also where the two folders do not have the same classes.
    """
    found = folders.read(train, size, **options)
    if test is None:
        learn, judge = found.split(1 - test_fraction, seed)
    else:
        learn, judge = found, folders.read(test, size, **options)
        if learn.classes != judge.classes:
            raise ValueError(
                f"{train} has the classes {', '.join(learn.classes)}; {test} has {', '.join(judge.classes)}. "
                "Both need the same sub-folders."
            )
    return Splits(learn, judge, found.report.folder, "your folder")


def load(task: str, name: str | None = None, **options: object) -> Splits:
    """Load the data set of a task for the profile in force, so that a notebook has the same cells in both.

    ==================  =============  ==========================================================
    task                mini           full (the first, if `name` is not given)
    ==================  =============  ==========================================================
    ``digits``          `digits`       `mnist`, `fashion_mnist`, `cifar10`
    ``cats_vs_dogs``    `critters`     `cats_vs_dogs`
    ``colour_photos``   `photo_crops`  `flowers102`, `places365`
    ==================  =============  ==========================================================

    Parameters
    ----------
    task : str
        The left column.
    name : str, optional
        Which of the data sets in the right column; the mini profile has one for each task, and does not use it.
    **options
        For the function of the data set, for example ``train``, ``test``, ``size`` and ``seed``.

    Raises
    ------
    ValueError
        If there is no such task or name.
    DownloadError
        On the full profile, if the data cannot be had, with what to do.
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
