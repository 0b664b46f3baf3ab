"""What a training run leaves behind: a small table, one row per epoch."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator

Row = dict[str, float]


class History:
    """A table of numbers with named columns. ``history["loss"]`` is a column, ``history[-1]`` the last row.

    Two histories are equal when all their numbers are. There are no times in it, so that the same run always gives
    the same table.

    Parameters
    ----------
    rows : iterable of dict, optional
        One dict of column name and number per row.
    batch_losses : iterable of float, optional
        The loss of every batch, in the order of training.

    Attributes
    ----------
    rows : list of dict
    batch_losses : list of float
    """

    def __init__(self, rows: Iterable[Row] = (), batch_losses: Iterable[float] = ()) -> None:
        self.rows: list[Row] = [dict(row) for row in rows]
        self.batch_losses: list[float] = list(batch_losses)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the order in which they first appeared."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def best(self, column: str) -> int:
        """Return the index of the row that is best in ``column``, the first one if several are.

        The best is the lowest where the name holds "loss" or "error", the highest otherwise. NaN never wins.

        Raises
        ------
        KeyError
            If there is no such column.
        ValueError
            If there is no row yet.
        """
        if not self.rows:
            raise ValueError("the history has no row yet, so none is best.")
        lower = "loss" in column or "error" in column
        keys = [(-value if lower else value) for value in self[column]]
        return max(range(len(keys)), key=lambda i: (keys[i] == keys[i], keys[i], -i))

    def __getitem__(self, key: str | int) -> list[float] | Row:
        """Return a column by its name (NaN where a row has no such value) or a row by its number.

        Raises
        ------
        KeyError, IndexError
            If there is no such column or row.
        """
        if not isinstance(key, str):
            return self.rows[key]
        if key not in self.columns:
            raise KeyError(f"there is no column {key!r}; there are {self.columns}")
        return [row.get(key, float("nan")) for row in self.rows]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """Go through the rows."""
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        """Whether all numbers are the same, those of the batches too; NaN equals NaN."""
        if not isinstance(other, History):
            return NotImplemented
        return repr((self.rows, self.batch_losses)) == repr((other.rows, other.batch_losses))

    __hash__ = None

    def __repr__(self) -> str:
        """Draw the table as plain text."""
        lines = [self.columns, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
        return "\n".join(text) if self.rows else "History(empty)"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in line)}</tr>" for line in self._cells())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cells(self) -> list[list[str]]:
        return [[_text(row.get(name, "")) for name in self.columns] for row in self.rows]


def _text(value: float | str) -> str:
    """Whole numbers as they are, others with four digits after the point or, if small, four that count."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.01 else f"{value:.4g}"
