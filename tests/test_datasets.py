"""The downloaded data sets, from small archives in their formats that a server on this machine offers."""

import gzip
import hashlib
import io
import pickle
import shutil
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
import torchvision.datasets as tv
from PIL import Image
from scipy.io import savemat

from coursekit import runtime
from coursekit.data import datasets
from coursekit.data.datasets import cats_vs_dogs, cifar10, fashion_mnist, flowers102, mnist, places365
from coursekit.data.downloads import DownloadError
from coursekit.data.imagesets import Splits
from tests import servers

RNG = np.random.default_rng(0)
DIGITS = {"train": RNG.integers(0, 256, (30, 28, 28), np.uint8), "t10k": RNG.integers(0, 256, (10, 28, 28), np.uint8)}
TINY = RNG.integers(0, 256, (60, 3, 32, 32), np.uint8)
CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def offered(monkeypatch, tmp_path):
    """Offer small archives at addresses that stand in for the real ones; return the server."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    with servers.LocalServer() as server:
        offer_mnist(server, monkeypatch, tv.MNIST)
        offer_mnist(server, monkeypatch, tv.FashionMNIST)
        offer_cifar(server, monkeypatch)
        offer_cats(server, monkeypatch)
        offer_flowers(server, monkeypatch)
        offer_places(server, monkeypatch)
        yield server


def md5(data):
    return hashlib.md5(data).hexdigest()


def jpeg(i, size=(40, 30)):
    """Return a JPEG file of one colour, which tells its number."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (4 * i % 256, 200, 50)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def tar(files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def offer_mnist(server, monkeypatch, dataset):
    resources = []
    for part, images in DIGITS.items():
        labels = np.arange(len(images), dtype=np.uint8) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            name, data = f"{part}-{kind}-ubyte.gz", idx(array)
            server.serve(f"/{dataset.__name__}/{name}", servers.content(data))
            resources.append((name, md5(data)))
    mirrors = [servers.dead_address("/"), server.serve(f"/{dataset.__name__}/")]
    monkeypatch.setattr(dataset, "mirrors", mirrors)
    monkeypatch.setattr(dataset, "resources", resources)


