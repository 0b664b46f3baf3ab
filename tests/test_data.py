"""The doors of `data`: what the mini profile has, your own folder, and the choice by profile."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

from coursekit import critters, data, runtime
from coursekit.data import bundled
from coursekit.data.downloads import DownloadError
from coursekit.data.folders import FolderError

OFFLINE = [data.digits, data.critters, data.photo_crops]


@pytest.fixture
def profile(monkeypatch):
    """Set the profile by the environment, as a terminal would."""
    monkeypatch.setattr(runtime, "_current", None)
    return lambda name: monkeypatch.setenv("COURSEKIT_PROFILE", name)


@pytest.fixture
def recorded(monkeypatch):
    """Replace the functions behind `load` by ones that only say who was called, and with what."""

    def stand_in(name):
        def called(**options):
            return name, options

        called.__name__ = name
        return called

    tasks = {task: tuple(stand_in(f.__name__) for f in functions) for task, functions in bundled._TASKS.items()}
    monkeypatch.setattr(bundled, "_TASKS", tasks)


def small(function):
    return function() if function is data.digits else function(train=10, test=10, size=32)


@pytest.mark.parametrize("function", OFFLINE)
def test_one_return_type_and_the_same_images_each_time(function):
    first, second = small(function), small(function)
    assert isinstance(first, data.Splits)
    assert first.name == function.__name__
    for a, b in ((first.train, second.train), (first.test, second.test)):
        assert a.images.dtype == torch.uint8
        assert a.images.is_contiguous()
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
    train, test = ({image.numpy().tobytes() for image in part.images} for part in (first.train, first.test))
    assert not train & test


@pytest.mark.parametrize("function", OFFLINE)
def test_another_seed_gives_other_images(function):
    counts = {} if function is data.digits else {"train": 10, "test": 10}
    default, other = (function(seed=seed, **counts) for seed in (0, 1))
    assert not torch.equal(default.train.images, other.train.images)


@pytest.mark.parametrize("function", [*OFFLINE, data.mnist, data.fashion_mnist, data.cifar10, data.cats_vs_dogs,
                                      data.flowers102, data.places365])  # fmt: skip
def test_each_docstring_has_sizes_classes_and_source(function):
    text = inspect.getdoc(function)
    assert "class" in text
    assert "Source:" in text
    if function not in OFFLINE:
        assert "MB" in text.split("Source:")[0]


# --- Stored curves


def test_stored_curves():
    runs = data.curves("cifar10")["runs"]
    for run in runs:
        assert len(run["loss"]) == len(run["val_accuracy"]) == run["epochs"] <= run["of"]
        assert all(0 < accuracy < 1 for accuracy in run["val_accuracy"])
    with pytest.raises(ValueError, match=r"no curves called 'cifar'. There are: cifar10"):
        data.curves("cifar")


def test_curves_lie_in_the_wheel_or_in_the_repository(monkeypatch, tmp_path):
    monkeypatch.setattr(bundled, "_CURVES", (tmp_path / "none", tmp_path))
    with pytest.raises(ValueError, match="There are: none"):
        data.curves("a")
    (tmp_path / "a.json").write_text("[1]")
    assert data.curves("a") == [1]


# --- Digits


def test_digits_are_as_described():
    splits = data.digits()
    assert (len(splits.train), len(splits.test)) == (1438, 359)
    assert splits.train.images.shape[1:] == (1, 28, 28)
    assert splits.classes == tuple("0123456789")
    shares = [part.labels.bincount() / len(part) for part in (splits.train, splits.test)]
    assert (shares[0] - shares[1]).abs().max() < 0.005
    images = splits.train.images[:, 0].float()
    assert images.max() == 255
    outside = images.clone()
    outside[:, 3:-3, 3:-3] = 0
    assert outside.max() == 0  # 20x20 in the middle, and the soft edge of the enlargement


def test_digits_are_those_of_scikit_learn():
    """Averaged down, each digit is the small one it was made from."""
    from sklearn.datasets import load_digits

    splits = data.digits(size=112)  # of which the digit is 80: ten pixels for one
    small = splits.train.images[:, 0, 16:-16, 16:-16].unflatten(1, (8, 10)).unflatten(3, (8, 10))
    small = small.float().mean((2, 4)).flatten(1) * 16 / 255
    values, labels = load_digits(return_X_y=True)
    distances = torch.cdist(small, torch.from_numpy(values).float())
    assert distances.min(1).values.max() < 15  # of up to 128
    assert (torch.from_numpy(labels)[distances.argmin(1)] == splits.train.labels).float().mean() > 0.999


@pytest.mark.trained
def test_digits_can_be_learnt(seed):
    from sklearn.linear_model import LogisticRegression

    splits = data.digits(seed=seed)
    flat = [part.images.flatten(1).numpy() / 255 for part in (splits.train, splits.test)]
    model = LogisticRegression(max_iter=200).fit(flat[0], splits.train.labels)
    assert model.score(flat[1], splits.test.labels) > 0.93


@pytest.mark.parametrize("size", [8, 20, 32, 33])
def test_digits_of_other_sizes(size):
    assert data.digits(size).train.size == (size, size)


def test_digits_too_small():
    with pytest.raises(ValueError, match="size must be at least 8"):
        data.digits(7)


# --- Critters


def test_critters_are_those_that_the_generator_draws():
    splits = data.critters(7, 4, 48, seed=5, difficulty=0.2, species=("fox", "mouse", "cat"))
    assert splits.classes == ("fox", "mouse", "cat")
    assert splits.train.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    for part, key in ((splits.train, (5,)), (splits.test, (5, 1))):
        for i, label in enumerate(part.labels.tolist()):
            drawn = critters.draw(splits.classes[label], (*key, i), 48, 0.2)
            np.testing.assert_array_equal(part.images[i].permute(1, 2, 0), drawn.image)


def test_critters_stay_the_same_whatever_their_number():
    few, more = data.critters(4, 4, 32), data.critters(8, 6, 32)
    assert torch.equal(few.train.images, more.train.images[:4])
    assert torch.equal(few.test.images, more.test.images[:4])


def test_critters_of_no_species():
    with pytest.raises(ValueError, match="unicorn"):
        data.critters(2, 2, 32, species=("cat", "unicorn"))


# --- Pieces of photos


def test_the_test_photos_are_unseen():
    splits = data.photo_crops(100, 40, 32)
    seen, unseen = ({splits.classes[i] for i in part.labels.tolist()} for part in (splits.train, splits.test))
    assert seen == {"astronaut", "china", "coffee", "motorcycle", "rocket"}
    assert unseen == {"chelsea", "flower"}
    assert splits.train.counts()["rocket"] == 20
    for name in (*seen, *unseen):
        assert name in data.photo_crops.__doc__


def test_pieces_show_their_photo():
    """At its own scale, the one piece of the size of the photo's shorter side is a piece of it, or its mirror image."""
    photo = data.photo("chelsea")
    splits = data.photo_crops(1, 1, size=300)
    piece = splits.test.images[0].permute(1, 2, 0).numpy()
    windows = [photo[:, left : left + 300] for left in range(photo.shape[1] - 299)]
    wanted = [*windows, *(window[:, ::-1] for window in windows)]
    assert any(np.array_equal(piece, window) for window in wanted)


