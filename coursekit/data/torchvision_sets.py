"""The data sets of the full profile: downloaded once into the cache folder, checked, unpacked, and read.

Each function raises a `DownloadError` with what to do if the files cannot be fetched, stored or read, and a ValueError
if more images are asked for than there are. Importing torchvision takes 2 s, so only those who need it do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import torch
from torch.nn.functional import one_hot

from coursekit import arguments, runtime
from coursekit.data import folders
from coursekit.data.downloads import DownloadError, fetch, unpack
from coursekit.data.imageset import ImageSet, Splits

_MICROSOFT = "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
_CATS_VS_DOGS = _MICROSOFT + "kagglecatsanddogs_5340.zip"
_CATS_VS_DOGS_SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
_AGAIN = "Delete the folder `files` of this set, in the cache folder, and run this again: it is unpacked anew."
_SPARE = 20  # so many photos more are opened than wanted, for the few that are damaged


def mnist() -> Splits:
    """Handwritten digits: 60,000 for training, 10,000 for testing; gray, 28x28; classes 0 to 9.

    A download of 12 MB, 67 MB on the disk. Source: LeCun, Bottou, Bengio and Haffner (1998), through torchvision.
    """
    return _mnist_like("MNIST", "mnist", "LeCun et al. (1998)", map(str, range(10)))


def fashion_mnist() -> Splits:
    """Pieces of clothing: 60,000 for training, 10,000 for testing; gray, 28x28; 10 classes from T-shirt to boot.

    A download of 31 MB, 86 MB on the disk. Source: Xiao, Rasul and Vollgraf (2017), through torchvision.
    """
    return _mnist_like("FashionMNIST", "fashion_mnist", "Xiao et al. (2017)")


def cifar10() -> Splits:
    """Tiny photos: 50,000 for training, 10,000 for testing; colour, 32x32; 10 classes of animals and vehicles.

    A download of 170 MB, 360 MB on the disk. Source: Krizhevsky (2009), through torchvision.
    """
    import torchvision.datasets as tv

    files = _files("cifar10", [([tv.CIFAR10.url], {"md5": tv.CIFAR10.tgz_md5})])
    parts = [_construct(tv.CIFAR10, files, train=train) for train in (True, False)]
    images = [torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in parts]
    learn, judge = (ImageSet(x, torch.tensor(y.targets), y.classes) for x, y in zip(images, parts, strict=True))
    return Splits(learn, judge, "cifar10", "Krizhevsky (2009)")


def cats_vs_dogs(
    train: int = 2000, test: int = 1000, size: int = 64, seed: int = 0, *, resize: str = "squash"
) -> Splits:
    """Photos of cats and dogs: as many as wanted of 25,000; colour; classes cat and dog, about half of each.

    A download of 825 MB, 1.7 GB on the disk. Source: Elson, Douceur, Howell and Saul (2007), from Microsoft. Damaged
    files are named and replaced by others. The test images stay the same, whatever the number for training; the same
    seed gives the same images. For `size` and `resize` see `photos.read_image`.
    """
    wanted = arguments.whole("train", train) + arguments.whole("test", test)
    files = _files("cats_vs_dogs", [([_CATS_VS_DOGS], {"sha256": _CATS_VS_DOGS_SHA256})])
    kinds = folders.find(files / "PetImages", folders.Report("PetImages")).values()  # Cat, Dog
    listing = [(path, label) for label, paths in enumerate(kinds) for path in paths]
    chosen = _read(listing, wanted, ("cat", "dog"), size, resize, seed)
    return Splits(chosen.subset(slice(test, None)), chosen.subset(slice(test)), "cats_vs_dogs", "Elson et al. (2007)")


def flowers102(train: int = 2040, test: int = 1000, size: int = 64, seed: int = 0, *, resize: str = "crop") -> Splits:
    """Photos of flowers: up to 2,040 for training, up to 6,149 for testing; colour; 102 classes.

    The test images are of the official test part. A download of 345 MB, 700 MB on the disk. Source: Nilsback and
    Zisserman (2008), through torchvision. The arguments are those of `cats_vs_dogs`.
    """
    import torchvision.datasets as tv

    prefix, known = tv.Flowers102._download_url_prefix, tv.Flowers102._file_dict
    files = _files("flowers102", [([prefix + known["image"][0]], {"md5": known["image"][1]})], "flowers-102")
    for name, md5 in (known["label"], known["setid"]):
        fetch(prefix + name, files / "flowers-102" / name, md5=md5)
    parts = [list(_construct(tv.Flowers102, files, split=s, loader=Path)) for s in ("train", "val", "test")]
    classes = getattr(tv.Flowers102, "classes", None) or [f"flower {i}" for i in range(1, 103)]
    learn = _read(parts[0] + parts[1], arguments.whole("train", train), classes, size, resize, seed)
    judge = _read(parts[2], arguments.whole("test", test), classes, size, resize, seed)
    return Splits(learn, judge, "flowers102", "Nilsback and Zisserman (2008)")


def places365(train: int = 5000, test: int = 1000, size: int = 64, seed: int = 0, *, resize: str = "crop") -> Splits:
    """Photos of places: as many as wanted of 36,500; colour, at most 256x256; 365 classes.

    The small version of the official validation part. A download of about 570 MB, 1.2 GB on the disk. Source: Zhou,
    Lapedriza, Khosla, Oliva and Torralba (2017), through torchvision. The arguments are those of `cats_vs_dogs`.
    """
    import torchvision.datasets as tv

    wanted = arguments.whole("train", train) + arguments.whole("test", test)
    known = tv.Places365._IMAGES_META["val", True], tv.Places365._DEVKIT_META["standard"]
    archives = [([urljoin(tv.Places365._BASE_URL, name)], {"md5": md5}) for name, md5 in known]
    places = _construct(tv.Places365, _files("places365", archives), split="val", small=True, loader=Path)
    classes = [name[3:] for name in sorted(places.class_to_idx, key=places.class_to_idx.get)]  # "/a/abbey"
    chosen = _read(list(places), wanted, classes, size, resize, seed)
    return Splits(chosen.subset(slice(test, None)), chosen.subset(slice(test)), "places365", "Zhou et al. (2017)")


def _mnist_like(kind: str, name: str, source: str, classes: Iterable[str] = ()) -> Splits:
    import torchvision.datasets as tv

    dataset: type[tv.MNIST] = getattr(tv, kind)
    classes = tuple(classes) or dataset.classes
    archives = [([mirror + file for mirror in dataset.mirrors], {"md5": md5}) for file, md5 in dataset.resources]
    files = _files(name, archives, f"{kind}/raw")
    parts = [_construct(dataset, files, train=train) for train in (True, False)]
    learn, judge = (ImageSet(part.data[:, None], part.targets, classes) for part in parts)
    return Splits(learn, judge, name, source)


def _files(name: str, archives: Iterable[tuple[list[str], dict[str, str]]], inside: str = "") -> Path:
    """Return the folder of a set's files; fetch the archives, each with its checksum, if it is not there yet."""
    home = runtime.cache_dir() / name
    if not (home / "files" / inside).exists():
        fetched = [fetch(urls, home / urls[0].rsplit("/", 1)[1], **checksum) for urls, checksum in archives]
        unpack(fetched, home / "files" / inside)
    return home / "files"


