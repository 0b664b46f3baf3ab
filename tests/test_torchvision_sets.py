"""The downloaded data sets, from small archives in their formats that a server on this machine offers."""

import gzip
import hashlib
import io
import pickle
import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from coursekit import runtime
from coursekit.data import torchvision_sets
from coursekit.data.downloads import DownloadError
from coursekit.data.imageset import Splits
from coursekit.data.torchvision_sets import cats_vs_dogs, cifar10, fashion_mnist, flowers102, mnist, places365
from tests import servers
from tests.odd_archives import make_tar, make_zip

RNG = np.random.default_rng(0)
DIGITS = {"train": RNG.integers(0, 256, (30, 28, 28), np.uint8), "t10k": RNG.integers(0, 256, (10, 28, 28), np.uint8)}
TINY = RNG.integers(0, 256, (60, 3, 32, 32), np.uint8)
CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def offered(monkeypatch, tmp_path):
    """Offer small archives at addresses that stand in for the real ones; return the server."""
    import torchvision.datasets as tv

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    with servers.LocalServer() as server:
        offer_mnist(server, monkeypatch, tv.MNIST)
        offer_mnist(server, monkeypatch, tv.FashionMNIST)
        offer_cifar(server, monkeypatch, tv.CIFAR10, tmp_path / "cifar.tar.gz")
        offer_cats(server, monkeypatch, tmp_path / "cats.zip")
        offer_flowers(server, monkeypatch, tv.Flowers102, tmp_path / "flowers.tgz")
        offer_places(server, monkeypatch, tv.Places365, tmp_path)
        yield server


def md5(data):
    return hashlib.md5(data).hexdigest()