def test_the_training_pieces_do_not_depend_on_the_number_for_testing():
    few, more = data.photo_crops(20, 5, 16), data.photo_crops(20, 50, 16)
    assert torch.equal(few.train.images, more.train.images)
    assert torch.equal(few.test.images, more.test.images[:5])


@pytest.mark.parametrize("options", [{"train": 0}, {"test": -1}, {"size": 0}])
def test_pieces_wrong_arguments(options):
    with pytest.raises(ValueError, match="must be at least 1"):
        data.photo_crops(**options)


# --- Your own folder


def make_folder(root, classes=("cats", "dogs"), count=10):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (20, 10), (100 * number, 10 * i, 0)).save(root / name / f"{i}.png")
    return root


def test_a_folder_is_split(tmp_path):
    splits = data.folder(make_folder(tmp_path / "pets"), size=16)
    assert splits.name == "pets"
    assert splits.train.counts() == {"cats": 8, "dogs": 8}
    assert splits.test.counts() == {"cats": 2, "dogs": 2}
    assert splits.train.images.shape[1:] == (3, 16, 16)
    assert set(splits.train.names) | set(splits.test.names) == set(
        data.folder(tmp_path / "pets", test_fraction=0.5).train.names
    ) | set(data.folder(tmp_path / "pets", test_fraction=0.5).test.names)
    assert splits.test.report.read == 20
    assert data.folder(tmp_path / "pets", seed=1).test.names != splits.test.names