def _construct(dataset: type, root: Path, **options: Any) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # new numpys warn of old pickles, and nobody here can mend them
            return dataset(root, download=False, **options)
    except Exception as error:  # torchvision lets any error of a broken file through
        raise DownloadError(f"the files in {root} cannot be read ({error}). {_AGAIN}") from error


def _read(
    listing: Sequence[tuple[Path, int]], count: int, classes: Sequence[str], size: int, resize: str, seed: int
) -> ImageSet:
    """Read `count` images of a list of (path, label), chosen at random, of each class as many as of the others."""
    if count > len(listing):
        raise ValueError(f"{count:,} images were asked for; there are {len(listing):,}.")
    order = balanced_order(torch.tensor([label for _, label in listing]), seed)[: count + _SPARE].tolist()
    found = folders.read_files([listing[i] for i in order], classes, folders.Report("chosen photos"), size, resize)
    refused = found.report.refused
    if refused:
        print("Left out, because they cannot be read:", ", ".join(f"{name} ({why})" for name, why in refused.items()))
    if len(found) < count:
        raise DownloadError(f"{len(refused):,} of the photos are damaged. {_AGAIN}")
    return found.subset(slice(count))


def balanced_order(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """Return 0 to N - 1 at random, so that every beginning of the list holds about as many of each class."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(int(seed)))
    shuffled = labels[order]
    turn = one_hot(shuffled).cumsum(0).gather(1, shuffled[:, None])[:, 0]  # 1 for the first of each class, and so on
    return order[turn.argsort(stable=True)]
