import math

import pytest

from coursekit.training.history import History

ROWS = [{"epoch": 1, "loss": 2.0, "accuracy": 0.5}, {"epoch": 2, "loss": 1e-5, "accuracy": 0.5, "val_loss": 0.25}]


def test_columns_and_rows():
    history = History(ROWS, [2.5, 1.5])
    assert len(history) == 2
    assert history.columns == ["epoch", "loss", "accuracy", "val_loss"]
    assert history["loss"] == [2.0, 1e-5]
    assert math.isnan(history["val_loss"][0])
    assert history[-1] == ROWS[1]
    assert list(history) == ROWS
    with pytest.raises(KeyError, match="no column 'f1'; there are"):
        history["f1"]


def test_the_rows_are_copies():
    rows = [{"loss": 1.0}]
    history = History(rows)
    rows[0]["loss"] = 2.0
    assert history["loss"] == [1.0]


def test_best_is_low_for_losses_and_high_for_the_rest_and_never_nan():
    values = [3.0, 1.0, float("nan"), 1.0, 4.0]
    history = History({"val_loss": v, "error": v, "accuracy": v} for v in values)
    assert (history.best("val_loss"), history.best("error"), history.best("accuracy")) == (1, 1, 4)
    with pytest.raises(ValueError, match="no row yet"):
        History().best("loss")


def test_equal_when_all_numbers_are():
    assert History(ROWS, [1.0]) == History(ROWS, [1.0])
    assert History(ROWS, [1.0]) != History(ROWS, [2.0])
    assert History(ROWS) != History(ROWS[:1])
    assert History([{"x": float("nan")}]) == History([{"x": float("nan")}])
    assert History(ROWS) != ROWS


def test_it_reads_as_a_table():
    assert repr(History(ROWS)).splitlines() == [
        "epoch    loss  accuracy  val_loss",
        "    1  2.0000    0.5000          ",
        "    2   1e-05    0.5000    0.2500",
    ]
    assert repr(History()) == "History(empty)"
    page = History([{"a<b": 1.0}])._repr_html_()
    assert "<th>a&lt;b</th>" in page
    assert "<td>1.0000</td>" in page
