"""What carries the checks: serialization, the student's side, comparisons, what a student is told."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from coursekit.checks import compare, differences, transport
from coursekit.checks.answers import Chart, Function, Hint, Module, NotAnsweredError, fetch
from coursekit.checks.lab import Lab
from coursekit.checks.server import AnswerServer
from coursekit.checks.transport import Reference, TooLargeError, pack, unpack


def there_and_back(value):
    return unpack(pack(value))


# Serialization -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -(10**30), 2.5, math.inf, "ä", Path("a/b"), [1, [2, "x"]], (1, 2), {"a": 1, 3: (4,)}, []],
    ids=repr,
)
def test_plain_values_come_back_as_they_are(value):
    result = there_and_back(value)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, ">i4", np.float16, np.float32, float, complex])
def test_arrays_come_back_with_type_and_shape(dtype):
    array = np.arange(12).reshape(3, 4)[:, ::-2].astype(dtype)
    result = there_and_back(array)
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(result, array)
    assert result.flags.writeable
    assert there_and_back(np.zeros((0, 3))).shape == (0, 3)
    assert isinstance(there_and_back(np.float32(2)), np.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool, torch.bfloat16, torch.half])
def test_tensors_come_back_detached(dtype):
    tensor = torch.arange(6).view(2, 3).T.to(dtype)
    assert torch.equal(there_and_back(tensor), tensor)
    assert there_and_back(tensor).dtype == dtype
    learned = there_and_back(nn.Parameter(torch.ones(2)))
    assert type(learned) is torch.Tensor
    assert not learned.requires_grad


class AlwaysEqual(np.ndarray):
    def __eq__(self, other):
        return True

    __hash__ = None


def test_nothing_but_plain_values_gets_through():
    assert type(there_and_back(np.zeros(3).view(AlwaysEqual))) is np.ndarray
    assert there_and_back([object(), ...]) == [Reference("object", 0, "object"), Reference("object", 0, "ellipsis")]
    assert there_and_back(np.array(["a", None], dtype=object)) == Reference("object", 0, "ndarray")
    assert there_and_back({1, 2}) == Reference("object", 0, "set")


def test_values_that_are_too_large_are_refused(monkeypatch):
    with pytest.raises(TooLargeError, match="in lists or texts"):
        pack("x" * (transport.LONGEST_TEXT + 1))
    with pytest.raises(ValueError, match="too long"):
        unpack((transport.LONGEST_TEXT + 1).to_bytes(8, "little"))
    monkeypatch.setattr(transport, "LARGEST", transport.LONGEST_TEXT + 1000)
    with pytest.raises(TooLargeError, match="an array takes"):
        pack(np.zeros(1000))
    with pytest.raises(TooLargeError, match="in arrays"):
        pack([np.zeros(100), np.zeros(100)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"\xff" * 20,
        pack(np.arange(3))[:-1],
        pack([1])[:8] + b"{]",
        b"\x02\0\0\0\0\0\0\0{}",
        b"\x88\x13\0\0\0\0\0\0" + b"[" * 5000,
        pack({"t": 1}).replace(b"dict", b"list"),
        pack(np.arange(3)).replace(b"<i8", b"|O8"),
        pack(np.arange(3)).replace(b"[3]", b"[9]"),
        pack(np.arange(3)).replace(b"[3]", b"[-]"),
    ],
)
def test_bytes_that_are_no_value_are_refused(data):
    with pytest.raises(ValueError, match=r"."):
        unpack(data)


# The student's side --------------------------------------------------------------------------------------------------


def answer(value):
    return fetch(AnswerServer({"answer": value}).serve, "answer")


def test_missing_and_unanswered_variables_say_so():
    with pytest.raises(NotAnsweredError, match="Run the cell"):
        fetch(AnswerServer({}).serve, "answer")
    for value in (..., [1, ...], [[1, 2], [3, ...]], {"a": ...}):
        with pytest.raises(NotAnsweredError, match=r"\.\.\."):
            answer(value)


def test_functions_are_called_with_copies_and_give_plain_results():
    given = np.ones(3)
    double = answer(lambda x, by=2: x * by)
    assert isinstance(double, Function)
    assert double(given, by=3).tolist() == [3, 3, 3]
    with pytest.raises(Hint, match="work on a copy"):
        answer(lambda x: x.fill(0) or x)(given)
    assert given.tolist() == [1, 1, 1]
    both = AnswerServer({"double": lambda x: 2 * x, "apply": lambda f, x: f(x)}).serve
    assert fetch(both, "apply")(fetch(both, "double"), 2) == 4


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x: 1 / 0, Hint, "stops with ZeroDivisionError"),
        (lambda x: exec("raise SystemExit(3)"), Hint, "stops with SystemExit: 3"),
        (lambda: 1, Hint, "TypeError"),
        (lambda x: None, NotAnsweredError, "return"),
        (lambda x: ..., NotAnsweredError, "is still"),
        (lambda x: x * ..., NotAnsweredError, "still computes"),
        (lambda x: np.zeros(10**8, dtype=np.uint8), Hint, "too large"),
        (lambda x: x * math.nan, Hint, r"answer\(\[1.0, 1.0, 1.0\]\)` holds NaN"),
        (lambda x: [0.0, [torch.tensor(math.inf)]], Hint, "holds NaN or infinity"),
    ],
)
def test_what_a_function_does_wrong_by_itself(function, error, text):
    with pytest.raises(error, match=text):
        answer(function)(np.ones(3))


class Net(nn.Module):
    def __init__(self, channels=2):
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.conv(x))


def test_nan_is_refused_unless_a_check_asks_for_it():
    for value in (math.nan, [1.0, math.inf], {"a": np.array([1, math.nan])}, torch.tensor(math.nan)):
        with pytest.raises(Hint, match="NaN"):
            answer(value)
    assert math.isnan(answer(lambda: math.nan)(finite=False))


def test_texts_get_other_hashes_as_after_a_restart():
    first = answer(lambda names: list({name.split("/")[0] for name in names}))
    names = [f"{k}/x" for k in range(30)]
    orders = {tuple(first(names, salt=salt)) for salt in (1, 2)}
    assert len(orders) == 2
    assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(str(k) for k in range(30)))}


def test_networks_are_reached_through_a_few_methods():
    torch.manual_seed(0)
    network = answer(Net)(channels=4)
    assert isinstance(network, Module)
    x = torch.randn(1, 1, 5, 5)
    network.train(False)
    assert torch.equal(network(x), network(x))
    assert network.parameters() == {
        "conv.weight": {"shape": (4, 1, 3, 3), "trainable": True},
        "conv.bias": {"shape": (4,), "trainable": True},
    }
    conv, drop = network.layers()
    assert (conv["name"], conv["kind"], drop["kind"]) == ("conv", "Conv2d", "Dropout")
    assert conv["settings"]["kernel_size"] == (3, 3)
    assert conv["settings"]["bias"] is True
    assert drop["settings"]["p"] == 0.5
    assert drop["settings"]["training"] is False
    network.load({name: torch.zeros_like(value) for name, value in network.state().items()})
    assert network(x).abs().sum() == 0
    closed = network.closed()
    assert torch.equal(closed(x), network(x))
    assert closed.state() == {}
    state = network.state()
    for other, text in (
        ({}, r"`answer\(channels=4\)` has a `conv.bias`"),
        (state | {"more": x}, "has no `more`"),
        (state | {"conv.bias": torch.zeros(3)}, r"`conv.bias` has the wrong shape \[4\]; expected is \[3\]"),
    ):
        with pytest.raises(Hint, match=text):
            network.load(other)


class Halves(nn.Module):
    """Two layers, of which one is cut off from the gradient."""

    def __init__(self):
        super().__init__()
        self.still, self.head, self.unused = nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x):
        with torch.no_grad():
            x = self.still(x)
        return self.head(x)


def test_gradients_name_the_parameters_that_they_reach():
    x, network = torch.ones(4, 2), Halves()
    assert answer(network).gradients(x) == ["head.weight", "head.bias"]
    network.head.bias.requires_grad_(False)
    with torch.no_grad():  # as a check may be called
        assert answer(network).gradients(x) == ["head.weight"]
    assert network.head.weight.grad is None
    assert answer(nn.Sequential(network.still)).gradients(x) == ["0.weight", "0.bias"]
    assert answer(network.requires_grad_(False)).gradients(x) == []
    assert answer(nn.ReLU()).gradients(x) == []
    network.head.requires_grad_(True)
    network.forward = lambda x: x.detach()
    assert answer(network).gradients(x) == []
    hidden, hiding = [nn.Linear(2, 3)], nn.ReLU()
    hiding.forward = lambda x: hidden[0](x)
    assert answer(hiding).gradients(x) == []
    with pytest.raises(Hint, match=r"\(gradients\) stops with RuntimeError"):
        answer(Halves()).gradients(torch.ones(4, 3))


def test_labels_are_those_of_the_axis_of_one_that_it_shares_or_of_the_figure():
    def labels(figure):
        return [(axis["xlabel"], axis["ylabel"]) for axis in answer(figure).axes]

    shared = Figure()
    upper, lower = shared.subplots(2, 1, sharex=True)
    lower.set(xlabel="t", ylabel="below")
    assert labels(shared) == [("t", ""), ("t", "below")]
    upper.set(xlabel="own", ylabel="above")
    assert labels(shared) == [("own", "above"), ("t", "below")]
    twins = Figure()
    twins.subplots().set(xlabel="t", ylabel="left")
    twins.axes[0].twinx()
    assert labels(twins) == [("t", "left"), ("t", "")]
    whole = Figure()
    whole.subplots(1, 2)[0].set_ylabel("own")
    assert labels(whole) == [("", "own"), ("", "")]
    whole.supxlabel("t")
    whole.supylabel("error")
    assert labels(whole) == [("t", "own"), ("t", "error")]


def test_figures_arrive_as_numbers_and_texts():
    figure = Figure()
    axis, other = figure.subplots(1, 2)
    axis.semilogx([1, 2], [3, 4], label="a")
    axis.scatter([5], [6], label="b")
    axis.set(xlabel="x", ylabel="y")
    axis.legend()
    axis.plot([1, 2, 3], [1, math.nan, math.inf])
    other.imshow(np.eye(2))
    chart = answer(figure)
    assert isinstance(chart, Chart)
    drawn, second = chart.axes
    assert (drawn["xlabel"], drawn["ylabel"], drawn["xscale"], drawn["yscale"]) == ("x", "y", "log", "linear")
    assert [drawn["lines"][0]["label"], drawn["lines"][2]["label"]] == ["a", "b"]
    assert drawn["lines"][0]["y"].tolist() == [3, 4]
    assert drawn["lines"][1]["x"].tolist() == [1], "what is not finite is not drawn"
    assert drawn["lines"][2]["x"].tolist() == [5]
    assert drawn["legend"] == ["a", "b"]
    assert second["lines"] == []
    with pytest.raises(Hint, match=r"not an object of class Axes\. An axis knows its figure: `axis\.figure`"):
        compare.is_kind(answer(axis), "figure", Chart)
    bare = Figure()
    bare.subplots().plot([1, 2])
    with pytest.raises(Hint, match="without a label"):
        compare.is_kind(answer(bare), "figure", Chart)
    with pytest.raises(Hint, match="empty"):
        compare.is_kind(answer(Figure()), "figure", Chart)


def test_both_axes_need_a_label_where_something_is_drawn():
    def drawn(**labels):
        figure = Figure()
        axis, picture = figure.subplots(1, 2)
        axis.plot([1, 2], [3, 4])
        axis.set(**labels)
        picture.imshow(np.eye(2))  # a picture needs none
        compare.is_kind(answer(figure), "figure", Chart)

    drawn(xlabel="x", ylabel="y")
    for labels in ({}, {"xlabel": "x"}, {"ylabel": "y"}):
        with pytest.raises(Hint, match="without a label"):
            drawn(**labels)


def test_one_axis_must_be_right_and_the_hint_is_about_the_fullest():
    def look(axis):
        if axis["yscale"] != "log":
            raise Hint(f"linear: {len(axis['lines'])} curves")

    figure = Figure()
    figure.subplots(1, 2)[1].plot([1, 2], [3, 4])
    with pytest.raises(Hint, match="linear: 1 curves"):
        compare.any_axis(answer(figure), look)
    figure.axes[0].set_yscale("log")
    compare.any_axis(answer(figure), look)


def test_bands_and_bars_arrive_with_their_corners():
    figure = Figure()
    axis = figure.subplots()
    at, low, high = [1.0, 2, 3], [4.0, 5, 6], [7.0, 8, 9]
    axis.fill_between(at, low, high)
    axis.vlines(at, low, high)
    axis.errorbar(at, low, yerr=[[1, 1, 1], [2, 2, 2]])
    axis.scatter(at, np.ma.masked_greater(low, 5))
    axis.contour(np.eye(3))
    curve, band, bars, errors, dots, contour = answer(figure).axes[0]["lines"]
    assert curve["y"].tolist() == low
    assert set(at) == set(band["x"]) == set(bars["x"]) == set(errors["x"])
    assert {*low, *high} == set(band["y"]) == set(bars["y"])
    assert set(errors["y"]) == {3.0, 4, 5, 6, 7, 8}
    assert dots["y"].tolist() == [4, 5]
    assert contour["x"].shape == contour["y"].shape


# Comparisons ---------------------------------------------------------------------------------------------------------

EYE = np.eye(3)
FUNCTION = Function(None, Reference("function", 1, "f"), "f")


@pytest.mark.parametrize(
    ("compared", "text"),
    [
        (lambda: compare.array(EYE.tolist(), "x", EYE), "must be a numpy array, not a list"),
        (lambda: compare.array(torch.eye(3), "x", EYE), "must be a numpy array, not a tensor"),
        (lambda: compare.array(EYE, "x", torch.eye(3)), "must be a torch tensor, not an array"),
        (lambda: compare.array(answer({1}), "x", EYE), "an object of class set"),
        (lambda: compare.array(EYE[:2], "x", EYE), r"shape \[2, 3\]; expected is \[3, 3\]"),
        (lambda: compare.array(EYE[:2], "x", EYE, shapes={(2, 3): "a row is missing"}), "a row is missing"),
        (lambda: compare.array(3.0, "x", EYE[0]), "must be a list of numbers .* not float"),
        (lambda: compare.array(EYE[:2].T, "x", EYE[:2] + 0), "numbers are right, but it is transposed"),
        (lambda: compare.array(np.diag([1.0, 1, 2]), "x", EYE), r"x: one value is too large\.\n +yours +where\n"),
        (lambda: compare.array(EYE.astype("f4"), "x", EYE, dtype=np.float64), "float32, but they must be float64"),
        (lambda: compare.array([1.0], "x", EYE[0], dtype=np.float64), "must be a numpy array, not a list"),
        (lambda: compare.array(-EYE, "x", EYE, {"the sign": lambda: -EYE}), "the sign"),
        (lambda: compare.array(-EYE, "x", EYE, [("twice", 2 * EYE), ("the sign", torch.tensor(-EYE))]), "the sign"),
        (lambda: compare.array(2 * EYE, "x", EYE, {"the sign": -EYE, "one row": EYE[:1]}), "one common factor"),
        (lambda: compare.array(EYE[:1], "x", EYE, {"the sign": -EYE, "one row": EYE[:1]}), "one row"),
        (lambda: compare.array(1e6 * EYE + 2, "x", 1e6 * EYE), "the same number is added"),
        (lambda: compare.array(np.array(["1", "2"]), "x", np.array([1.0, 2])), "numbers only"),
        (
            lambda: compare.array(EYE[::-1], "x", EYE, calls=["f(1)", "f(2)", "f(3)"]),
            r"wrong: `f\(1\)`\n.*\n +0 0 1 +- \. \+$",
        ),
        (lambda: compare.array(EYE * [1, 1, 2], "x", EYE, calls=["f(9)", "f(8)", "f(7)"]), r"is wrong: `f\(7\)`"),
        (lambda: compare.as_number("3", "n"), "one number, not a text"),
        (lambda: compare.as_number(True, "n"), "one number, not bool"),
        (lambda: compare.as_number(1.5, "n", 0, 1), "one number from 0 to 1, not float"),
        (lambda: compare.as_number(3.0, "n", whole=True), r"a whole number \(int\), not float"),
        (lambda: compare.as_number(np.float32(3), "n", whole=True), r"not a number of type float32\."),
        (lambda: compare.as_number(torch.tensor([3]), "n"), r"not a tensor of type int64 and shape \[1\]"),
        (lambda: compare.as_number(FUNCTION, "n"), "not a function"),
        (lambda: compare.as_number(answer(nn.ReLU()), "n"), "not a network"),
        (lambda: compare.as_number(answer(Figure()), "n"), "not a figure"),
        (lambda: compare.as_array(["3"], "x"), r"numbers only, not \['3'\]"),
        (lambda: compare.as_array([[1], [2, 3]], "x"), "differ in length"),
        (lambda: compare.as_array([None], "x"), "numbers only"),
        (lambda: compare.as_array(answer(Figure()), "x"), "numbers only, not a figure"),
        (lambda: compare.as_array([1, 2], "x", (3,)), r"must be 3 numbers, not \[1, 2\]"),
        (lambda: compare.as_array([1, 2], "x", (-1, -1)), "must be rows of numbers"),
        (lambda: compare.as_array(EYE, "x", (3, 2)), r"must be 3 x 2 numbers \[rows, columns\], not an array"),
        (
            lambda: compare.as_array([1, 2.5], "x", whole=True),
            r"\*whole\* numbers \(int\), not a number of type float64",
        ),
        (lambda: compare.results(answer(lambda k: 1 // k), [(2,), (0,)]), "stops with ZeroDivisionError"),
        (lambda: compare.results(answer(lambda k: math.nan), [(2,)], nan="no image?"), "`answer` gives NaN: no image"),
        (
            lambda: compare.each_call(answer(lambda k: k + 1), [(1,), (5,)], add, {"one": "off by one"}, "x"),
            "off by one",
        ),
        (
            lambda: compare.each_call(answer(lambda k: 1), [(1,), (5,)], add, {}, "x"),
            r"`answer\(5\)` gives 1, which is too small",
        ),
        (lambda: compare.choice("c", "it", "a", {"b": "no"}), "one of 'a', 'b', not 'c'"),
        (lambda: compare.choice("b", "it", "a", {"b": "think again"}), "think again"),
        (lambda: compare.is_kind(3, "f", Function), "must be a function, not int"),
        (lambda: compare.is_kind(3, "Net", Function), "must be a class or function, not int"),
        (lambda: compare.is_kind(answer(nn.ReLU()), "f", Function), "must be a function, not a network"),
        (lambda: compare.is_kind(None, "m", Module), "torch.nn.Module, not None"),
        (lambda: compare.module(FUNCTION, "m"), "Call the class"),
        (lambda: compare.is_kind({}, "figure", Chart), "matplotlib Figure, not a dictionary"),
    ],
)
def test_comparisons_name_what_is_wrong(compared, text):
    with pytest.raises(Hint, match=text):
        compared()


def add(k, mistake):
    return k + (mistake == "one")


RAMP = np.arange(1.0, 13).reshape(3, 4)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (-RAMP, "wrong sign"),
        (3 * RAMP, "one common factor"),
        (RAMP + 2, "same number is added"),
        (RAMP[::-1], "upside down"),
        (RAMP[:, ::-1], "left to right"),
        (RAMP[::-1, ::-1], "180 degrees"),
        (np.roll(RAMP, 1, axis=1), "moved by one column"),
        (np.roll(RAMP, -1, axis=0), "moved by one row"),
        (RAMP * 0 + 5, "all values are the same number"),
        (RAMP.ravel()[[3, 0, 7, 2, 1, 9, 4, 6, 5, 8, 11, 10]].reshape(3, 4), "at other places"),
        (np.pad(RAMP[1:-1, 1:-1], 1), "only the border"),
        (RAMP + np.pad(np.ones((1, 2)), 1), "the border is right"),
        (RAMP + (RAMP == 6), "one value is too large"),
        (RAMP + (RAMP == 6) - (RAMP == 9), "some values are right, others too large or too small"),
        (np.stack([RAMP, RAMP])[:, None][..., 0], None),
    ],
)
def test_differences_are_named_without_the_right_numbers(values, text):
    if text is None:
        right = np.stack([RAMP, RAMP + 1])
        wrong = right + np.array([0.0, 1])[:, None, None] * RAMP**2
        assert differences.pattern(wrong, right, 1e-6) == "only at 1 of axis 0"
    else:
        assert text in differences.pattern(values, RAMP, 1e-6)


@pytest.mark.parametrize(
    ("slip", "text"),
    [
        (np.abs, "lost their sign"),
        (lambda right: np.maximum(right, 0), "below 0 is cut off"),
        (lambda right: 100 * right, "per cent"),
        (lambda right: np.round(right, 2), "behind the point: 2"),
    ],
)
def test_slips_in_the_last_step_are_named(slip, text):
    right = np.random.default_rng(0).normal(size=(3, 4))
    assert text in differences.pattern(slip(right), right, 1e-6)


def test_another_rounding_is_named():
    right = np.arange(0, 240, 20).reshape(3, 4)
    assert "off by more than 1" in differences.pattern(right + (right > 100), right, 1e-6)
    assert "off by more than 1" not in differences.pattern(right + 2 * (right > 100), right, 1e-6)


def test_an_unknown_mistake_is_shown_on_a_small_input():
    def refusal(function):
        given = {"x": np.array([[1.0, 2], [3, 4]]), "by": 2}
        small = (answer(function), lambda x, by: x * by, given)
        with pytest.raises(Hint) as raised:
            compare.array(7 * RAMP**2, "the product", RAMP, small=small)
        return str(raised.value)

    shown = refusal(lambda x, by: x * by + (x == 3))
    assert shown.splitlines()[1:] == ["      x      by    yours    where", "      1 2    2     2 4      . .",
                                      "      3 4          7 8      + ."]  # fmt: skip
    assert "6 8" not in shown
    assert "by hand it is right" in refusal(lambda x, by: x * by)
    assert "shape [2] comes out" in refusal(lambda x, by: x[0])
    assert refusal(lambda x, by: x * math.nan).count("NaN") == 1


def test_no_table_is_larger_than_a_screen():
    assert differences.table({"x": np.zeros((30, 3))}) == differences.table({"x": np.ones(200)}) == ""


def test_one_rule_says_what_numbers_are():
    for one in (3, np.int32(3), np.array(3), torch.tensor(3)):
        assert compare.as_number(one, "n", whole=True) == compare.as_number(one, "n") == 3
    for one in (2.5, np.float32(2.5), np.array(2.5), torch.tensor(2.5)):
        assert compare.as_number(one, "n") == 2.5
    several = ([1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2]), [torch.tensor(1), np.int8(2)])
    for value in several:
        assert compare.as_array(value, "x", (2,), whole=True).tolist() == [1, 2]
        compare.array(value, "x", np.array([1.0, 2]))
        compare.array(value, "x", torch.tensor([1.0, 2]))
    for value in ([[1, 2]], np.array([[1, 2]]), torch.tensor([[1, 2]]), [torch.tensor([1, 2])], (np.array([1, 2]),)):
        assert compare.as_array(value, "x", (1, 2)).tolist() == [[1, 2]]
    assert compare.as_array([], "x", (-1,), whole=True).tolist() == []


def test_comparisons_are_silent_where_all_is_right():
    compare.array(EYE + 1e-9, "x", EYE, {"the same": EYE})
    compare.array(torch.eye(3).double(), "x", torch.eye(3))
    compare.array(EYE, "x", EYE, calls=["f(1)", "f(2)", "f(3)"])
    compare.array(1e6 * EYE + 0.5, "x", 1e6 * EYE)
    compare.choice(" A ", "it", "a", {})
    rows, calls = compare.results(answer(lambda k, by=1: [k, k * by]), [(1,), (2, {"by": 3})], (2,))
    assert (rows.tolist(), calls) == ([[1, 1], [2, 6]], ["answer(1)", "answer(2, by=3)"])


# What a student is told ----------------------------------------------------------------------------------------------


@pytest.fixture
def lab():
    lab = Lab("lab99", "Test")

    @lab.question("Double it", "add it to itself", "or use a product", points=2, truth="twice as much")
    def q1(double: Function, rng):
        x = rng.normal(size=3)
        compare.array(double(x), "the result", 2 * x)

    @lab.question("Two numbers", points=1)
    def q2(a, b):
        compare.array([a, b], "`a` and `b`", np.array([1, 2]))

    @lab.question("A check that is broken", points=1)
    def q3(a):
        raise KeyError("oops")

    lab.written("q4", "Explain", points=3)
    return lab


RIGHT = "q1  right\n    your guess: none    what it is: twice as much\n"


def test_hints_come_in_steps(lab, capsys):
    for name in ("q1", 1, "Q1"):
        lab.hint(name)
    for name in ("q2", "q9", []):
        lab.hint(name)
    shown = capsys.readouterr().out.splitlines()
    last = "q1  hint 2 of 2: or use a product"
    assert shown[:3] == ["q1  hint 1 of 2: add it to itself", last, last]
    assert [line.startswith("There is no hint") for line in shown[3:]] == [True] * 3


@pytest.mark.parametrize(
    ("guess", "kept"),
    [
        *[
            (3, 3),
            (0, 0),
            (" Twice ", "Twice"),
            ("x" * 99, "x" * 40),
            ([1.5, 2], [1.5, 2.0]),
            (np.array([1, 2]), [1, 2]),
        ],
        *[(torch.tensor(2), 2), (..., None), (None, None), ("", None), ([[1]], None), ([1, [2]], None), ({}, None)],
        *[(print, None), (math.nan, None), (list(range(50)), None), ([], None)],
    ],
    ids=repr,
)
def test_guesses_are_read_and_never_graded(lab, capsys, guess, kept):
    found = lab.guesses(AnswerServer({"guess_q1": guess, "guess_q2": 5}).serve)
    assert found == ({} if kept is None else {"q1": kept})
    lab.check("q1", {"double": lambda x: 2 * x, "guess_q1": guess})
    shown = capsys.readouterr().out
    assert shown.startswith("q1  right\n")
    assert f"your guess: {'none' if kept is None else kept}    what it is: twice as much" in shown


def test_instant_checks_say_what_there_is_to_say(lab, capsys):
    def said(name, **namespace):
        lab.check(name, namespace)
        return capsys.readouterr().out

    assert said("q1", double=lambda x: 2 * x) == RIGHT
    assert said("q1", double=lambda x: x).startswith(
        "q1  not yet: the result: all values are right but for one common factor."
    )
    assert said("q1", double=3) == "q1  not yet: `double` must be a function, not int.\n"
    assert said("Q1", double=lambda x: 2 * x) == said(1, double=lambda x: 2 * x) == RIGHT
    assert said("q1").startswith("q1  not answered yet: there is no `double`")
    assert said("q1", double=lambda x: np.array([1.0, 2, 3])).startswith("q1  not yet")
    assert said("q2", a=1, b=...).startswith("q2  not answered yet")
    assert "tell your teacher" in said("q3", a=1)
    assert "your teacher reads" in said("q4")
    assert "no question 'q9'" in said("q9")
    assert "no question []" in said([])


def test_instant_checks_look_into_the_notebook_that_calls_them(lab, capsys):
    exec("lab.check('q2')", {"lab": lab, "a": 1, "b": 2})
    exec("shown = lab.done('q2')", notebook := {"lab": lab, "a": 1, "b": 3})
    assert [lab.done(name, {"a": 1, "b": 2}) for name in (2, "Q2", "q4", "q9")] == [True, True, False, False]
    exec("lab.progress()", {"lab": lab, "a": 1, "b": 2})
    shown = capsys.readouterr().out
    assert "q2  right" in shown
    assert notebook["shown"] is False
    assert "as soon as q2 is right" in shown
    assert "1 of 4 points, and 3 for what your teacher reads" in shown


def draw():
    return np.random.rand(), random.random(), torch.rand(1).item()  # noqa: NPY002 -- what students' code may use


def seed_all(seed):
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    torch.manual_seed(seed)


def test_a_check_leaves_random_numbers_and_settings_alone(lab):
    def double(x):
        seed_all(0)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return 2 * x

    seed_all(5)
    expected = draw()
    seed_all(5)
    lab.check("q1", {"double": double})
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert draw() == expected


def test_otters_form_raises_the_hint(lab):
    lab.test("q1", {"double": lambda x: 2 * x})
    lab.test("q1", {"double": lambda x: 2 * x}, hidden=True)
    with pytest.raises(Hint, match="no `double`"):
        lab.test("q1", {})
    seen = []
    with pytest.raises(Hint, match="the result: "):
        lab.test("q1", {"double": lambda x: seen.append(x.copy()) or x})
    public = seen.pop()

    def learned_by_heart(x):
        return 2 * public

    lab.test("q1", {"double": learned_by_heart})
    with pytest.raises(Hint, match="the result: "):
        lab.test("q1", {"double": learned_by_heart}, hidden=True)


@pytest.mark.parametrize("name", ["q9", "", None, ["q1"], 9])
def test_a_question_that_does_not_exist_is_refused_with_those_that_do(lab, name):
    for ask in (
        lambda: lab.judge(name, AnswerServer({}).serve),
        lambda: lab.test(name, {}),
        lambda: lab.test(name, {}, hidden=True),
    ):
        with pytest.raises(ValueError, match=r"lab99: there is no question .*\. These are checked: q1, q2, q3\."):
            ask()


def test_a_question_that_a_person_marks_has_no_verdict(lab):
    for ask in (lambda: lab.judge("q4", AnswerServer({}).serve), lambda: lab.test("q4", {})):
        with pytest.raises(ValueError, match=r"a person marks 'q4'\. These are checked: q1"):
            ask()


def test_two_questions_of_one_name_are_refused(lab):
    with pytest.raises(ValueError, match="two questions 'q4'"):
        lab.written("q4", "Again", points=1)
