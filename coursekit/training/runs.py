"""All that changes while a network is trained, in one place, so that it can be saved and taken up again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from coursekit.training import checkpoints
from coursekit.training.batches import Tally
from coursekit.training.history import History
from coursekit.training.processes import Team

# What a checkpoint holds; all else in it are dicts.
_KINDS = {"epoch": int, "lr": float, "rows": list, "batch_losses": list, "random": list}
_KINDS |= dict.fromkeys(("settings", "model", "best", "tally"), dict)


class Run:
    """A training run between two batches.

    Parameters
    ----------
    model : nn.Module
    parts : dict
        What else has a state: optimizer, scheduler, gradient scaler; None where there is none.
    loader, val_loader : DataLoader
        ``val_loader`` may be None.
    device : torch.device
    settings : dict
        What must be the same when the run is resumed: name and number or text.
    team : Team, optional
        The processes that train together; the first of them writes.

    Attributes
    ----------
    epoch : int
        How many epochs are done.
    tally : Tally
        Sums over the batches of the epoch that is under way.
    history : History
    best : dict
        The weights of the best epoch, empty where they are not wanted.
    lr : float
        The learning rate of the last batch.
    """

    def __init__(
        self,
        model: nn.Module,
        parts: dict[str, object],
        loader: DataLoader,
        val_loader: DataLoader | None,
        device: torch.device,
        settings: dict[str, object],
        team: Team | None = None,
    ) -> None:
        self.model, self.settings, self.team = model, settings, team or Team()
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.loader, self._random = loader, (device, loader, val_loader)
        self.epoch, self.tally, self.history = 0, Tally(), History()
        self.best: dict[str, Tensor] = {}
        self.lr = 0.0
        self._start: dict = {}

    def batches(self) -> Iterator:
        """Go through the batches of this epoch; after a resumption, through those that are left.

        The order of an epoch is drawn when it begins. So the random states of that moment are put back, the batches
        that were done are skipped, and then the states of the interruption are put back.
        """
        now = checkpoints.random_states(*self._random)
        done = self.tally.batches
        if done:
            checkpoints.set_random_states(self._start, *self._random)
        else:
            self._start = now
        stream = iter(self.loader)
        for _ in range(done):
            next(stream)
        if done:
            checkpoints.set_random_states(now, *self._random)
        return stream

    def end_epoch(self, row: dict[str, float], keep: str | None) -> None:
        """Note the row of an epoch; if it is the best in the column ``keep``, the weights too.

        Raises
        ------
        FloatingPointError
            If a weight is not a finite number.
        """
        self._check_weights()
        self.history.rows.append(row)
        self.history.batch_losses += self.tally.losses
        self.epoch, self.tally = self.epoch + 1, Tally()
        if keep is not None and self.since_best(keep) == 0:
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def since_best(self, monitor: str) -> int:
        """Return how many epochs were done after the one that is best in the column ``monitor``."""
        return len(self.history) - 1 - self.history.best(monitor) if len(self.history) else 0

    def save(self, path: str | Path) -> None:
        """Write all of it to ``path``. With several processes, all call this, and the first of them writes.

        Raises
        ------
        FloatingPointError
            If a weight is not a finite number; what was at ``path`` is kept.
        """
        self._check_weights()
        moments = self.team.gather((self._start, checkpoints.random_states(*self._random)))
        if not self.team.leads:
            return
        state = {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "best": self.best,
            "epoch": self.epoch,
            "lr": self.lr,
            "tally": self.tally.state(),
            "rows": self.history.rows,
            "batch_losses": self.history.batch_losses,
            "random": moments,  # of each process: at the start of the epoch, and now
        }
        checkpoints.save(path, state | {name: part.state_dict() for name, part in self.parts.items()})

    def load(self, path: str | Path) -> None:
        """Go on from what `save` wrote to ``path``; if it does not fit, nothing is changed.

        Raises
        ------
        checkpoints.CheckpointError
            If the file is damaged, or belongs to another model or to a run with other settings.
        """
        saved = checkpoints.load(path)
        if missing := [
            name for name in (*_KINDS, *self.parts) if not isinstance(saved.get(name), _KINDS.get(name, dict))
        ]:
            raise checkpoints.CheckpointError(f"{path} was not written by fit: it has no {sorted(missing)}.")
        checkpoints.check_weights(self.model, saved["model"], path)
        for name, ours in self.settings.items():
            if (theirs := saved["settings"].get(name)) != ours:
                raise checkpoints.CheckpointError(
                    f"{path} was made with {name} = {theirs}, now it is {ours}. "
                    "Call fit as before to go on, or name another file to begin anew."
                )
        self.model.load_state_dict(saved["model"])
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.epoch, self.tally, self.best = saved["epoch"], Tally(**saved["tally"]), saved["best"]
        self.history = History(saved["rows"], saved["batch_losses"])
        self.lr = saved["lr"]
        self._start, now = saved["random"][self.team.rank]
        checkpoints.set_random_states(now, *self._random)

    def check_monitor(self, monitor: str, measured: list[str]) -> None:
        """Stop if no column of the history will be called so, before an epoch is lost.

        Raises
        ------
        ValueError
        """
        validated = [f"val_{name}" for name in measured] if self._random[2] is not None else []
        columns = ["epoch", *measured, *validated, "lr"]
        if monitor not in columns:
            raise ValueError(f"there is no column {monitor!r:.40} to monitor; there are {', '.join(columns)}.")

    def check_loss(self, value: float, name: str, batch: tuple[Tensor, Tensor] | None = None) -> None:
        """Stop if the loss called ``name`` is not finite, and say what to try.

        Raises
        ------
        FloatingPointError
        """
        if math.isfinite(value):
            return
        advice = "Try a lower learning rate, or clip=1.0."
        if batch is not None and not batch[0].isfinite().all():
            advice = "The inputs of this batch hold NaN or infinity: look for them in the data."
        lr = float(self.parts["optimizer"].param_groups[0]["lr"])
        raise FloatingPointError(
            f"the {name} became {value} in epoch {self.epoch + 1}, batch {self.tally.batches + 1}, at learning rate "
            f"{lr:g}. {advice} The last autosave, if any, was left as it was."
        )

    def _check_weights(self) -> None:
        for name, value in self.model.state_dict().items():
            if not value.isfinite().all():
                raise FloatingPointError(
                    f"in epoch {self.epoch + 1}, after batch {self.tally.batches}, {name!r} of the model is no longer "
                    "finite. Try a lower learning rate, or clip=1.0. The last autosave, if any, was left as it was."
                )
