"""The one type that every picture data set of the course has, and the pair of a training and a test set.

All images of a set lie in memory as one uint8 tensor. An epoch reads no file, so nothing can fail in the
middle of it, and ``images`` can be looked at, averaged or indexed directly.
"""

import copy
import hashlib
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from coursekit import arguments


class ImageSet(torch.utils.data.Dataset):
    """Labelled images of one size, in memory.

    ``dataset[i]`` is a pair: the image as float32 ``[C, H, W]`` in 0..1 (after ``transform``, if there is
    one) and its label as an int. Nothing changes a set once it is made: each method returns another one.

    Parameters
    ----------
    images : Tensor
        uint8 ``[N, C, H, W]`` on the CPU, 0..255, with C = 1 (gray) or 3 (red, green, blue).
    labels : Tensor
        int64 ``[N]``, each from 0 to ``len(classes) - 1``.
    classes : iterable of str
        The name of each class, in the order of the labels.
    names : iterable of str, optional
        What each image is called, for example its file name. Numbers, if not given.
    transform : callable, optional
        Applied to the float image by ``dataset[i]``, for example an augmentation.

    Raises
    ------
    TypeError, ValueError
        When a type, a shape or a label does not fit the description above.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        classes: Iterable[str],
        names: Iterable[str] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        classes = arguments.texts("classes", classes)
        if not classes or len(set(classes)) < len(classes):
            raise ValueError(f"classes must be one or more different names, got {classes}")
        _check_images(images)
        _check_labels(labels, len(images), len(classes))
        names = arguments.texts("names", map(str, range(len(images))) if names is None else names)
        if len(names) != len(images):
            raise ValueError(f"{len(names)} names for {len(images)} images; give one name for each image")
        self.images, self.labels, self.classes, self.names = images, labels, classes, names
        self.transform = _check_transform(transform)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return image ``index`` as float32 ``[C, H, W]`` in 0..1, transformed, and its label.

        Raises
        ------
        TypeError, IndexError
            When the index is not a whole number, or there is no such image.
        """
        if isinstance(index, bool) or not hasattr(index, "__index__") or getattr(index, "shape", ()):
            raise TypeError(f"dataset[i] takes one whole number, got {index!r:.80}; for several use dataset.subset")
        index = operator.index(index)
        image = self.images[index].float().div_(255)
        return (self.transform(image) if self.transform else image), int(self.labels[index])

    @property
    def channels(self) -> int:
        """1 for gray images, 3 for colour."""
        return self.images.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[2], self.images.shape[3]

    def counts(self) -> dict[str, int]:
        """Return the number of images of each class."""
        return dict(zip(self.classes, self.labels.bincount(minlength=len(self.classes)).tolist(), strict=True))

    def with_transform(self, transform: Callable[[Tensor], Tensor] | None) -> Self:
        """Return the same images with another transform (None: without any)."""
        other = copy.copy(self)
        other.transform = _check_transform(transform)
        return other

    def subset(self, indices: Iterable[int] | slice | Tensor) -> Self:
        """Return the images at these indices, in this order; the classes stay the same.

        Parameters
        ----------
        indices : iterable of int, slice, or Tensor
            Numbers from ``-len(self)`` to ``len(self) - 1``, or a bool tensor ``[N]``, True where an image is
            wanted.

        Raises
        ------
        TypeError, IndexError
            When an index is not a whole number, or there is no such image.
        """
        indices = range(len(self))[indices] if isinstance(indices, slice) else indices
        chosen = arguments.as_tensor(indices if hasattr(indices, "dtype") else list(indices))
        if chosen.dtype == torch.bool:
            if chosen.shape != (len(self),):
                raise IndexError(f"a bool index must have shape [{len(self)}], got {list(chosen.shape)}")
            chosen = chosen.nonzero()[:, 0]
        if chosen.ndim != 1 or (len(chosen) and (chosen.is_floating_point() or chosen.is_complex())):
            raise TypeError("indices must be a flat list of whole numbers, a slice, or a bool tensor")
        chosen = chosen.long()
        if len(chosen) and not (-len(self) <= int(chosen.min()) and int(chosen.max()) < len(self)):
            raise IndexError(f"indices go from {chosen.min()} to {chosen.max()}; there are {len(self)} images")
        other = copy.copy(self)
        other.images, other.labels = self.images[chosen], self.labels[chosen]
        other.names = tuple(self.names[i] for i in chosen.tolist())
        return other

    def split(self, fraction: float, seed: int = 0) -> tuple[Self, Self]:
        """Split at random into two sets that hold the same share of every class (a stratified split).

        Parameters
        ----------
        fraction : float
            Share of the first set, between 0 and 1. Both sets get at least one image of each class.
        seed : int
            The same seed gives the same split.

        Raises
        ------
        ValueError
            When ``fraction`` is not between 0 and 1, or a class has only one image.
        """
        if not 0 < arguments.real("fraction", fraction) < 1:
            raise ValueError(f"fraction must lie between 0 and 1, got {fraction!r}")
        generator = torch.Generator().manual_seed(seed)
        first = torch.zeros(len(self), dtype=torch.bool)
        for label, name in enumerate(self.classes):
            members = (self.labels == label).nonzero()[:, 0]
            if len(members) == 1:
                raise ValueError(f"class {name!r} has only one image, which cannot be in both parts of a split")
            shuffled = members[torch.randperm(len(members), generator=generator)]
            first[shuffled[: min(max(round(len(members) * fraction), 1), len(members) - 1)]] = True
        return self.subset(first), self.subset(~first)

    def __repr__(self) -> str:
        """Describe the set in one line."""
        counts = [f"{name} {count:,}" for name, count in self.counts().items()]
        counts = [*counts[:9], "…"] if len(counts) > 10 else counts
        shape = "x".join(map(str, self.images.shape[1:]))
        transform = "" if self.transform is None else ", with a transform"
        kind, size = type(self).__name__, f"{self.images.nbytes / 1e6:,.1f} MB"
        described = f"{kind}: {len(self):,} images {shape}, {size}{transform}"
        return f"{described}; {len(self.classes)} classes: {', '.join(counts)}"