def test_two_folders(tmp_path):
    first, second = make_folder(tmp_path / "train"), make_folder(tmp_path / "test", count=3)
    splits = data.folder(str(first), second, 16, resize="crop")
    assert (len(splits.train), len(splits.test)) == (20, 6)
    assert splits.train.size == splits.test.size == (16, 16)


def test_folders_of_other_classes(tmp_path):
    first, second = make_folder(tmp_path / "train"), make_folder(tmp_path / "test", ("cats", "wolves"))
    with pytest.raises(ValueError, match=r"train has the classes cats, dogs; test has cats, wolves"):
        data.folder(first, second)


def test_what_is_no_folder_of_images(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.folder(tmp_path / "nothing")
    with pytest.raises(FolderError):
        data.folder(tmp_path)
    with pytest.raises(ValueError, match="between 0 and 1"):
        data.folder(make_folder(tmp_path / "pets"), test_fraction=1.0)


# --- The choice by profile


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("task", "mini", "full"),
    [
        ("digits", "digits", ["mnist", "fashion_mnist", "cifar10"]),
        ("cats_vs_dogs", "critters", ["cats_vs_dogs"]),
        ("colour_photos", "photo_crops", ["flowers102", "places365"]),
    ],
)
def test_load_chooses_by_profile(task, mini, full, profile):
    profile("mini")
    assert data.load(task) == (mini, {})
    assert data.load(task, full[-1], size=20) == (mini, {"size": 20})
    profile("full")
    assert data.load(task, seed=3) == (full[0], {"seed": 3})
    assert [data.load(task, name)[0] for name in full] == full
    for name in (mini, *full):
        assert f"`{name}`" in data.load.__doc__


@pytest.mark.parametrize("name", ["mini", "full"])
def test_load_refuses_what_there_is_not(name, profile):
    profile(name)
    with pytest.raises(ValueError, match=r"no task 'birds'. There are: digits, cats_vs_dogs, colour_photos"):
        data.load("birds")
    with pytest.raises(ValueError, match=r"no data set 'imagenet'. There are: mnist, fashion_mnist, cifar10"):
        data.load("digits", "imagenet")


def test_load_on_the_mini_profile_for_real(profile):
    profile("mini")
    assert len(data.load("digits").train) == 1438


def test_load_without_a_network_says_what_to_do(profile, monkeypatch, tmp_path):
    def no_name(*_, **__):
        raise OSError(-3, "Temporary failure in name resolution")

    profile("full")
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.getaddrinfo", no_name)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(DownloadError) as caught:
        data.load("digits")
    assert "Temporary failure in name resolution" in str(caught.value)
    assert 'coursekit.setup("mini")' in str(caught.value)
    assert str(tmp_path / "mnist" / "train-images-idx3-ubyte.gz") in str(caught.value)


def test_both_profiles_take_the_same_arguments():
    for dataset in (data.critters, data.photo_crops, data.cats_vs_dogs, data.flowers102, data.places365):
        assert list(inspect.signature(dataset).parameters)[:4] == ["train", "test", "size", "seed"]