def offer_cifar(server, monkeypatch):
    def batch(i):
        rows = TINY[10 * i : 10 * i + 10].reshape(10, -1)
        return pickle.dumps({"data": rows, "labels": list(range(10))}, protocol=2)

    files = {f"data_batch_{i + 1}": batch(i) for i in range(5)} | {"test_batch": batch(5)}
    files["batches.meta"] = pickle.dumps({"label_names": CIFAR_CLASSES}, protocol=2)
    data = tar({f"cifar-10-batches-py/{name}": content for name, content in files.items()}, "w:gz")
    sums = [[name, md5(content)] for name, content in files.items()]
    monkeypatch.setattr(tv.CIFAR10, "url", server.serve("/cifar.tar.gz", servers.content(data)))
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", md5(data))
    monkeypatch.setattr(tv.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(tv.CIFAR10, "test_list", sums[5:6])
    monkeypatch.setattr(tv.CIFAR10, "meta", tv.CIFAR10.meta | {"md5": sums[6][1]})


def offer_cats(server, monkeypatch):
    files = {f"PetImages/{kind}/{i}.jpg": jpeg(i) for kind in ("Cat", "Dog") for i in range(20)}
    files |= {"PetImages/Cat/Thumbs.db": b"\xd0\xcf", "PetImages/Dog/Thumbs.db": b"\xd0\xcf", "readme[1].txt": b"x"}
    files |= {"PetImages/Cat/666.jpg": b"", "PetImages/Dog/11702.jpg": jpeg(3)[:300]}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    data = buffer.getvalue()
    address = server.serve("/cats.zip", servers.content(data))
    monkeypatch.setattr(datasets, "_CATS_VS_DOGS", address.removesuffix("cats.zip"))
    monkeypatch.setattr(datasets, "_CATS_VS_DOGS_FILE", "cats.zip")
    monkeypatch.setattr(datasets, "_CATS_VS_DOGS_SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(datasets, "_CATS_VS_DOGS_SIZE", len(data))


def mat(**values):
    buffer = io.BytesIO()
    savemat(buffer, values)
    return buffer.getvalue()


def offer_flowers(server, monkeypatch):
    files = {
        "image": ("flowers.tgz", tar({f"jpg/image_{i:05d}.jpg": jpeg(i) for i in range(1, 41)}, "w:gz")),
        "label": ("labels.mat", mat(labels=np.arange(40) % 5 + 1)),
        "setid": ("setid.mat", mat(trnid=np.arange(1, 11), valid=np.arange(11, 21), tstid=np.arange(21, 41))),
    }
    for name, data in files.values():
        prefix = server.serve(f"/{name}", servers.content(data)).removesuffix(name)
    sums = {key: (name, md5(data)) for key, (name, data) in files.items()}
    monkeypatch.setattr(tv.Flowers102, "_download_url_prefix", prefix)
    monkeypatch.setattr(tv.Flowers102, "_file_dict", sums)


def offer_places(server, monkeypatch):
    categories = b"/a/abbey 0\n/a/alley_b 1\n/a/alley/outdoor 2\n"
    val = b"".join(b"Places365_val_%08d.jpg %d\n" % (i, i % 3) for i in range(30))
    images = tar({f"val_256/Places365_val_{i:08d}.jpg": jpeg(i) for i in range(30)})
    lists = tar({"categories_places365.txt": categories, "places365_val.txt": val})
    base = server.serve("/val.tar", servers.content(images)).removesuffix("val.tar")
    server.serve("/lists.tar", servers.content(lists))
    monkeypatch.setattr(tv.Places365, "_BASE_URL", base)
    monkeypatch.setattr(tv.Places365, "_IMAGES_META", {("val", True): ("val.tar", md5(images))})
    monkeypatch.setattr(tv.Places365, "_DEVKIT_META", {"standard": ("lists.tar", md5(lists))})
    monkeypatch.setattr(tv.Places365, "_CATEGORIES_META", ("categories_places365.txt", md5(categories)))
    monkeypatch.setattr(tv.Places365, "_FILE_LIST_META", {"val": ("places365_val.txt", md5(val))})


def small(dataset):
    """Load the data set, in the small amounts that are offered."""
    few = dataset in (cats_vs_dogs, flowers102, places365)
    return dataset(train=20, test=10, size=16) if few else dataset()


EVERY = [mnist, fashion_mnist, cifar10, cats_vs_dogs, flowers102, places365]
SHAPES = dict(zip(EVERY, [(1, 28, 28), (1, 28, 28), (3, 32, 32), (3, 16, 16), (3, 16, 16), (3, 16, 16)], strict=True))
LENGTHS = dict(zip(EVERY, [(30, 10), (30, 10), (50, 10), (20, 10), (20, 10), (20, 10)], strict=True))


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("dataset", EVERY)
def test_every_data_set_has_one_type(dataset, tmp_path):
    splits = small(dataset)
    assert isinstance(splits, Splits)
    assert splits.name == dataset.__name__
    assert (len(splits.train), len(splits.test)) == LENGTHS[dataset]
    image, label = splits.train[0]
    assert image.shape == SHAPES[dataset]
    assert image.dtype == torch.float32
    assert isinstance(label, int)
    assert list((tmp_path / "cache").iterdir()) == [tmp_path / "cache" / dataset.__name__]


@pytest.mark.parametrize("dataset", EVERY)
def test_the_second_call_needs_neither_network_nor_archive(offered, dataset):
    first = small(dataset)
    offered.answers.clear()
    offered.requests.clear()
    for archive in (runtime.cache_dir() / dataset.__name__).iterdir():
        if archive.is_file():
            archive.unlink()
    second = small(dataset)
    assert offered.requests == []
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)


@pytest.mark.parametrize("dataset", EVERY)
def test_without_a_network_the_message_helps(offered, dataset):
    offered.answers.clear()  # 404 everywhere
    with pytest.raises(DownloadError) as caught:
        small(dataset)
    message = str(caught.value)
    assert 'coursekit.setup("mini")' in message
    assert str(runtime.cache_dir() / dataset.__name__) in message  # where to put the file by hand
    assert "md5 " in message or "sha256 " in message


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("dataset", EVERY)
def test_damaged_files_are_explained_and_mended_by_deleting_them(dataset):
    small(dataset)
    files = runtime.cache_dir() / dataset.__name__ / "files"
    for file in files.rglob("*"):
        if file.is_file():
            file.write_bytes(b"damage")
    with pytest.raises(DownloadError, match=r"cannot be read.*Delete that folder and run this again"):
        small(dataset)
    shutil.rmtree(files)
    assert len(small(dataset).train) == LENGTHS[dataset][0]


@pytest.mark.parametrize("dataset", EVERY)
def test_the_real_addresses_come_with_checksums(dataset, monkeypatch, tmp_path):
    class Asked(Exception):
        pass

    def record(urls, path, *, md5=None, sha256=None, size=None):
        assert all(url.startswith("http") for url in ([urls] if isinstance(urls, str) else urls))
        assert len(md5 or sha256) in (32, 64)
        assert path.is_relative_to(tmp_path / dataset.__name__)
        raise Asked

    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets, "fetch", record)
    with pytest.raises(Asked):
        dataset()


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("dataset", [mnist, fashion_mnist])
def test_mnist_is_read_as_it_is(dataset):
    splits = dataset()
    np.testing.assert_array_equal(splits.train.images[:, 0], DIGITS["train"])
    np.testing.assert_array_equal(splits.test.images[:, 0], DIGITS["t10k"])
    assert splits.test.labels.tolist() == list(range(10))
    assert splits.classes == (tuple("0123456789") if dataset is mnist else tuple(tv.FashionMNIST.classes))


