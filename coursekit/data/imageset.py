"""The one type that every picture data set of the course has, and the pair of a training and a test set."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from coursekit import arguments


class ImageSet(torch.utils.data.Dataset):
    """Labelled images of one size, in memory, so that an epoch reads no file; each method returns another set.

    ``dataset[i]`` is the image as float32 ``[C, H, W]`` in 0..1 (after ``transform``) and its label as an int. Several
    indices (a slice, whole numbers, or a bool tensor ``[N]``) give a batch: images ``[B, C, H, W]`` and labels ``[B]``.
    A TypeError or ValueError says which argument is none of those below.

    Parameters
    ----------
    images : Tensor
        uint8 ``[N, C, H, W]`` on the CPU, 0..255, with C = 1 (gray) or 3 (red, green, blue).
    labels : Tensor
        int64 ``[N]``, each from 0 to ``len(classes) - 1``.
    classes, names : iterable of str
        The name of each class, in the order of the labels; and of each image, numbers if not given.
    transform : callable, optional
        Applied to the float image by ``dataset[i]``, for example an augmentation.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        classes: Iterable[str],
        names: Iterable[str] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.images, self.labels, self.transform = images, labels, transform
        self.classes = arguments.texts("classes", classes)
        _check(images, labels, self.classes)
        self.names = arguments.texts("names", map(str, range(len(images))) if names is None else names)
        if len(self.names) != len(images):
            raise ValueError(f"{len(self.names)} names for {len(images)} images; give one name for each image")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int | slice | Iterable[int] | Tensor) -> tuple[Tensor, int | Tensor]:
        """Return an image and its label, or several as a batch; TypeError or IndexError say that there is none."""
        chosen = self._positions(index)
        images = self.images[chosen].float().div_(255)
        if chosen.ndim == 0:
            return (self.transform(images) if self.transform else images), int(self.labels[chosen])
        if self.transform and len(images):
            images = torch.stack([self.transform(image) for image in images])
        return images, self.labels[chosen]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int | Tensor]]:
        """Return several images, each with its label; a DataLoader fetches a batch by it faster than one by one."""
        if type(self).__getitem__ is not ImageSet.__getitem__:  # a class of your own may give something else
            return [self[index] for index in indices]
        chosen = self._positions(indices)
        images = self.images[chosen].float().div_(255).unbind()
        images = map(self.transform, images) if self.transform else images
        return list(zip(images, self.labels[chosen].tolist(), strict=True))

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
        other.transform = transform
        return other

    def subset(self, indices: slice | Iterable[int] | Tensor) -> Self:
        """Return the images at these indices, in this order; the classes stay the same."""
        chosen = self._positions(indices).reshape(-1)
        other = copy.copy(self)
        other.images, other.labels = self.images[chosen], self.labels[chosen]
        other.names = tuple(self.names[i] for i in chosen.tolist())
        return other

    def split(self, fraction: float, seed: int = 0) -> tuple[Self, Self]:
        """Split at random into two sets that hold the same share of every class (a stratified split).

        The first one gets `fraction` of each class, between 0 and 1; both get an image of each, else a ValueError.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must lie between 0 and 1, got {fraction!r}")
        generator = torch.Generator().manual_seed(int(seed))
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
        megabytes = self.images.nbytes / 1e6
        described = f"{type(self).__name__}: {len(self):,} images {shape}, {megabytes:,.1f} MB{transform}"
        return f"{described}; {len(self.classes)} classes: {', '.join(counts)}"

    def _positions(self, index: int | slice | Iterable[int] | Tensor) -> Tensor:
        """Return any index as int64: without an axis for one image, with one axis for several."""
        if isinstance(index, slice):
            index = range(len(self))[index]
        if isinstance(index, Iterable) and not hasattr(index, "dtype"):
            index = torch.as_tensor(list(index))
        chosen = arguments.as_tensor(index)
        if chosen.dtype == torch.bool and chosen.shape == self.labels.shape:
            return chosen.nonzero()[:, 0]
        if chosen.ndim > 1 or (chosen.numel() and (chosen.is_floating_point() or chosen.dtype == torch.bool)):
            raise TypeError(
                f"an index is a whole number, a flat list of them, a slice, or bools [N]; got {index!r:.80}"
            )
        return chosen.long()


@dataclass(frozen=True, repr=False)
class Splits:
    """A data set in two parts: what a model learns from, and what it is judged on.

    Both have one image shape, and the same classes in the same order; otherwise there is a ValueError. ``name`` and
    ``source`` say what the data set is called, and where the images come from.
    """

    train: ImageSet
    test: ImageSet
    name: str
    source: str

    def __post_init__(self) -> None:
        """Check that both parts have the same classes and image shape."""
        if self.train.classes != self.test.classes:
            raise ValueError(
                f"train has the classes {', '.join(self.train.classes)}; test has {', '.join(self.test.classes)}: "
                "the same label would mean different things. Give both the same classes, in the same order."
            )
        shapes = [list(part.images.shape[1:]) for part in (self.train, self.test)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"train has images of shape {shapes[0]}, test of {shapes[1]}; read both at one size")

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each class, in the order of the labels."""
        return self.train.classes

    def __repr__(self) -> str:
        """Describe both parts, a line each."""
        return f"{self.name} ({self.source})\n  train: {self.train!r}\n  test:  {self.test!r}"


def _check(images: Tensor, labels: Tensor, classes: tuple[str, ...]) -> None:
    for name, value, dtype, advice in (
        ("images", images, torch.uint8, "From floats in 0..1: (x * 255).round().to(torch.uint8)"),
        ("labels", labels, torch.int64, "Take torch.as_tensor(x).long()"),
    ):
        if not isinstance(value, Tensor) or value.dtype != dtype or value.device.type != "cpu":
            found = f"{value.dtype} on {value.device}" if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{name} must be a tensor of {dtype} on the CPU, got {found}. {advice}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise ValueError(
            f"images must have shape [N, C, H, W] with C = 1 or 3, got {list(images.shape)}. "
            "For a gray image [H, W] use x[None, None], for channels last x.permute(0, 3, 1, 2)"
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(f"labels must have shape [{len(images)}], one for each image, got {list(labels.shape)}")
    if not classes or len(set(classes)) < len(classes):
        raise ValueError(f"classes must be one or more different names, got {classes}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        ends = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"labels go from {ends}; with {len(classes)} classes they are 0 to {len(classes) - 1}")
