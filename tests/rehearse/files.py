"""The downloads of the full profile, for its rehearsal: names, formats and layout are right, contents are made up.

Pictures are few and repeated: the digits of scikit-learn, and animals drawn by the package. Weights are random.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from scipy.io import savemat

from coursekit import critters, data


def write(folder: Path) -> None:
    """Write all that the full profile downloads: data sets, and weights of three networks at full width."""
    drawn, _, _ = critters.make(40, seed=0, size=96)
    photos = [_jpeg(picture) for picture in drawn]
    _digits(folder)  # for MNIST and Fashion-MNIST, whose files have the same names
    _cifar10(folder, drawn[:8])  # so few that gzip sees that they come again
    _cats_vs_dogs(folder, photos)
    _flowers102(folder, photos)
    _places365(folder, photos)
    _weights(folder)


def _digits(folder: Path) -> None:
    digits = data.digits().train
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        rows = np.arange(count) % len(digits)
        images, labels = digits.images[rows, 0].numpy(), digits.labels[rows].numpy()
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">{1 + values.ndim}i", 0x0800 + values.ndim, *values.shape)
            content = gzip.compress(head + values.astype(np.uint8).tobytes(), compresslevel=1)
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(content)


def _cifar10(folder: Path, drawn: np.ndarray) -> None:
    small = np.stack([np.array(Image.fromarray(picture).resize((32, 32))) for picture in drawn])
    rows = np.arange(10_000)
    flat = small.transpose(0, 3, 1, 2).reshape(len(small), -1)
    batch = {"data": flat[rows % len(flat)], "labels": (rows % 10).tolist()}
    files = {f"data_batch_{number}": batch for number in range(1, 6)}
    files |= {"test_batch": batch, "batches.meta": {"label_names": [f"class {number}" for number in range(10)]}}
    pickled = ((f"cifar-10-batches-py/{name}", pickle.dumps(content)) for name, content in files.items())
    _tar(folder / "cifar-10-python.tar.gz", pickled)


def _cats_vs_dogs(folder: Path, photos: list[bytes]) -> None:
    """As Microsoft's, with a file of no bytes, one cut short, one that is no picture, and a file manager's own."""
    faults = {"Cat/66.jpg": b"", "Dog/11.jpg": photos[1][:700], "Dog/70.jpg": b"not a picture"}
    with zipfile.ZipFile(folder / "kagglecatsanddogs_5340.zip", "w") as archive:
        archive.writestr("readme[1].txt", "photos of cats and dogs")
        archive.writestr("PetImages/Cat/Thumbs.db", b"\0")
        for index in range(600):
            for label, kind in enumerate(("Cat", "Dog")):
                photo = photos[(2 * index + label) % len(photos)]
                name = f"{kind}/{index}.jpg"
                archive.writestr(f"PetImages/{name}", faults.get(name, photo))


def _flowers102(folder: Path, photos: list[bytes]) -> None:
    counts = {"trnid": 1020, "valid": 1020, "tstid": 1224}  # for testing there are 6,149 in truth
    numbers = np.arange(sum(counts.values())) + 1
    savemat(folder / "imagelabels.mat", {"labels": numbers % 102 + 1})
    parts = np.split(numbers, np.cumsum(list(counts.values()))[:-1])
    savemat(folder / "setid.mat", dict(zip(counts, parts, strict=True)))
    _tar(folder / "102flowers.tgz", ((f"jpg/image_{n:05d}.jpg", photos[n % len(photos)]) for n in numbers))


def _places365(folder: Path, photos: list[bytes]) -> None:
    names = [f"Places365_val_{number:08d}.jpg" for number in range(1, 17 * 365 + 1)]
    kinds = "".join(f"/p/place_{number:03d} {number}\n" for number in range(365))
    listing = "".join(f"{name} {number % 365}\n" for number, name in enumerate(names))
    lists = {"categories_places365.txt": kinds.encode(), "places365_val.txt": listing.encode()}
    _tar(folder / "filelist_places365-standard.tar", lists.items())
    _tar(folder / "val_256.tar", ((f"val_256/{name}", photos[n % len(photos)]) for n, name in enumerate(names)))


def _weights(folder: Path) -> None:
    torch.manual_seed(0)
    models = torchvision.models
    for name, weights in (("vgg16", models.VGG16_Weights), ("resnet18", models.ResNet18_Weights)):
        file = folder / weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
        old = name == "vgg16"  # its file is of the time before torch wrote zip files
        torch.save(getattr(models, name)().state_dict(), file, _use_new_zipfile_serialization=not old)
    detector = models.detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    name = models.detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1.url.rsplit("/", 1)[1]
    torch.save(detector.state_dict(), folder / name)


def _jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG")
    return file.getvalue()


def _tar(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    packed = path.suffix in (".gz", ".tgz")
    with tarfile.open(path, "w:gz", compresslevel=1) if packed else tarfile.open(path, "w") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
