"""Colours as classes: a grid over the ab plane, as targets for classification, and the ways from probabilities back."""

from __future__ import annotations

import torch
from torch import Tensor

from coursekit import arguments
from coursekit.colorization.cielab import SCALE


class Bins:
    """The squares of a grid over the ab plane in which colours were found (Zhang, Isola and Efros, 2016).

    Parameters
    ----------
    centres : Tensor
        float ``[B, 2]``, a / 100 and b / 100 of each bin's centre.
    shares : Tensor
        float ``[B]``, how often each bin occurs; the sum is 1.
    """

    def __init__(self, centres: Tensor, shares: Tensor) -> None:
        self.centres, self.shares = centres.float(), shares.float() / shares.sum()

    @classmethod
    def of(cls, ab: Tensor, step: float = 15.0, least: float = 1e-4) -> Bins:
        """Lay the grid and keep the bins that occur; a ValueError says if none is left, or if `ab` holds NaN.

        Parameters
        ----------
        ab : Tensor [N, 2, H, W]
            Colours of the training images, in the network's units.
        step : float
            Side of a square in units of CIELAB. One square has its centre at gray, a = b = 0.
        least : float
            Bins that hold a smaller share of all pixels are left out.
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
        """Return a colour per pixel ``[N, 2, H, W]``, the mean of the bins under probabilities, sharpened if wished.

        Parameters
        ----------
        logits : Tensor [N, B, H, W]
            Another number of bins is a ValueError.
        temperature : float
            1 gives the plain mean, which is what a network trained with MSE answers. Below 1 the likely bins count for
            more ("annealed mean", 0.38 in Zhang et al., 2016); 0 takes the most likely bin alone.
        boost : float
            Divide each probability by the bin's share to this power first, so that rare colours get a chance: 0 leaves
            them as they are, 1 forgets how often each colour occurs.
        """
        if arguments.tensor("logits", logits, f"[N, {len(self)}, H, W]").ndim != 4 or logits.shape[1] != len(self):
            raise ValueError(f"logits must be [N, {len(self)}, H, W] for these bins, not {list(logits.shape)}.")
        if not temperature >= 0:
            raise ValueError(f"temperature must be 0 or more, not {temperature!r}.")
        logits = logits - boost * self.shares.to(logits.device).log()[:, None, None]
        centres = self.centres.to(logits.device)
        if temperature == 0:
            return centres[logits.argmax(dim=1)].movedim(-1, 1)
        return torch.einsum("nbhw,bc->nchw", (logits / temperature).softmax(dim=1), centres)

    def __repr__(self) -> str:
        """Describe the bins in one line."""
        return f"Bins: {len(self)} colours of the ab plane; the commonest holds {self.shares.max():.0%} of the pixels"


def _check_ab(ab: Tensor) -> None:
    if arguments.tensor("ab", ab, "[N, 2, H, W]").ndim != 4 or ab.shape[1] != 2 or ab.numel() == 0:
        raise ValueError(f"ab must be [N, 2, H, W] with at least one pixel, not {list(ab.shape)}.")
    if not ab.isfinite().all():
        raise ValueError("ab holds NaN or infinite values, which are no colours.")