@pytest.mark.usefixtures("offered")
def test_cifar_is_read_as_it_is():
    splits = cifar10()
    np.testing.assert_array_equal(splits.train.images, TINY[:50])
    np.testing.assert_array_equal(splits.test.images, TINY[50:])
    assert splits.train.labels.tolist() == [*range(10)] * 5
    assert splits.classes == tuple(CIFAR_CLASSES)


@pytest.mark.usefixtures("offered")
def test_numpy_may_warn_about_the_old_pickles_of_cifar(monkeypatch):
    load = pickle.load

    def warn_and_load(*args, **kwargs):
        warnings.warn("dtype(): align should be passed as a boolean", np.exceptions.VisibleDeprecationWarning, 2)
        return load(*args, **kwargs)

    monkeypatch.setattr(tv.cifar.pickle, "load", warn_and_load)
    cifar10()


@pytest.mark.usefixtures("offered")
def test_damaged_photos_of_cats_and_dogs_are_named_and_left_out(capsys):
    splits = cats_vs_dogs(train=30, test=10, size=16)
    assert splits.classes == ("cat", "dog")
    assert len(splits.train) == 30
    out = capsys.readouterr().out
    assert "Left out, because they cannot be read: " in out
    assert "Cat/666.jpg (empty: 0 bytes)" in out
    assert "Dog/11702.jpg (truncated" in out
    assert not {"Cat/666.jpg", "Dog/11702.jpg"} & {*splits.train.names, *splits.test.names}
    with pytest.raises(ValueError, match="43 images were asked for; there are 42"):
        cats_vs_dogs(train=33, test=10, size=16)
    with pytest.raises(DownloadError, match="2 damaged images"):
        cats_vs_dogs(train=32, test=10, size=16)


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("dataset", [cats_vs_dogs, flowers102, places365])
def test_the_choice_of_photos(dataset):
    few, more = dataset(8, 6, 16, seed=1), dataset(16, 6, 16, seed=1)
    assert few.test.names == more.test.names  # whatever the number for training
    assert set(few.train.names) < set(more.train.names)
    assert not set(more.train.names) & set(more.test.names)
    assert dataset(8, 6, 16, seed=2).train.names != few.train.names
    for part in (more.train, more.test):
        counts = part.counts().values()
        assert max(counts) - min(count for count in counts if count) <= (
            2 if dataset is cats_vs_dogs else 1
        )  # two are damaged
        if dataset is not flowers102:  # which is of the official parts, one colour for each
            assert len(counts) == len([count for count in counts if count])


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(("dataset", "label_of"), [(flowers102, lambda i: (i - 1) % 5), (places365, lambda i: i % 3)])
def test_photos_have_their_labels(dataset, label_of):
    splits = dataset(20, 10, 16)
    for part in (splits.train, splits.test):
        for (image, label), name in zip(part, part.names, strict=True):
            number = int(name.split("_")[-1].removesuffix(".jpg"))
            assert label == label_of(number)
            assert abs(image[0].mean() * 255 - 4 * number % 256) < 4  # the picture of that number


