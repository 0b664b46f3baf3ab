"""Random views of the images of several sets: another piece, mirrored, another light.

The stored networks saw views of the same kind, drawn for a whole batch at once; these are torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2

from coursekit.data import ImageSet


class Views(Dataset):
    """Random views of the images of several sets, a batch at a time; the classes of the sets one after the other.

    ``views[indices]`` is a batch: normalized views ``[N, 3, size, size]`` and labels ``[N]``.

    Each set may have images of another size; their transforms are not used. The size of a batch's views in pixels is
    drawn from ``sizes``; ``normalize`` is applied to them, for example `Pretrained.normalize`.
    """

    def __init__(self, sets: Sequence[ImageSet], sizes: Sequence[int], normalize: Callable[[Tensor], Tensor]) -> None:
        self.sizes, self.normalize = list(sizes), normalize
        self.classes = tuple(name for part in sets for name in part.classes)
        self.images = [image for part in sets for image in part.images]
        firsts = torch.tensor([0, *(len(part.classes) for part in sets)]).cumsum(0)
        self.labels = torch.cat([part.labels + first for part, first in zip(sets, firsts, strict=False)])

    def __len__(self) -> int:
        """Count the images of all sets."""
        return len(self.images)

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return a batch of normalized views, and their labels."""
        size = self.sizes[int(torch.randint(len(self.sizes), ()))]
        augment = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.25, 1), ratio=(0.85, 1.18)),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(brightness=0.2, contrast=0.3, saturation=0.4),
            ]
        )
        views = torch.stack([augment(self.images[index]) for index in indices])
        return self.normalize(views.float() / 255), self.labels[indices]

    def loader(self, batch_size: int, seed: int = 0) -> DataLoader:
        """Return a loader for `training.fit`: shuffled batches, without a last one that is smaller."""
        order = RandomSampler(self, generator=torch.Generator().manual_seed(seed))
        batches = BatchSampler(order, min(batch_size, len(self)), drop_last=True)
        return DataLoader(self, batch_size=None, sampler=batches)