def jpeg(i, size=(40, 30)):
    """Return a JPEG file of one colour, which tells its number."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (4 * i % 256, 200, 50)).save(buffer, "JPEG", quality=95)
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


def offer_cifar(server, monkeypatch, dataset, path):
    def batch(i):
        rows = TINY[10 * i : 10 * i + 10].reshape(10, -1)
        return pickle.dumps({"data": rows, "labels": list(range(10))}, protocol=2)

    files = {f"data_batch_{i + 1}": batch(i) for i in range(5)} | {"test_batch": batch(5)}
    files["batches.meta"] = pickle.dumps({"label_names": CIFAR_CLASSES}, protocol=2)
    data = make_tar(path, {f"cifar-10-batches-py/{name}": content for name, content in files.items()}).read_bytes()
    sums = [[name, md5(content)] for name, content in files.items()]
    monkeypatch.setattr(dataset, "url", server.serve("/cifar.tar.gz", servers.content(data)))
    monkeypatch.setattr(dataset, "tgz_md5", md5(data))
    monkeypatch.setattr(dataset, "train_list", sums[:5])
    monkeypatch.setattr(dataset, "test_list", sums[5:6])
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"md5": sums[6][1]})


def offer_cats(server, monkeypatch, path):
    files = {f"PetImages/{kind}/{i}.jpg": jpeg(i) for kind in ("Cat", "Dog") for i in range(20)}
    files |= {"PetImages/Cat/Thumbs.db": b"\xd0\xcf", "PetImages/Dog/Thumbs.db": b"\xd0\xcf", "readme[1].txt": b"x"}
    files |= {"PetImages/Cat/666.jpg": b"", "PetImages/Dog/11702.jpg": jpeg(3)[:300]}
    data = make_zip(path, files).read_bytes()
    monkeypatch.setattr(torchvision_sets, "_CATS_VS_DOGS", server.serve("/cats.zip", servers.content(data)))
    monkeypatch.setattr(torchvision_sets, "_CATS_VS_DOGS_SHA256", hashlib.sha256(data).hexdigest())


def offer_flowers(server, monkeypatch, dataset, path):
    from scipy.io import savemat

    def mat(**values):
        buffer = io.BytesIO()
        savemat(buffer, values)
        return buffer.getvalue()

    photos = make_tar(path, {f"jpg/image_{i:05d}.jpg": jpeg(i) for i in range(1, 41)}).read_bytes()
    parts = {"trnid": np.arange(1, 11), "valid": np.arange(11, 21), "tstid": np.arange(21, 41)}
    files = {
        "image": ("flowers.tgz", photos),
        "label": ("labels.mat", mat(labels=np.arange(40) % 5 + 1)),
        "setid": ("setid.mat", mat(**parts)),
    }
    for name, data in files.values():
        prefix = server.serve(f"/{name}", servers.content(data)).removesuffix(name)
    monkeypatch.setattr(dataset, "_download_url_prefix", prefix)
    monkeypatch.setattr(dataset, "_file_dict", {key: (name, md5(data)) for key, (name, data) in files.items()})


def offer_places(server, monkeypatch, dataset, folder):
    categories = b"/a/abbey 0\n/a/alley_b 1\n/a/alley/outdoor 2\n"
    listed = b"".join(b"Places365_val_%08d.jpg %d\n" % (i, i % 3) for i in range(30))
    photos = {f"val_256/Places365_val_{i:08d}.jpg": jpeg(i) for i in range(30)}
    images = make_tar(folder / "val.tar", photos).read_bytes()
    lists = {"categories_places365.txt": categories, "places365_val.txt": listed}
    lists = make_tar(folder / "lists.tar", lists).read_bytes()
    base = server.serve("/val.tar", servers.content(images)).removesuffix("val.tar")
    server.serve("/lists.tar", servers.content(lists))
    monkeypatch.setattr(dataset, "_BASE_URL", base)
    monkeypatch.setattr(dataset, "_IMAGES_META", {("val", True): ("val.tar", md5(images))})
    monkeypatch.setattr(dataset, "_DEVKIT_META", {"standard": ("lists.tar", md5(lists))})
    monkeypatch.setattr(dataset, "_CATEGORIES_META", ("categories_places365.txt", md5(categories)))
    monkeypatch.setattr(dataset, "_FILE_LIST_META", {"val": ("places365_val.txt", md5(listed))})


LENGTHS = {mnist: (30, 10), fashion_mnist: (30, 10), cifar10: (50, 10), cats_vs_dogs: (20, 10), flowers102: (20, 10)}
LENGTHS[places365] = (20, 10)
PHOTOS = (cats_vs_dogs, flowers102, places365)


def small(dataset):
    """Load the data set, in the small amounts that are offered."""
    return dataset(train=20, test=10, size=16) if dataset in PHOTOS else dataset()


@pytest.mark.parametrize("dataset", LENGTHS)
def test_a_set_is_fetched_once_and_mended_by_deleting_its_files(offered, dataset, tmp_path):
    first = small(dataset)
    assert isinstance(first, Splits)
    assert first.name == dataset.__name__
    assert (len(first.train), len(first.test)) == LENGTHS[dataset]
    assert first.train.images.shape[1:] == {cifar10: (3, 32, 32)}.get(
        dataset, (3, 16, 16) if dataset in PHOTOS else (1, 28, 28)
    )
    home = tmp_path / "cache" / dataset.__name__
    assert list((tmp_path / "cache").iterdir()) == [home]

    # The second time, neither a network nor an archive is needed.
    offered.requests.clear()
    kept = {archive: archive.read_bytes() for archive in home.iterdir() if archive.is_file()}
    for archive in kept:
        archive.unlink()
    second = small(dataset)
    assert offered.requests == []
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)

    for archive, data in kept.items():
        archive.write_bytes(data)
    for file in (home / "files").rglob("*"):
        if file.is_file():
            file.write_bytes(b"damage")
    with pytest.raises(DownloadError, match=r"Delete the folder `files` of this set"):
        small(dataset)
    shutil.rmtree(home / "files")
    assert len(small(dataset).train) == LENGTHS[dataset][0]


@pytest.mark.parametrize("dataset", LENGTHS)
def test_without_a_network_the_message_helps(offered, dataset):
    offered.answers.clear()  # 404 everywhere
    with pytest.raises(DownloadError) as caught:
        small(dataset)
    message = str(caught.value)
    assert 'coursekit.setup("mini")' in message
    assert str(runtime.cache_dir() / dataset.__name__) in message  # where to put the file by hand
    assert "(md5 " in message or "(sha256 " in message


@pytest.mark.parametrize("dataset", LENGTHS)
def test_the_real_addresses_come_with_checksums(dataset, monkeypatch, tmp_path):
    class Asked(Exception):
        pass

    def record(urls, path, *, md5="", sha256=""):
        assert all(url.startswith("http") for url in urls)
        assert len(md5 or sha256) in (32, 64)
        assert path.is_relative_to(tmp_path / dataset.__name__)
        raise Asked

    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(torchvision_sets, "fetch", record)
    with pytest.raises(Asked):
        dataset()


@pytest.mark.usefixtures("offered")
def test_digits_and_tiny_photos_are_read_as_they_are(monkeypatch):
    for dataset in (mnist, fashion_mnist):
        splits = dataset()
        np.testing.assert_array_equal(splits.train.images[:, 0], DIGITS["train"])
        np.testing.assert_array_equal(splits.test.images[:, 0], DIGITS["t10k"])
        assert splits.test.labels.tolist() == list(range(10))
        assert splits.classes[9] == ("9" if dataset is mnist else "Ankle boot")
    load = pickle.load

    def warn_and_load(*args, **kwargs):
        warnings.warn("dtype(): align should be passed as a boolean", np.exceptions.VisibleDeprecationWarning, 2)
        return load(*args, **kwargs)

    monkeypatch.setattr(pickle, "load", warn_and_load)
    splits = cifar10()
    np.testing.assert_array_equal(splits.train.images, TINY[:50])
    np.testing.assert_array_equal(splits.test.images, TINY[50:])
    assert splits.train.labels.tolist() == [*range(10)] * 5
    assert splits.classes == tuple(CIFAR_CLASSES)


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
    with pytest.raises(DownloadError, match="2 of the photos are damaged"):
        cats_vs_dogs(train=32, test=10, size=16)


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("dataset", PHOTOS)
def test_the_choice_of_photos(dataset):
    few, more = dataset(8, 6, 16, seed=1), dataset(16, 6, 16, seed=1)
    assert few.test.names == more.test.names  # whatever the number for training
    assert set(few.train.names) < set(more.train.names)
    assert not set(more.train.names) & set(more.test.names)
    assert dataset(8, 6, 16, seed=2).train.names != few.train.names
    for wrong in ({"train": 0}, {"test": 1.5}, {"size": "64"}, {"resize": "stretch"}):
        with pytest.raises((TypeError, ValueError), match=f"{next(iter(wrong))} must be"):
            dataset(**{"train": 8, "test": 6, "size": 16} | wrong)


@pytest.mark.usefixtures("offered")
def test_flowers_have_their_labels_and_keep_the_official_parts():
    splits = flowers102(20, 20, 16)
    numbers = [{int(name[-9:-4]) for name in part.names} for part in (splits.train, splits.test)]
    assert numbers == [set(range(1, 21)), set(range(21, 41))]
    assert len(splits.classes) == 102
    for part in (splits.train, splits.test):
        for name, image, label in zip(part.names, part.images, part.labels.tolist(), strict=True):
            number = int(name[-9:-4])
            assert label == (number - 1) % 5
            assert abs(image[0].float().mean() - 4 * number % 256) < 4  # the picture of that number
    (runtime.cache_dir() / "flowers102" / "files" / "flowers-102" / "setid.mat").write_bytes(b"damage")
    assert flowers102(20, 20, 16).test.names == splits.test.names  # a small list is fetched again


@pytest.mark.usefixtures("offered")
def test_places_have_their_labels():
    splits = places365(20, 10, 16)
    assert splits.classes == ("abbey", "alley_b", "alley/outdoor")
    for part in (splits.train, splits.test):
        for name, image, label in zip(part.names, part.images, part.labels.tolist(), strict=True):
            number = int(name[-12:-4])
            assert label == number % 3
            assert abs(image[0].float().mean() - 4 * number % 256) < 4  # the picture of that number


def test_balanced_order_mixes_the_classes():
    labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 20)
    order = torchvision_sets.balanced_order(labels, seed=0)
    assert sorted(order.tolist()) == list(range(75))
    assert labels[order[:15]].bincount().tolist() == [5, 5, 5]
    assert labels[order[:45]].bincount().tolist() == [20, 5, 20]
    assert torch.equal(order, torchvision_sets.balanced_order(labels, seed=0))
    assert not torch.equal(order, torchvision_sets.balanced_order(labels, seed=1))
