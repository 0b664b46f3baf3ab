"""Colours as classes: a grid over the ab plane, as targets for classification, and the ways from probabilities back."""

from __future__ import annotations

import torch
from torch import Tensor

from coursekit import arguments
from coursekit.colorization.cielab import SCALE


class Bins:
    """The squares of a grid over the ab plane in which colours were found (Zhang, Isola and Efros, 2016).

    ``centres`` are float ``[B, 2]``, a / 100 and b / 100; ``shares`` float ``[B]``, how often each bin occurs.
    """

    def __init__(self, centres: Tensor, shares: Tensor) -> None:
        self.centres, self.shares = centres.float(), shares.float() / shares.sum()

    @classmethod
    def of(cls, ab: Tensor, step: float = 15.0, least: float = 1e-4) -> Bins:
        """Lay the grid and keep the bins that occur; a ValueError says if none is left, or if `ab` holds NaN.

        ``ab`` ``[N, 2, H, W]`` are colours in the network's units; ``step`` is the side of a square in units of CIELAB.
        One square has its centre at gray. Bins that hold a share of pixels below ``least`` are left out.
        """
        _check_ab(ab)
        squares = (ab.movedim(1, -1).reshape(-1, 2) * (SCALE / step)).round().long()
        found, counts = squares.unique(dim=0, return_counts=True)
        shares = counts / counts.sum()
        kept = shares >= least
        if not kept.any():
            raise ValueError(f"no bin holds a share of {least} of the pixels: take a smaller `least`.")
        return cls(found[kept] * (step / SCALE), shares[kept])

    def __len__(self) -> int:
        """Return the number of bins."""
        return len(self.centres)

    def encode(self, ab: Tensor) -> Tensor:
        """Return the nearest bin of each pixel: ab ``[N, 2, H, W]`` to int64 ``[N, H, W]``."""
        _check_ab(ab)
        flat = ab.movedim(1, -1).reshape(-1, 2)
        centres = self.centres.to(ab.device)
        nearest = [torch.cdist(part.float(), centres).argmin(dim=1) for part in flat.split(1 << 18)]
        return torch.cat(nearest).reshape(len(ab), *ab.shape[2:])

    def decode(self, logits: Tensor, temperature: float = 1.0, boost: float = 0.0) -> Tensor:
        """Return a colour per pixel ``[N, 2, H, W]`` of logits ``[N, B, H, W]``: the mean of the bins' centres.

        Below a ``temperature`` of 1 the likely bins count for more ("annealed mean", 0.38 in Zhang et al., 2016); 0
        takes the most likely alone. First, each probability is multiplied by its bin's weight to the power ``boost``:
        above 0 rare colours gain, below 0 they lose.
        """
        if arguments.tensor("logits", logits, f"[N, {len(self)}, H, W]").ndim != 4 or logits.shape[1] != len(self):
            raise ValueError(f"logits must be [N, {len(self)}, H, W] for these bins, not {list(logits.shape)}.")
        if not temperature >= 0:
            raise ValueError(f"temperature must be 0 or more, not {temperature!r}.")
        logits = logits + boost * self.weights().log().to(logits.device)[:, None, None]
        centres = self.centres.to(logits.device)
        if temperature == 0:
            return centres[logits.argmax(dim=1)].movedim(-1, 1)
        return torch.einsum("nbhw,bc->nchw", (logits / temperature).softmax(dim=1), centres)

    def weights(self, mix: float = 0.5) -> Tensor:
        """Return a weight for each bin's loss ``[B]``: more for rare colours (Zhang, Isola and Efros, 2016).

        One over the bin's share, which is first mixed with an even one: ``(1 - mix) share + mix / B``. With a ``mix``
        of 1 all weights are 1; their mean over the pixels is 1 for any.
        """
        if not 0 < mix <= 1:
            raise ValueError(f"mix must be above 0 and at most 1, not {mix!r}.")
        weights = 1 / ((1 - mix) * self.shares + mix / len(self))
        return weights / (self.shares * weights).sum()

    def __repr__(self) -> str:
        """Describe the bins in one line."""
        return f"Bins: {len(self)} colours of the ab plane; the commonest holds {self.shares.max():.0%} of the pixels"


def _check_ab(ab: Tensor) -> None:
    if arguments.tensor("ab", ab, "[N, 2, H, W]").ndim != 4 or ab.shape[1] != 2 or ab.numel() == 0:
        raise ValueError(f"ab must be [N, 2, H, W] with at least one pixel, not {list(ab.shape)}.")
    if not ab.isfinite().all():
        raise ValueError("ab holds NaN or infinite values, which are no colours.")
