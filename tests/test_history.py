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
    assert history.batch_losses == [2.5, 1.5]
    with pytest.raises(KeyError, match="no column 'f1'; there are"):
        history["f1"]


def test_the_rows_are_copies():
    rows = [{"loss": 1.0}]
    history = History(rows)
    rows[0]["loss"] = 2.0
    assert history["loss"] == [1.0]


LOWER = ["val_loss", "error", "val_mse", "MAE", "val_rmse", "error rate", "log-loss"]
HIGHER = ["accuracy", "val_acc", "f1", "val_macro_f1", "roc_auc", "mIoU", "dice", "val_psnr", "balanced_accuracy"]


@pytest.mark.parametrize(("names", "best"), [(LOWER, 1), (HIGHER, 4)])
def test_best_is_low_or_high_by_the_name_and_never_nan(names, best):
    for name in names:
        history = History({name: value} for value in [3.0, 1.0, float("nan"), 1.0, 4.0])
        assert history.best(name) == best, name
        assert (history.best(name, "lower"), history.best(name, "higher")) == (1, 4)


@pytest.mark.parametrize("name", ["val_cost", "epoch", "loss of accuracy", "accuracy_loss", "placcard"])
def test_best_asks_where_the_name_does_not_tell(name):
    history = History({name: value} for value in [3.0, 1.0, 4.0])
    with pytest.raises(ValueError, match=rf'which numbers of \'{name}\' are better\? Say better="lower" or'):
        history.best(name)
    with pytest.raises(ValueError, match="Say better="):
        history.best(name, "min")
    assert (history.best(name, "lower"), history.best(name, "higher")) == (1, 2)


def test_there_is_no_best_of_nothing():
    with pytest.raises(ValueError, match="no row yet"):
        History().best("loss")
    with pytest.raises(KeyError, match="no column 'val_loss'"):
        History([{"loss": 1.0}]).best("val_loss")


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


def test_a_slice_is_a_history():
    history = History([{"loss": 3.0}, {"loss": 2.0}, {"loss": 1.0}])
    assert history[1:]["loss"] == [2.0, 1.0]
