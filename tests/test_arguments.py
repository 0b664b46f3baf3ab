"""Is an argument what it should be? The ground floor of all checks."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from coursekit import arguments

OBJECTS = [None, 1, 1.5, "a", b"a", [1], (1, 2), {}, {"a": 1}, object(), int, len, np.ones(2), range(3)]


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_objects_that_are_neither_tensors_nor_modules(value):
    with pytest.raises(
        TypeError, match=r"x must be a tensor \[N, C\], not \w+\. From an array or list: torch\.as_tens"
    ):
        arguments.tensor("x", value, "[N, C]")
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, not \w+\."):
        arguments.module(value)


def test_what_is_right_comes_back():
    x, counts, layer, table = torch.ones(2), torch.tensor([1, 2]), nn.Linear(1, 1), OrderedDict(a=1)
    assert arguments.tensor("x", x, "[N]") is x
    assert arguments.tensor("x", counts, "[N]") is counts
    assert arguments.tensor("x", x, "[N]", floats=True) is x
    assert arguments.module(layer) is layer
    assert arguments.mapping("ys", table, "{}") is table
    assert arguments.of_type("x", True, int, "a number") is True


def test_a_class_is_no_network():
    with pytest.raises(TypeError, match=r"body must be a torch.nn.Module, not type. Make one of the class first"):
        arguments.module(nn.Linear, "body")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (torch.ones(2, dtype=torch.complex64), "of complex numbers"),
        (torch.ones(2, device="meta"), "without values"),
        (torch.ones(2, 2).to_sparse(), "that is sparse"),
    ],
)
def test_tensors_with_which_little_works(value, kind):
    with pytest.raises(TypeError, match=rf"x must be a plain tensor \[N\] of real numbers, not one {kind}"):
        arguments.tensor("x", value, "[N]")


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_tensors_that_must_be_floats(dtype):
    with pytest.raises(TypeError, match=r"x must be a float tensor \[N\], not one of torch\.\w+\. Take x\.float\(\)"):
        arguments.tensor("x", torch.ones(2, dtype=dtype), "[N]", floats=True)


@pytest.mark.parametrize("value", [None, [], "ab", [("a", 1)]])
def test_what_is_no_mapping(value):
    with pytest.raises(TypeError, match=r"ys must be a mapping such as {'a': 1}, not "):
        arguments.mapping("ys", value, "{'a': 1}")


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), 10**30])
def test_whole_numbers(value):
    assert arguments.is_whole(value)
    assert arguments.is_whole(value, 3)
    assert not arguments.is_whole(value, value + 1)
    assert type(arguments.whole("n", value, 3)) is int
    with pytest.raises(ValueError, match=f"n must be at least {value + 1}, not {value}"):
        arguments.whole("n", value, value + 1)


def test_whole_numbers_are_counts_if_nothing_else_is_said():
    assert arguments.whole("n", 1) == 1
    with pytest.raises(ValueError, match=r"n must be at least 1, not 0\."):
        arguments.whole("n", 0)


def test_whole_numbers_up_to():
    assert arguments.whole("n", 4, most=4) == 4
    with pytest.raises(ValueError, match=r"n must be at most 4,000, not 4001\."):
        arguments.whole("n", 4001, most=4000)


@pytest.mark.parametrize("value", [True, 3.0, np.float32(3), "3", None, [3], np.array([3]), torch.tensor(3), np.True_])
def test_what_is_no_whole_number(value):
    assert not arguments.is_whole(value)
    with pytest.raises(TypeError, match="n must be a whole number, not"):
        arguments.whole("n", value)


@pytest.mark.parametrize("value", [1, 1.5, np.float32(1.5), np.int8(1), math.inf, math.nan])
def test_numbers(value):
    assert arguments.real("x", value) == value or math.isnan(value)
    if math.isfinite(value):
        assert arguments.finite("x", value) == value
    else:
        with pytest.raises(ValueError, match="x must be a finite number, not"):
            arguments.finite("x", value)


def test_numbers_too_large_for_a_float():
    assert arguments.real("x", -(10**999)) == -math.inf
    with pytest.raises(ValueError, match=r"x must be a finite number, not 10{79}\.$"):
        arguments.finite("x", 10**999)


@pytest.mark.parametrize("value", [True, "1", None, 1j, [1.0], np.ones(1), torch.tensor(1.0)])
def test_what_is_no_number(value):
    with pytest.raises(TypeError, match="x must be a number, not"):
        arguments.real("x", value)


@pytest.mark.parametrize("values", [["a", "b"], ("a", "b"), iter(["a", "b"]), np.array(["a", "b"]), {"a": 1, "b": 2}])
def test_texts_in_their_order(values):
    assert arguments.texts("names", values) == ("a", "b")


@pytest.mark.parametrize("values", [None, "ab", b"ab", {"a", "b"}, frozenset("ab"), ["a", 1], [None], 3, ["a", b"b"]])
def test_what_are_no_texts(values):
    with pytest.raises(TypeError, match="names must be a list of texts, not"):
        arguments.texts("names", values)


def test_arrays_for_reading_become_tensors_without_a_warning():
    array = np.arange(3.0)
    array.flags.writeable = False
    tensor = arguments.as_tensor(array)
    tensor[0] = 5
    assert array[0] == 0
    assert arguments.as_tensor(tensor) is tensor
    assert arguments.as_tensor([1, 2]).tolist() == [1, 2]
