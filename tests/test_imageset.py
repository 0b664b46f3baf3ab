"""The type that all data sets share: what it gives, what it refuses, and that nothing changes it."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, Subset

from coursekit.data.imageset import ImageSet, Splits


def pictures(number, channels=3, height=4, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (number, channels, height, width), generator=generator, dtype=torch.uint8)


def animals(number=10, **options):
    labels = torch.arange(number) % 2
    return ImageSet(pictures(number), labels, ("cat", "dog"), [f"{i}.jpg" for i in range(number)], **options)


def test_an_item_is_a_float_picture_and_an_int():
    dataset = animals()
    for index in (3, -7, np.int64(3), torch.tensor(3), np.array(3)):
        image, label = dataset[index]
        assert image.dtype == torch.float32
        assert torch.equal(image, dataset.images[3] / 255)
        assert label == 1
        assert type(label) is int
    assert len(list(dataset)) == 10


SEVERAL = {
    # three of them each time, for three could be taken for an index along three axes
    "list": [3, 1, -1],
    "tuple": (3, 1, 9),
    "tensor": torch.tensor([3, 1, 9]),
    "list of tensors": [torch.tensor(3), torch.tensor(1), torch.tensor(9)],
    "array": np.array([3, 1, 9]),
    "small array": np.array([3, 1, 9], np.uint8),
    "list of numpy's numbers": [np.int64(3), np.int64(1), np.int64(9)],
    "iterator": iter([3, 1, 9]),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_indices_are_a_batch(kind):
    dataset = animals(transform=torch.neg)
    indices = SEVERAL[kind]
    images, labels = dataset[indices if kind != "iterator" else iter([3, 1, 9])]
    assert torch.equal(images, -dataset.images[[3, 1, 9]].float() / 255)
    assert labels.tolist() == [1, 1, 1]
    part = dataset.subset(indices)
    assert part.names == ("3.jpg", "1.jpg", "9.jpg")
    assert torch.equal(part.images, dataset.images[[3, 1, 9]])
    assert torch.equal(part.labels, labels)
    assert part.classes == dataset.classes
    assert part.transform is torch.neg


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        (slice(None, None, 4), [0, 4, 8]),
        (slice(7, 99), [7, 8, 9]),
        (range(2, 5), [2, 3, 4]),
        (torch.arange(10) > 6, [7, 8, 9]),
        (np.arange(10) > 6, [7, 8, 9]),
        ([i > 6 for i in range(10)], [7, 8, 9]),
        (torch.tensor([4]), [4]),
        ([], []),
    ],
)
def test_slices_masks_and_none(indices, expected):
    dataset = animals()
    images, labels = dataset[indices]
    assert torch.equal(images, dataset.images[expected] / 255)
    assert labels.dtype == torch.int64
    assert dataset.subset(indices).names == tuple(f"{i}.jpg" for i in expected)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (10, IndexError),
        (-11, IndexError),
        ([0, 10], IndexError),
        (1.0, TypeError),
        ([0.5], TypeError),
        (True, TypeError),
        ([[0, 1]], TypeError),
        (torch.tensor([True, False]), TypeError),
        (None, (TypeError, RuntimeError)),
        ((slice(2), 1), (TypeError, RuntimeError)),
    ],
)
def test_no_such_index(index, error):
    with pytest.raises(error):
        animals()[index]
    with pytest.raises(error):
        animals().subset(index)


@pytest.mark.parametrize("number", [3, 7])
@pytest.mark.parametrize("kind", [lambda order: order, lambda order: order.tolist(), lambda order: order.numpy()])
def test_torchs_loader_takes_a_subset_at_random(kind, number):
    dataset = animals()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))[:number]
    subset = Subset(dataset, kind(order))
    batches = list(DataLoader(subset, batch_size=3))
    assert torch.equal(torch.cat([images for images, _ in batches]), dataset.images[order] / 255)
    assert torch.equal(torch.cat([labels for _, labels in batches]), dataset.labels[order])
    assert torch.equal(subset[[0, 1, 2]][1], dataset.labels[order[:3]])


def test_torchs_loader_takes_whole_batches():
    batches = DataLoader(animals(), batch_size=None, sampler=BatchSampler(SequentialSampler(range(10)), 4, False))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]


@pytest.mark.parametrize("transform", [None, lambda image: image.flip(-1)])
def test_the_batches_of_torchs_loader_hold_what_single_images_are(transform):
    dataset = animals().with_transform(transform)
    images, labels = next(iter(DataLoader(dataset, batch_size=3, sampler=[4, 1, 7])))
    singles = [dataset[index] for index in (4, 1, 7)]
    assert torch.equal(images, torch.stack([image for image, _ in singles]))
    assert labels.tolist() == [label for _, label in singles]


def test_properties():
    dataset = animals()
    assert len(dataset) == 10
    assert (dataset.channels, dataset.size) == (3, (4, 5))
    assert dataset.counts() == {"cat": 5, "dog": 5}
    assert ImageSet(pictures(2), torch.tensor([0, 0]), ["a", "b"]).names == ("0", "1")
    assert ImageSet(pictures(2), torch.tensor([0, 0]), ["a", "b"]).counts() == {"a": 2, "b": 0}


def test_repr():
    assert repr(animals()) == "ImageSet: 10 images 3x4x5, 0.0 MB; 2 classes: cat 5, dog 5"
    assert "with a transform" in repr(animals(transform=torch.neg))
    many = ImageSet(pictures(2000), torch.arange(2000) % 11, [f"c{i}" for i in range(11)])
    assert repr(many).endswith("11 classes: c0 182, c1 182, c2 182, c3 182, c4 182, c5 182, c6 182, c7 182, c8 182, …")


def test_transform_sees_floats_and_leaves_the_pictures_alone():
    dataset = animals()
    before = dataset.images.clone()
    other = dataset.with_transform(lambda image: image.mul_(0))
    assert other[0][0].abs().sum() == other[[0, 1]][0].abs().sum() == 0
    assert torch.equal(dataset.images, before)
    assert dataset.transform is None
    assert torch.equal(other.with_transform(None)[0][0], dataset[0][0])


def test_split_is_stratified_and_complete():
    labels = torch.tensor([0] * 40 + [1] * 7 + [2] * 2)
    dataset = ImageSet(pictures(49), labels, list("abcd"))
    for fraction in (0.01, 0.3, 0.5, 0.99):
        first, second = dataset.split(fraction, seed=1)
        assert sorted([*map(int, first.names), *map(int, second.names)]) == list(range(49))
        for name in "abc":
            assert 1 <= first.counts()[name] < dataset.counts()[name]
            assert abs(first.counts()[name] - fraction * dataset.counts()[name]) <= 1
        assert dataset.split(fraction, seed=1)[0].names == first.names
    assert dataset.split(0.5, seed=2)[0].names != dataset.split(0.5, seed=1)[0].names


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan"), 80])
def test_split_needs_a_share(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        animals().split(fraction)


def test_split_needs_two_of_each():
    dataset = ImageSet(pictures(3), torch.tensor([0, 0, 1]), ("cat", "dog"))
    with pytest.raises(ValueError, match="class 'dog' has only one image"):
        dataset.split(0.5)


def test_copies_and_pickles():
    for other in (copy.deepcopy(animals()), pickle.loads(pickle.dumps(animals()))):
        assert repr(other) == repr(animals())
        assert torch.equal(other.images, animals().images)


GOOD = {"images": pictures(3), "labels": torch.tensor([0, 1, 0]), "classes": ("cat", "dog")}
BAD = [
    ("images", pictures(3).float(), TypeError, "uint8.*got torch.float32"),
    ("images", pictures(3).numpy(), TypeError, "got ndarray"),
    ("images", pictures(3)[0], ValueError, r"\[N, C, H, W\].*got \[3, 4, 5\]"),
    ("images", pictures(3).permute(0, 2, 3, 1), ValueError, "permute"),
    ("images", pictures(4), ValueError, r"shape \[4\], one for each image, got \[3\]"),
    ("labels", [0, 1, 0], TypeError, "got list"),
    ("labels", torch.tensor([0.0, 1.0, 0.0]), TypeError, "got torch.float32"),
    ("labels", torch.tensor([[0], [1], [0]]), ValueError, "one for each image"),
    ("labels", torch.tensor([0, 1, 2]), ValueError, "from 0 to 2; with 2 classes they are 0 to 1"),
    ("labels", torch.tensor([0, 1, -1]), ValueError, "from -1 to 1"),
    ("classes", (), ValueError, "one or more different names"),
    ("classes", ("cat", "cat"), ValueError, "different names"),
    ("classes", "cat", TypeError, "list of texts"),
    ("names", ["a", "b"], ValueError, "2 names for 3 images"),
]


@pytest.mark.parametrize(("argument", "value", "error", "words"), BAD)
def test_what_does_not_fit_is_refused(argument, value, error, words):
    with pytest.raises(error, match=words):
        ImageSet(**{**GOOD, argument: value})


def test_splits():
    train, test = animals().split(0.6)
    splits = Splits(train, test, "animals", "drawn here")
    assert splits.classes == ("cat", "dog")
    assert repr(splits).splitlines() == ["animals (drawn here)", f"  train: {train!r}", f"  test:  {test!r}"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        splits.train = test


def test_splits_that_do_not_belong_together():
    train = animals()
    with pytest.raises(ValueError, match="same label would mean different things"):
        Splits(train, ImageSet(train.images, train.labels, ("dog", "cat")), "x", "y")
    with pytest.raises(ValueError, match="read both at one size"):
        Splits(train, ImageSet(train.images[:, :, :2], train.labels, train.classes), "x", "y")


def test_a_class_of_ones_own_is_asked_for_each_image():
    class Dark(ImageSet):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image * 0, label

    dark = Dark(torch.full((4, 1, 2, 2), 255, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), ["a"])
    (images, _), *_ = torch.utils.data.DataLoader(dark, 4)
    assert images.max() == 0


def test_a_seed_may_come_from_numpy():
    ims = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.arange(8) % 2, ["a", "b"])
    assert ims.split(0.5, np.int64(3))[0].names == ims.split(0.5, 3)[0].names
