"""What a training run leaves behind: a small table, one row per epoch."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from typing import Any

Row = dict[str, float]

_LOWER = ("loss", "error", "mse", "mae")  # so rmse, too
_HIGHER = ("accuracy", "acc", "f1", "auc", "iou", "dice", "psnr", "ssim", "precision", "recall")


class History(list[Row]):
    """A list of rows with named columns: ``history[-1]`` is the last row, a dict; ``history["loss"]`` a column.

    ``history.batch_losses`` are the losses of all batches. No times are kept: the same run gives the same table.
    """

    def __init__(self, rows: Iterable[Row] = (), batch_losses: Iterable[float] = ()) -> None:
        super().__init__(dict(row) for row in rows)
        self.batch_losses = list(batch_losses)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the order in which they first appeared."""
        return list(dict.fromkeys(name for row in self for name in row))

    def __getitem__(self, key: Any) -> Any:
        """Return a column by its name (NaN where a row has no such value), a row by its number, or rows by a slice."""
        if not isinstance(key, str):
            found = super().__getitem__(key)
            return History(found) if isinstance(key, slice) else found
        if key not in self.columns:
            raise KeyError(f"there is no column {key!r}; there are {self.columns}")
        return [row.get(key, math.nan) for row in self]

    def best(self, column: str, better: str | None = None) -> int:
        """Return the index of the row that is best in ``column``, the first one if several are. NaN never wins.

        ``better`` is "lower" or "higher"; it is needed where the name does not tell, as "loss" and "accuracy" do.
        Without it, without a row or such a column there is a ValueError or KeyError.
        """
        if not self:
            raise ValueError("the history has no row yet, so none is best.")
        sign = -1 if lower_is_better(column, better) else 1
        values = [-math.inf if math.isnan(value) else sign * value for value in self[column]]
        return values.index(max(values))

    def __repr__(self) -> str:
        """Draw the table as plain text."""
        lines = [self.columns, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
        return "\n".join(text) if self else "History(empty)"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in line)}</tr>" for line in self._cells())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cells(self) -> list[list[str]]:
        return [[_text(row.get(name, "")) for name in self.columns] for row in self]


def lower_is_better(column: str, better: str | None = None) -> bool:
    """Tell whether lower numbers are better in a column: as ``better`` says, else as its name does."""
    if better in ("lower", "higher"):
        return better == "lower"
    words = re.split(r"[^a-z0-9]+", column.lower())
    lower, higher = (any(word.endswith(names) for word in words) for names in (_LOWER, _HIGHER))
    if better is not None or lower == higher:
        raise ValueError(f'which numbers of {column!r} are better? Say better="lower" or better="higher".')
    return lower


def _text(value: float | str) -> str:
    """Whole numbers as they are, others with four digits after the point or, if small, four that count."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.01 else f"{value:.4g}"
