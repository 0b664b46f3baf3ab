"""The type that all data sets share: what it gives, what it refuses, and that nothing changes it."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from coursekit.data.imagesets import ImageSet, Splits, overlap


def pictures(number, channels=3, height=4, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (number, channels, height, width), generator=generator, dtype=torch.uint8)


def animals(number=10, **options):
    labels = torch.arange(number) % 2
    return ImageSet(pictures(number), labels, ("cat", "dog"), [f"{i}.jpg" for i in range(number)], **options)


def test_an_item_is_a_float_picture_and_an_int():
    dataset = animals()
    image, label = dataset[3]
    assert image.dtype == torch.float32
    assert image.shape == (3, 4, 5)
    assert torch.equal(image, dataset.images[3] / 255)
    assert label == 1
    assert type(label) is int
    assert torch.equal(dataset[-1][0], dataset[9][0])
    assert torch.equal(dataset[np.int64(3)][0], image)


def test_the_values_span_zero_to_one():
    images = torch.stack([torch.zeros(1, 2, 2), torch.full((1, 2, 2), 255)]).to(torch.uint8)
    dataset = ImageSet(images, torch.tensor([0, 1]), ["black", "white"])
    assert dataset[0][0].max() == 0
    assert dataset[1][0].min() == 1


def test_properties():
    dataset = animals()
    assert len(dataset) == len(list(dataset)) == 10
    assert dataset.classes == ("cat", "dog")
    assert dataset.names[2] == "2.jpg"
    assert dataset.channels == 3
    assert dataset.size == (4, 5)
    assert dataset.counts() == {"cat": 5, "dog": 5}
    assert ImageSet(pictures(2), torch.tensor([0, 0]), ["a", "b"]).names == ("0", "1")
    assert ImageSet(pictures(2), torch.tensor([0, 0]), ["a", "b"]).counts() == {"a": 2, "b": 0}


def test_repr():
    assert repr(animals()) == "ImageSet: 10 images 3x4x5, 0.0 MB; 2 classes: cat 5, dog 5"
    assert "with a transform" in repr(animals(transform=torch.neg))
    many = ImageSet(pictures(2000), torch.arange(2000) % 11, [f"c{i}" for i in range(11)])
    assert repr(many) == (
        "ImageSet: 2,000 images 3x4x5, 0.1 MB; 11 classes: "
        "c0 182, c1 182, c2 182, c3 182, c4 182, c5 182, c6 182, c7 182, c8 182, …"
    )


@pytest.mark.parametrize("index", [10, -11])
def test_no_such_item(index):
    with pytest.raises(IndexError):
        animals()[index]


@pytest.mark.parametrize("index", [slice(2), [1, 2], True])
def test_an_item_is_one_item(index):
    with pytest.raises(TypeError, match="one whole number"):
        animals()[index]


def test_transform_sees_floats_and_leaves_the_pictures_alone():
    dataset = animals()
    before = dataset.images.clone()
    seen = []

    def spoil(image):
        seen.append((image.dtype, float(image.max()) <= 1))
        return image.mul_(0)

    other = dataset.with_transform(spoil)
    assert other[0][0].abs().sum() == 0
    assert seen == [(torch.float32, True)]
    assert torch.equal(dataset.images, before)
    assert dataset.transform is None
    assert other.images is dataset.images
    assert torch.equal(other.with_transform(None)[0][0], dataset[0][0])
    with pytest.raises(TypeError, match="transform must be a function"):
        dataset.with_transform("flip")
    with pytest.raises(TypeError, match="transform must be a function"):
        animals(transform=3)


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([3, 1, 1, -1], [3, 1, 1, 9]),
        (range(2, 5), [2, 3, 4]),
        (slice(None, None, 4), [0, 4, 8]),
        (slice(8, 99), [8, 9]),
        (torch.tensor([2, 0]), [2, 0]),
        (np.array([2, 0]), [2, 0]),
        (torch.arange(10) > 7, [8, 9]),
        ((i for i in (5, 6)), [5, 6]),
        ([], []),
    ],
)
def test_subset(indices, expected):
    dataset = animals(transform=torch.neg)
    part = dataset.subset(indices)
    assert part.names == tuple(f"{i}.jpg" for i in expected)
    assert torch.equal(part.images, dataset.images[expected])
    assert torch.equal(part.labels, dataset.labels[expected])
    assert part.classes == dataset.classes
    assert part.transform is torch.neg
    assert len(dataset) == 10


@pytest.mark.parametrize(
    ("indices", "error"),
    [
        ([10], IndexError),
        ([-11], IndexError),
        ([0.5], TypeError),
        ([[0, 1]], TypeError),
        (torch.tensor([True, False]), IndexError),
        (3, TypeError),
    ],
)
def test_no_such_subset(indices, error):
    with pytest.raises(error):
        animals().subset(indices)


@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_split_is_stratified_and_complete(labels, fraction, seed):
    labels = torch.tensor([*labels, 0, 0, 1, 1, 2, 2, 3, 3])
    dataset = ImageSet(pictures(len(labels)), labels, list("abcd"))
    first, second = dataset.split(fraction, seed)
    assert sorted([*map(int, first.names), *map(int, second.names)]) == list(range(len(labels)))
    assert list(map(int, first.names)) == sorted(map(int, first.names))
    for name, count in dataset.counts().items():
        assert 1 <= first.counts()[name] < count
        assert abs(first.counts()[name] - fraction * count) <= 1
    again, _ = dataset.split(fraction, seed)
    assert again.names == first.names


def test_split_differs_by_seed_and_skips_empty_classes():
    dataset = ImageSet(pictures(100), torch.zeros(100, dtype=torch.int64), ("all", "none"))
    first, second = dataset.split(0.7, seed=1)
    assert (len(first), len(second)) == (70, 30)
    assert first.names != dataset.split(0.7, seed=2)[0].names
    assert sum(int(name) < 50 for name in first.names) < 45  # shuffled, not cut


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, float("nan"), 80])
def test_split_needs_a_share(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        animals().split(fraction)


def test_split_needs_two_of_each():
    dataset = ImageSet(pictures(3), torch.tensor([0, 0, 1]), ("cat", "dog"))
    with pytest.raises(ValueError, match="class 'dog' has only one image"):
        dataset.split(0.5)


def test_a_loader_takes_it():
    images, labels = next(iter(DataLoader(animals(), batch_size=4)))
    assert images.shape == (4, 3, 4, 5)
    assert labels.tolist() == [0, 1, 0, 1]
    assert labels.dtype == torch.int64


def test_copies_and_pickles():
    for other in (copy.deepcopy(animals()), pickle.loads(pickle.dumps(animals()))):
        assert repr(other) == repr(animals())
        assert torch.equal(other.images, animals().images)


GOOD = {"images": pictures(3), "labels": torch.tensor([0, 1, 0]), "classes": ("cat", "dog")}
BAD = [
    ("images", pictures(3).float(), TypeError, "uint8.*got torch.float32"),
    ("images", pictures(3).numpy(), TypeError, "got ndarray"),
    ("images", None, TypeError, "got NoneType"),
    ("images", pictures(3).to("meta"), TypeError, "on meta"),
    ("images", pictures(3)[0], ValueError, r"\[N, C, H, W\].*got \[3, 4, 5\]"),
    ("images", pictures(3).permute(0, 2, 3, 1), ValueError, "permute"),
    ("images", pictures(3)[:, :, :0], ValueError, "got"),
    ("images", pictures(4), ValueError, r"shape \[4\], one for each image, got \[3\]"),
    ("labels", [0, 1, 0], TypeError, "got list"),
    ("labels", torch.tensor([0.0, 1.0, 0.0]), TypeError, "got torch.float32"),
    ("labels", torch.tensor([0, 1, 0], dtype=torch.int32), TypeError, "got torch.int32"),
    ("labels", torch.tensor([0, 1]), ValueError, "one for each image"),
    ("labels", torch.tensor([[0], [1], [0]]), ValueError, "one for each image"),
    ("labels", torch.tensor([0, 1, 2]), ValueError, "from 0 to 2; with 2 classes they are 0 to 1"),
    ("labels", torch.tensor([0, 1, -1]), ValueError, "from -1 to 1"),
    ("classes", (), ValueError, "one or more different names"),
    ("classes", ("cat", "cat"), ValueError, "different names"),
    ("classes", "cat", TypeError, "list of texts"),
    ("classes", (0, 1), TypeError, "list of texts"),
    ("names", ["a", "b"], ValueError, "2 names for 3 images"),
    ("names", [1, 2, 3], TypeError, "names must be a list of texts"),
    ("names", "abc", TypeError, "names must be a list of texts"),
]


@pytest.mark.parametrize(("argument", "value", "error", "words"), BAD)
def test_what_does_not_fit_is_refused(argument, value, error, words):
    with pytest.raises(error, match=words):
        ImageSet(**{**GOOD, argument: value})


def test_an_empty_set_is_a_set():
    empty = ImageSet(pictures(0), torch.zeros(0, dtype=torch.int64), ("cat", "dog"))
    assert len(empty) == 0
    assert empty.counts() == {"cat": 0, "dog": 0}
    assert "0 images" in repr(empty)


def test_splits():
    train, test = animals().split(0.6)
    splits = Splits(train, test, "animals", "drawn here")
    assert splits.classes == ("cat", "dog")
    assert repr(splits).splitlines() == ["animals (drawn here)", f"  train: {train!r}", f"  test:  {test!r}"]
    assert Splits(train, test, "animals", "here", ("cat", "dog")).classes == ("cat", "dog")
    with pytest.raises(dataclasses.FrozenInstanceError):
        splits.train = test


def test_splits_that_do_not_belong_together():
    train = animals()
    other = ImageSet(train.images, train.labels, ("dog", "cat"))
    small = ImageSet(train.images[:, :, :2], train.labels, train.classes)
    with pytest.raises(ValueError, match="same label would mean different things"):
        Splits(train, other, "x", "y")
    with pytest.raises(ValueError, match="'fish'"):
        Splits(train, train, "x", "y", ("cat", "fish"))
    with pytest.raises(ValueError, match="read both at one size"):
        Splits(train, small, "x", "y")
    with pytest.raises(TypeError, match="must be ImageSets, got tuple"):
        Splits(train, (train.images, train.labels), "x", "y")


def test_overlap_finds_the_same_pixels_under_other_names():
    train = animals()
    test = ImageSet(
        torch.cat([pictures(2, seed=1), train.images[[3, 7, 3]]]),
        torch.tensor([0, 1, 1, 1, 0]),
        ("cat", "dog"),
        list("abcde"),
    )
    assert overlap(train, test) == [("3.jpg", "c"), ("7.jpg", "d"), ("3.jpg", "e")]
    assert overlap(test, train) == [("c", "3.jpg"), ("e", "3.jpg"), ("d", "7.jpg")]
    assert overlap(*train.split(0.5)) == []
    changed = train.images.clone()
    changed[:, 0, 0, 0] ^= 1
    assert overlap(train, ImageSet(changed, train.labels, train.classes)) == []
    with pytest.raises(ValueError, match="at one size"):
        overlap(train, ImageSet(train.images[:, :1], train.labels, train.classes))


@pytest.mark.parametrize(
    "make", [lambda images: images, lambda images: images.transpose(2, 3).contiguous().transpose(2, 3)]
)
def test_overlap_does_not_depend_on_the_memory_layout(make):
    train = animals()
    other = ImageSet(make(train.images), train.labels, train.classes)
    assert len(overlap(train, other)) == 10


@pytest.mark.parametrize("index", [None, 1.0, "a", (1,), object(), [[1.0]], torch.ones(1, dtype=torch.long)])
def test_an_index_is_a_whole_number(index):
    with pytest.raises(TypeError, match="one whole number"):
        animals()[index]


def test_other_whole_numbers_are_indices():
    for index in (np.int64(3), torch.tensor(3), -7):
        assert torch.equal(animals()[index][0], animals()[3][0])
    with pytest.raises(IndexError):
        animals()[10]


@pytest.mark.parametrize("other", [None, [], torch.ones(2), "pets"])
def test_overlap_needs_sets(other):
    for pair in ((animals(), other), (other, animals())):
        with pytest.raises(TypeError, match="must be an ImageSet"):
            overlap(*pair)


def test_arrays_of_indices():
    assert animals().subset(np.array([3, 0])).names == animals().subset([3, 0]).names
    with pytest.raises(TypeError, match="indices must be"):
        animals().subset(np.ones((1, 1), complex))
    with pytest.raises(TypeError, match="fraction must be a number"):
        animals().split("half")
