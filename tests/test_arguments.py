"""Checks that many modules make of their arguments."""

import numpy as np
import pytest
import torch
from torch import nn

from coursekit import arguments


@pytest.mark.parametrize("value", [None, 1.5, "a", [1.0], np.ones(2)], ids=lambda value: type(value).__name__)
def test_what_is_neither_tensor_nor_network(value):
    wanted = r"x must be a tensor \[N, C\], not \w+\. From an array or list: torch\.as_tensor\(x\)"
    with pytest.raises(TypeError, match=wanted):
        arguments.tensor("x", value, "[N, C]")
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, not \w+\.$"):
        arguments.module(value)


def test_what_is_right_comes_back():
    x, counts, layer = torch.ones(2), torch.tensor([1, 2]), nn.Linear(1, 1)
    assert arguments.tensor("x", x, "[N]", floats=True) is x
    assert arguments.tensor("x", counts, "[N]") is counts
    assert arguments.module(layer) is layer


def test_a_class_is_no_network():
    with pytest.raises(TypeError, match=r"body must be a torch.nn.Module, not type. Make one of the class first"):
        arguments.module(nn.Linear, "body")


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_tensors_that_must_be_floats(dtype):
    with pytest.raises(TypeError, match=r"x must be a float tensor \[N\], not one of torch\.\w+\. Take x\.float\(\)"):
        arguments.tensor("x", torch.ones(2, dtype=dtype), "[N]", floats=True)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers(value):
    assert type(arguments.whole("n", value, 3, 3)) is int
    with pytest.raises(ValueError, match=r"n must be at least 4, not 3\."):
        arguments.whole("n", value, 4)
    with pytest.raises(ValueError, match=r"n must be at most 2, not 3\."):
        arguments.whole("n", value, most=2)


def test_whole_numbers_are_counts_if_nothing_else_is_said():
    assert arguments.whole("n", 1) == 1
    with pytest.raises(ValueError, match=r"n must be at least 1, not 0\."):
        arguments.whole("n", 0)


@pytest.mark.parametrize("value", [True, 3.0, np.float32(3), "3", None, [3], torch.tensor(3)])
def test_what_is_no_whole_number(value):
    with pytest.raises(TypeError, match="n must be a whole number, not"):
        arguments.whole("n", value)


@pytest.mark.parametrize("values", [["a", "b"], ("a", "b"), np.array(["a", "b"]), {"a": 1, "b": 2}])
def test_texts_in_their_order(values):
    assert arguments.texts("names", values) == ("a", "b")


@pytest.mark.parametrize("values", [None, "ab", {"a", "b"}, ["a", 1], 3])
def test_what_are_no_texts(values):
    with pytest.raises(TypeError, match="names must be a list of texts, not"):
        arguments.texts("names", values)


def test_read_only_arrays_become_tensors_of_their_own():
    array = np.arange(3.0)
    array.flags.writeable = False
    tensor = arguments.as_tensor(array)
    tensor[0] = 5
    assert array[0] == 0
    assert arguments.as_tensor(tensor) is tensor
    assert arguments.as_tensor([1, 2]).tolist() == [1, 2]