@dataclass(frozen=True, repr=False)
class Splits:
    """A data set in two parts: what a model learns from, and what it is judged on.

    Parameters
    ----------
    train, test : ImageSet
        Two sets of one image shape, with the same classes in the same order.
    name : str
        What the data set is called.
    source : str
        Where the images come from.
    classes : tuple of str, optional
        Taken from ``train`` if not given.

    Raises
    ------
    TypeError, ValueError
        When the two parts do not belong together.
    """

    train: ImageSet
    test: ImageSet
    name: str
    source: str
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that both parts have the same classes and image shape."""
        for part in (self.train, self.test):
            if not isinstance(part, ImageSet):
                raise TypeError(f"train and test must be ImageSets, got {type(part).__name__}")
        object.__setattr__(self, "classes", tuple(self.classes) or self.train.classes)
        if not self.classes == self.train.classes == self.test.classes:
            raise ValueError(
                f"train has the classes {self.train.classes}, test {self.test.classes}, and {self.classes} "
                "was expected; the same label would mean different things. Give all the same classes."
            )
        _check_same_shape(self.train, self.test)

    def __repr__(self) -> str:
        """Describe both parts, a line each."""
        return f"{self.name} ({self.source})\n  train: {self.train!r}\n  test:  {self.test!r}"


def overlap(a: ImageSet, b: ImageSet) -> list[tuple[str, str]]:
    """Find the images that are in both sets, whatever their names: a check for a leak from test to train.

    Parameters
    ----------
    a, b : ImageSet
        Two sets of one image shape.

    Returns
    -------
    list of (str, str)
        The name in ``a`` and the name in ``b`` of each pair whose pixels are all equal. An image that was
        cropped or compressed again is not found.

    Raises
    ------
    TypeError, ValueError
        When they are no sets, or have images of different shapes.
    """
    for name, value in (("a", a), ("b", b)):
        arguments.of_type(name, value, ImageSet, "an ImageSet")
    _check_same_shape(a, b)
    names: dict[bytes, list[str]] = {}
    for name, key in zip(a.names, _content_keys(a), strict=True):
        names.setdefault(key, []).append(name)
    return [(x, y) for y, key in zip(b.names, _content_keys(b), strict=True) for x in names.get(key, ())]


def _content_keys(dataset: ImageSet) -> Iterator[bytes]:
    return (hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in dataset.images)


def _check_same_shape(a: ImageSet, b: ImageSet) -> None:
    shapes = list(a.images.shape[1:]), list(b.images.shape[1:])
    if shapes[0] != shapes[1]:
        raise ValueError(f"one set has images of shape {shapes[0]}, the other {shapes[1]}; read both at one size")


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.device.type != "cpu":
        found = f"{images.dtype} on {images.device}" if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(
            f"images must be a uint8 tensor on the CPU with values 0..255, got {found}. "
            "From floats in 0..1: (x * 255).round().to(torch.uint8)"
        )
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise ValueError(
            f"images must have shape [N, C, H, W] with C = 1 or 3, got {list(images.shape)}. "
            "For a gray image [H, W] use x[None, None], for channels last x.permute(0, 3, 1, 2)"
        )


def _check_labels(labels: Tensor, images: int, classes: int) -> None:
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.device.type != "cpu":
        found = f"{labels.dtype} on {labels.device}" if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels must be an int64 tensor on the CPU, got {found}; use torch.tensor(x).long()")
    if labels.shape != (images,):
        raise ValueError(f"labels must have shape [{images}], one for each image, got {list(labels.shape)}")
    if images and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"labels go from {labels.min()} to {labels.max()}; with {classes} classes they are 0 to {classes - 1}"
        )


def _check_transform(transform: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor] | None:
    if transform is not None and not callable(transform):
        raise TypeError(f"transform must be a function from image to image, or None; got {transform!r}")
    return transform
