"""Random views of whole batches: another piece, mirrored, another light. Much faster than one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from coursekit.data import ImageSet


class Batched(Dataset):
    """A data set that makes a whole batch in one look-up: ``dataset[indices]`` gives images and labels."""

    def loader(self, batch_size: int, seed: int = 0) -> DataLoader:
        """Return a loader for `training.fit`: shuffled batches, without a last one that is smaller."""
        order = RandomSampler(self, generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type] -- has len
        batches = BatchSampler(order, min(batch_size, len(order)), drop_last=True)
        return DataLoader(self, batch_size=None, sampler=batches)


class Views(Batched):
    """Random views of the images of several sets, which may differ in size; the sets' classes are numbered on.

    ``views[indices]`` is a batch: normalized views ``[N, 3, size, size]`` and labels ``[N]``, sorted by set. The size
    in pixels is drawn from ``sizes`` for each batch; ``normalize`` takes the place of the sets' own transforms.
    """

    def __init__(self, sets: Sequence[ImageSet], sizes: Sequence[int], normalize: Callable[[Tensor], Tensor]) -> None:
        self.sets, self.sizes, self.normalize = sets, sizes, normalize
        self.starts = torch.tensor([0, *(len(part) for part in sets)]).cumsum(0)
        self.classes = tuple(name for part in sets for name in part.classes)

    def __len__(self) -> int:
        """Count the images of all sets."""
        return int(self.starts[-1])

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return a batch of normalized views, and their labels."""
        wanted, first = torch.as_tensor(indices), 0
        size = self.sizes[int(torch.randint(len(self.sizes), ()))]
        views, labels = [], []
        for part, start in zip(self.sets, self.starts, strict=False):
            mine = wanted[(wanted >= start) & (wanted < start + len(part))] - start
            if len(mine):
                views.append(random_views(part.images[mine].float() / 255, size))
                labels.append(part.labels[mine] + first)
            first += len(part.classes)
        return self.normalize(torch.cat(views)), torch.cat(labels)


def random_views(images: Tensor, size: int) -> Tensor:
    """Return a random view ``[N, C, size, size]`` of each image ``[N, C, H, W]`` in 0..1.

    Each is a piece whose sides are half to all of the image's (a little stretched in one direction), mirrored in half
    of the cases, with contrast, brightness and saturation changed by up to 30, 20 and 50 %. As augmentation it is what
    `RandomResizedCrop`, `RandomHorizontalFlip` and `ColorJitter` of torchvision do, for a batch at once.
    """
    count, channels = images.shape[:2]

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(low, high)

    side, stretch = draw(0.5, 1), draw(0.85, 1.18).sqrt()
    across, down = (side * stretch).clamp(max=1.05), (side / stretch).clamp(max=1.05)
    view = torch.zeros(count, 2, 3)  # where in the image each pixel of the view comes from
    view[:, 0, 0] = across * draw(-1, 1).sign()
    view[:, 1, 1] = down
    view[:, 0, 2] = draw(-1, 1) * (1 - across).clamp(min=0.05)
    view[:, 1, 2] = draw(-1, 1) * (1 - down).clamp(min=0.05)
    grid = F.affine_grid(view, [count, channels, size, size], align_corners=False)
    pieces = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    mean = pieces.mean(dim=(1, 2, 3), keepdim=True)
    pieces = (pieces - mean) * draw(0.7, 1.3, 1, 1, 1) + mean * draw(0.8, 1.2, 1, 1, 1)
    gray = pieces.mean(dim=1, keepdim=True)
    return (gray + (pieces - gray) * draw(0.5, 1.4, 1, 1, 1)).clamp(0, 1)
