"""Colours as classes: a grid over the ab plane, as targets for classification, and the ways from probabilities back."""

from __future__ import annotations

import math

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

    Raises
    ------
    TypeError, ValueError
        If they are no tensors whose shapes belong together, or shares are not positive numbers.
    """

    def __init__(self, centres: Tensor, shares: Tensor) -> None:
        arguments.tensor("centres", centres, "[B, 2]")
        arguments.tensor("shares", shares, "[B]")
        if centres.ndim != 2 or centres.shape[1] != 2 or shares.shape != centres.shape[:1] or not len(shares):
            raise ValueError(
                f"centres must be [B, 2] and shares [B]; they are {list(centres.shape)} and {list(shares.shape)}."
            )
        if not (shares > 0).all() or not shares.isfinite().all() or not centres.isfinite().all():
            raise ValueError("each share must be a finite number above 0, and each centre a finite number.")
        self.centres, self.shares = centres.float(), shares.float() / shares.sum()

    @classmethod
    def of(cls, ab: Tensor, step: float = 15.0, least: float = 1e-4) -> Bins:
        """Lay the grid and keep the bins that occur.

        Parameters
        ----------
        ab : Tensor [N, 2, H, W]
            Colours of the training images, in the network's units.
        step : float
            Side of a square in units of CIELAB. One square has its centre at gray, a = b = 0.
        least : float
            Bins that hold a smaller share of all pixels are left out.

        Raises
        ------
        TypeError, ValueError
            If `ab` is no tensor of this shape or holds NaN, if `step` is not positive, or if nothing is left.
        """
        _check_ab(ab)
        step, least = arguments.real("step", step), arguments.real("least", least)
        if not 0 < step < math.inf or not 0 <= least < 1:
            raise ValueError(f"step must be a positive number and least 0 or more, below 1; got {step!r}, {least!r}.")
        if SCALE / step > 1 << 20:  # so many squares that float32 cannot count them
            raise ValueError(f"step is too small for colours: {step!r}. Usual is 5 to 20.")
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
        """Return the nearest bin of each pixel: ab ``[N, 2, H, W]`` to int64 ``[N, H, W]``.

        Raises
        ------
        TypeError, ValueError
            If `ab` is no tensor of this shape or holds NaN.
        """
        _check_ab(ab)
        flat = ab.movedim(1, -1).reshape(-1, 2)
        centres = self.centres.to(ab.device)
        nearest = [torch.cdist(part.float(), centres).argmin(dim=1) for part in flat.split(1 << 18)]
        return torch.cat(nearest).reshape(len(ab), *ab.shape[2:])

    def decode(self, logits: Tensor, temperature: float = 1.0, boost: float = 0.0) -> Tensor:
        """Return one colour per pixel, the mean of the bins under probabilities that may be sharpened first.

        Parameters
        ----------
        logits : Tensor [N, B, H, W]
        temperature : float
            1 gives the plain mean, which is what a network trained with MSE answers. Below 1 the likely bins count for
            more ("annealed mean", 0.38 in Zhang et al., 2016); 0 takes the most likely bin alone.
        boost : float
            Divide each probability by the bin's share to this power first, so that rare colours get a chance: 0 leaves
            them as they are, 1 forgets how often each colour occurs.

        Returns
        -------
        Tensor [N, 2, H, W]

        Raises
        ------
        TypeError, ValueError
            If the logits do not fit the bins, or a number is negative or not finite.
        """
        if arguments.tensor("logits", logits, f"[N, {len(self)}, H, W]").ndim != 4 or logits.shape[1] != len(self):
            raise ValueError(f"logits must be [N, {len(self)}, H, W] for these bins, not {list(logits.shape)}.")
        temperature, boost = arguments.real("temperature", temperature), arguments.finite("boost", boost)
        if not temperature >= 0:
            raise ValueError(f"temperature must be 0 or more, not {temperature!r}.")
        logits = logits - boost * self.shares.to(logits.device).log()[:, None, None]
        if boost and not logits.isfinite().all():
            raise ValueError(f"the logits must be finite numbers, also after a boost of {boost:g}. Take one of 0 to 1.")
        centres = self.centres.to(logits.device)
        sharper = logits / temperature if temperature else logits
        too_cold = logits.isfinite().all() and not sharper.isfinite().all()  # beyond the range of float32
        if not temperature or too_cold:
            return centres[logits.argmax(dim=1)].movedim(-1, 1)
        return torch.einsum("nbhw,bc->nchw", sharper.softmax(dim=1), centres)

    def __repr__(self) -> str:
        """Describe the bins in one line."""
        return f"Bins: {len(self)} colours of the ab plane; the commonest holds {self.shares.max():.0%} of the pixels"


def _check_ab(ab: Tensor) -> None:
    if arguments.tensor("ab", ab, "[N, 2, H, W]").ndim != 4 or ab.shape[1] != 2 or ab.numel() == 0:
        raise ValueError(f"ab must be [N, 2, H, W] with at least one pixel, not {list(ab.shape)}.")
    if not ab.isfinite().all():
        raise ValueError("ab holds NaN or infinite values, which are no colours.")