@pytest.mark.usefixtures("offered")
def test_flowers_keep_the_official_parts():
    splits = flowers102(20, 20, 16)
    numbers = [{int(name[-9:-4]) for name in part.names} for part in (splits.train, splits.test)]
    assert numbers == [set(range(1, 21)), set(range(21, 41))]
    assert len(splits.classes) == 102


@pytest.mark.usefixtures("offered")
def test_a_damaged_list_of_flowers_is_fetched_again():
    before = flowers102(20, 10, 16)
    (runtime.cache_dir() / "flowers102" / "files" / "flowers-102" / "setid.mat").write_bytes(b"damage")
    assert flowers102(20, 10, 16).test.names == before.test.names


@pytest.mark.usefixtures("offered")
def test_places_have_readable_classes_in_the_order_of_the_labels():
    assert places365(20, 10, 16).classes == ("abbey", "alley_b", "alley/outdoor")


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("dataset", [cats_vs_dogs, flowers102, places365])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train": 10**6}, ValueError, "images were asked for; there are"),
        ({"test": 10**6}, ValueError, "images were asked for; there are"),
        ({"test": -(10**6)}, ValueError, "test must be at least 1"),
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"size": "64"}, TypeError, "size must be a whole number"),
        ({"resize": "stretch"}, ValueError, "resize must be"),
    ],
)
def test_wrong_arguments(dataset, options, error, message):
    with pytest.raises(error, match=message):
        dataset(**{"train": 8, "test": 6, "size": 16} | options)


def test_balanced_order_mixes_the_classes():
    labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 20)
    order = datasets.balanced_order(labels, seed=0)
    assert sorted(order.tolist()) == list(range(75))
    assert labels[order[:15]].bincount().tolist() == [5, 5, 5]
    assert labels[order[:45]].bincount().tolist() == [20, 5, 20]
    assert torch.equal(order, datasets.balanced_order(labels, seed=0))
    assert not torch.equal(order, datasets.balanced_order(labels, seed=1))


@pytest.mark.parametrize("dataset", [cats_vs_dogs, flowers102, places365])
@pytest.mark.parametrize(
    ("options", "error"),
    [({"train": 0}, ValueError), ({"test": 1.5}, TypeError), ({"size": None}, TypeError), ({"seed": "a"}, TypeError)],
)
def test_arguments_are_looked_at_before_anything_is_fetched(dataset, options, error, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets, "fetch", lambda *_, **__: pytest.fail("it was fetched"))
    with pytest.raises(error, match=f"{next(iter(options))} must be"):
        dataset(**options)
