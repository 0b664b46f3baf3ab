"""The data sets of the full profile: downloaded once into the cache folder, checked, unpacked, and read.

Where torchvision has a data set, its class names the addresses and checksums and reads the files; only the transfer
is done by `downloads`, which continues, checks and explains where torchvision's own would not. Once a data set is
unpacked, the archives in the cache folder may be deleted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import torch

from coursekit import arguments, runtime
from coursekit.data import foldertree, imagefiles
from coursekit.data.archives import unpack
from coursekit.data.downloads import DownloadError, fetch
from coursekit.data.imagesets import ImageSet, Splits

if TYPE_CHECKING:  # importing torchvision takes 2 s, and the mini profile does not need it
    import torchvision.datasets as tv

_CATS_VS_DOGS = "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
_CATS_VS_DOGS_FILE = "kagglecatsanddogs_5340.zip"
_CATS_VS_DOGS_SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
_CATS_VS_DOGS_SIZE = 824_887_076

_SPARE = 20  # so many images more are read than wanted, for the few that cannot be


def mnist() -> Splits:
    """Handwritten digits: 60,000 for training, 10,000 for testing; gray, 28x28; classes 0 to 9.

    A download of 12 MB, 67 MB on the disk. Source: LeCun, Bottou, Bengio and Haffner (1998), through torchvision.

    Raises
    ------
    DownloadError
        If the files cannot be fetched, stored or read, with what to do.
    """
    import torchvision.datasets as tv

    return _mnist_like(tv.MNIST, "mnist", map(str, range(10)), "LeCun et al. (1998)")


def fashion_mnist() -> Splits:
    """Pieces of clothing: 60,000 for training, 10,000 for testing; gray, 28x28; 10 classes from T-shirt to boot.

    A download of 31 MB, 86 MB on the disk. Source: Xiao, Rasul and Vollgraf (2017), through torchvision.

    Raises
    ------
    DownloadError
        If the files cannot be fetched, stored or read, with what to do.
    """
    import torchvision.datasets as tv

    return _mnist_like(tv.FashionMNIST, "fashion_mnist", tv.FashionMNIST.classes, "Xiao et al. (2017)")


def cifar10() -> Splits:
    """Tiny photos: 50,000 for training, 10,000 for testing; colour, 32x32; 10 classes of animals and vehicles.

    A download of 170 MB, 360 MB on the disk. Source: Krizhevsky (2009), through torchvision.

    Raises
    ------
    DownloadError
        If the files cannot be fetched, stored or read, with what to do.
    """
    import torchvision.datasets as tv

    home = runtime.cache_dir() / "cifar10"
    root = home / "files"
    if not root.exists():
        unpack(fetch(tv.CIFAR10.url, home / tv.CIFAR10.filename, md5=tv.CIFAR10.tgz_md5), root)

    def _part(train: bool) -> ImageSet:
        data = _construct(tv.CIFAR10, root, train=train)
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return ImageSet(images, torch.tensor(data.targets), data.classes)

    return Splits(_part(True), _part(False), "cifar10", "Krizhevsky (2009)")


def cats_vs_dogs(
    train: int = 2000, test: int = 1000, size: int = 64, seed: int = 0, *, resize: str = "squash"
) -> Splits:
    """Photos of cats and dogs: as many as wanted of 25,000; colour; classes cat and dog, about half of each.

    A download of 825 MB, 1.7 GB on the disk. Source: Elson, Douceur, Howell and Saul (2007), from Microsoft. A few
    of its files are damaged; those met are named and replaced by others.

    Parameters
    ----------
    train, test : int
        Number of images. The test images stay the same, whatever the number for training.
    size : int, default 64
        Height and width in pixels.
    seed : int, default 0
        Which images are chosen. The same seed gives the same ones.
    resize : {"squash", "crop"}
        See `imagefiles.read_image`.

    Raises
    ------
    DownloadError
        If the file cannot be fetched, stored or read, with what to do.
    ValueError
        If there are not as many images as asked for.
    """
    _check_request(train, test, size, resize, seed)
    home = runtime.cache_dir() / "cats_vs_dogs"
    root = home / "files"
    if not root.exists():
        archive = home / _CATS_VS_DOGS_FILE
        url = _CATS_VS_DOGS + _CATS_VS_DOGS_FILE
        unpack(fetch(url, archive, sha256=_CATS_VS_DOGS_SHA256, size=_CATS_VS_DOGS_SIZE), root)
    kinds = foldertree.find(root / "PetImages").classes.values()  # Cat, Dog
    listing = [(file.path, label) for label, files in enumerate(kinds) for file in files]
    chosen = _read(listing, train + test, ("cat", "dog"), size, resize, seed)
    return _split(chosen, test, "cats_vs_dogs", "Elson et al. (2007)")


def flowers102(train: int = 2040, test: int = 1000, size: int = 64, seed: int = 0, *, resize: str = "crop") -> Splits:
    """Photos of flowers: up to 2,040 for training, up to 6,149 for testing; colour; 102 classes.

    The test images are of the official test part, the others of the official training and validation parts. A
    download of 345 MB, 700 MB on the disk. Source: Nilsback and Zisserman (2008), through torchvision.

    Parameters
    ----------
    train, test, size, seed, resize
        As for `cats_vs_dogs`.

    Raises
    ------
    DownloadError
        If the files cannot be fetched, stored or read, with what to do.
    ValueError
        If there are not as many images as asked for.
    """
    import torchvision.datasets as tv

    _check_request(train, test, size, resize, seed)
    home = runtime.cache_dir() / "flowers102"
    folder = home / "files" / "flowers-102"
    prefix, files = tv.Flowers102._download_url_prefix, tv.Flowers102._file_dict
    if not folder.exists():
        name, md5 = files["image"]
        unpack(fetch(prefix + name, home / name, md5=md5), folder)
    for name, md5 in (files["label"], files["setid"]):
        fetch(prefix + name, folder / name, md5=md5)
    parts = {
        part: list(_construct(tv.Flowers102, home / "files", split=part, loader=Path))
        for part in ("train", "val", "test")
    }
    classes = getattr(tv.Flowers102, "classes", None) or [f"flower {i}" for i in range(1, 103)]
    return Splits(
        _read(parts["train"] + parts["val"], train, classes, size, resize, seed),
        _read(parts["test"], test, classes, size, resize, seed),
        "flowers102",
        "Nilsback and Zisserman (2008)",
    )


def places365(train: int = 5000, test: int = 1000, size: int = 64, seed: int = 0, *, resize: str = "crop") -> Splits:
    """Photos of places: as many as wanted of 36,500, both parts together; colour, at most 256x256; 365 classes.

    The small version of the official validation part. A download of about 570 MB, 1.2 GB on the disk. Source: Zhou,
    Lapedriza, Khosla, Oliva and Torralba (2017), through torchvision.

    Parameters
    ----------
    train, test, size, seed, resize
        As for `cats_vs_dogs`.

    Raises
    ------
    DownloadError
        If the files cannot be fetched, stored or read, with what to do.
    ValueError
        If there are not as many images as asked for.
    """
    import torchvision.datasets as tv

    _check_request(train, test, size, resize, seed)
    home = runtime.cache_dir() / "places365"
    root = home / "files"
    if not root.exists():
        wanted = tv.Places365._IMAGES_META["val", True], tv.Places365._DEVKIT_META["standard"]
        base = tv.Places365._BASE_URL
        unpack([fetch(urljoin(base, name), home / name, md5=md5) for name, md5 in wanted], root)
    places = _construct(tv.Places365, root, split="val", small=True, loader=Path)
    classes = [name[3:] for name in sorted(places.class_to_idx, key=places.class_to_idx.get)]  # "/a/abbey"
    chosen = _read(list(places), train + test, classes, size, resize, seed)
    return _split(chosen, test, "places365", "Zhou et al. (2017)")


def _check_request(train: int, test: int, size: int, resize: str, seed: int) -> None:
    """Look at the arguments before hundreds of megabytes are fetched, not after."""
    arguments.whole("train", train), arguments.whole("test", test), arguments.whole("seed", seed, 0)
    imagefiles.check_options(arguments.whole("size", size), resize, 3)


def _mnist_like(dataset: type[tv.MNIST], name: str, classes: Iterable[str], source: str) -> Splits:
    home = runtime.cache_dir() / name
    raw = home / "files" / dataset.__name__ / "raw"
    if not raw.exists():
        archives = [
            fetch([mirror + file for mirror in dataset.mirrors], home / file, md5=md5)
            for file, md5 in dataset.resources
        ]
        unpack(archives, raw)
    parts = [_construct(dataset, home / "files", train=train) for train in (True, False)]
    classes = tuple(classes)
    sets = [ImageSet(part.data[:, None], part.targets, classes) for part in parts]
    return Splits(*sets, name, source)


def _construct(dataset: type, root: Path, **options: object) -> tv.VisionDataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old pickles make new numpys warn, and nobody here can mend them
            return dataset(root, download=False, **options)
    except Exception as error:  # torchvision lets any error of a broken file through
        raise _unreadable(root, error) from error


def _unreadable(root: Path, error: object) -> DownloadError:
    return DownloadError(
        f"the files in {root} cannot be read ({error}). Delete that folder and run this again: it is unpacked "
        "anew, and downloaded again only if the archive is no longer beside it."
    )


def _read(
    listing: Sequence[tuple[Path, int]], count: int, classes: Sequence[str], size: int, resize: str, seed: int
) -> ImageSet:
    """Read `count` images of a list of (path, label), chosen at random, of each class as many as of the others."""
    if not 0 < count <= len(listing):
        raise ValueError(f"{count:,} images were asked for; there are {len(listing):,}.")
    imagefiles.check_options(size, resize, 3)
    order = balanced_order(torch.tensor([label for _, label in listing]), seed)[: count + _SPARE].tolist()
    images = torch.empty(len(order), 3, size, size, dtype=torch.uint8)

    def _decode(row: int) -> imagefiles.ImageFileError | None:
        try:
            array, _ = imagefiles.decode(listing[order[row]][0], size, resize, 3)
        except imagefiles.ImageFileError as error:
            return error
        images[row] = torch.from_numpy(array.copy()).permute(2, 0, 1)
        return None

    with imagefiles.strict_pillow(), ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(_decode, range(len(order))))
    kept, names, refused = [], [], []
    for row, (error, index) in enumerate(zip(errors, order, strict=True)):
        path, label = listing[index]
        name = f"{path.parent.name}/{path.name}"
        if error is not None:
            refused.append(f"{name} ({error})")
        elif len(kept) < count:
            images[len(kept)] = images[row]  # close the gap; a copy would need the memory twice
            kept.append(label)
            names.append(name)
    if refused:
        print(f"Left out, because they cannot be read: {', '.join(refused)}")
    if len(kept) < count:
        raise _unreadable(listing[0][0].parent, f"{len(refused):,} damaged images")
    return ImageSet(images[:count], torch.tensor(kept), classes, names)


def _split(chosen: ImageSet, test: int, name: str, source: str) -> Splits:
    def _part(which: slice) -> ImageSet:
        return ImageSet(chosen.images[which], chosen.labels[which], chosen.classes, chosen.names[which])

    return Splits(_part(slice(test, None)), _part(slice(test)), name, source)


def balanced_order(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """Shuffle so that every beginning of the list holds about as many of each class.

    Parameters
    ----------
    labels : Tensor
        int64 ``[N]``.
    seed : int
        The same seed gives the same order.

    Returns
    -------
    Tensor
        The numbers 0 to N - 1, int64 ``[N]``.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels[order]
    turn = torch.empty_like(order)  # how many of its class come before each image
    for label in labels.unique():
        of_class = shuffled == label
        turn[of_class] = torch.arange(int(of_class.sum()))
    return order[turn.argsort(stable=True)]
