"""Folders of every awkward kind: each file is converted, refused or ignored, by name, and never a crash."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from coursekit.data import folders
from coursekit.data.folders import FolderError, read
from coursekit.data.imageset import ImageSet
from coursekit.photos import ImageFileError, read_image
from tests import odd_images as odd
from tests.odd_folders import CONVERTED, IGNORED, LAYOUTS, PLACES, REFUSED, fill, lay, make

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8))
PHOTO = NOISE.resize((610, 370), Image.Resampling.BICUBIC)


@pytest.fixture
def root(tmp_path):
    return fill(tmp_path / "pets")


@pytest.fixture
def write(tmp_path):
    def write(data, name="image.png"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def squares(image):
    """The colours in the middle of the four squares of a float image, 0..255."""
    middle = [odd.SIDE // 4, odd.SIDE * 3 // 4]
    return (torch.stack([image[:, y, x] for y in middle for x in middle]) * 255).numpy()


# --- Every file of a folder


def test_each_odd_image_is_read_and_reported(root, capsys):
    for name, (data, *_) in CONVERTED.items():
        (root / "cats" / name).write_bytes(data)
    dataset = read(root, odd.SIDE)
    assert dataset.report.read == len(dataset) == 8 + len(CONVERTED)
    assert dataset.report.refused == dataset.report.ignored == {}
    assert set(dataset.report.converted) == {f"cats/{name}" for name, (_, note, *_) in CONVERTED.items() if note}
    for name, (_, note, colours, tolerance) in CONVERTED.items():
        image, label = dataset[dataset.names.index(f"cats/{name}")]
        assert label == 0
        assert np.abs(squares(image) - colours).max() <= tolerance, name
        assert (note or "") in dataset.report.converted.get(f"cats/{name}", ""), name
    assert capsys.readouterr() == ("", "")  # no warning of Pillow's either


def test_each_bad_image_is_refused_by_name(tmp_path, capsys):
    root = fill(tmp_path / "pets", number=12)
    for name, (data, _) in REFUSED.items():
        (root / "dogs" / name).write_bytes(data)
    dataset = read(root, 8)
    assert {name: reason for name, reason in dataset.report.refused.items() if REFUSED[name[5:]][1] not in reason} == {}
    assert set(dataset.report.refused) == {f"dogs/{name}" for name in REFUSED}
    assert not [reason for reason in dataset.report.refused.values() if str(tmp_path) in reason]
    assert dataset.report.converted == dataset.report.ignored == {}
    assert len(dataset) == dataset.report.read == 24
    assert "pets: 24 images read (0 of them converted), 19 refused" in (out := capsys.readouterr().out)
    assert "First refused: dogs/32.tif (unreadable: more than 16 bits" in out


def test_other_files_are_ignored_by_name(root, capsys):
    for name, data in IGNORED.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    report = read(root, 8).report
    hidden = ("__MACOSX", ".git")
    assert set(report.ignored) == {name.split("/")[0] if name.startswith(hidden) else name for name in IGNORED}
    assert report.read == 8
    assert report.refused == report.converted == {}
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(os.name == "nt", reason="makes links and pipes")
@pytest.mark.parametrize("place", PLACES)
def test_wrong_places(root, place):
    change, name, reason = PLACES[place]
    change(root)
    dataset = read(root, 8)
    assert list(dataset.report.refused) == [name]
    assert reason in dataset.report.refused[name]
    assert len(dataset) == 8


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="such names cannot exist here")
def test_names_that_are_no_text_can_be_printed(root):
    Path(os.fsdecode(os.fsencode(root / "cats") + b"/M\x81ller.png")).write_bytes(b"")
    report = read(root, 8).report
    assert list(report.refused) == ["cats/M\\udc81ller.png"]
    str(report).encode()


def test_no_permission_for_a_file(root, monkeypatch):
    def refuse(path, *args, original=Image.open, **options):
        if "good2" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *args, **options)

    monkeypatch.setattr(Image, "open", refuse)
    refused = read(root, 8).report.refused
    assert refused == dict.fromkeys(["cats/good2.png", "dogs/good2.png"], "no permission: this user may not read it")


def test_more_refused_than_read(root):
    for i in range(8):
        (root / "cats" / f"empty{i}.png").write_bytes(b"")
    assert len(read(root, 8)) == 8
    (root / "cats/empty8.png").write_bytes(b"")
    with pytest.raises(FolderError, match=r"(?s)more files were refused than read.*9  empty: cats/empty0"):
        read(root, 8)


def test_the_order_is_that_of_the_names(tmp_path):
    from torchvision.datasets import ImageFolder

    for name in ("b/2", "b/10", "b/B", "B/x", "a/ä"):
        make(tmp_path / f"{name}.png")
    dataset, theirs = read(tmp_path, 4), ImageFolder(tmp_path)
    assert dataset.classes == ("B", "a", "b") == tuple(theirs.classes)
    assert dataset.names == tuple(Path(path).relative_to(tmp_path).as_posix() for path, _ in theirs.samples)
    assert dataset.labels.tolist() == theirs.targets


def test_what_comes_back(root):
    (root / "cats/gray.png").write_bytes(odd.saved(odd.GRAY, "PNG"))
    (root / "cats/empty.png").write_bytes(b"")
    for i in range(5):
        (root / "dogs" / f"b{i}.txt").write_bytes(b"text")
    dataset = read(root, 16)
    assert isinstance(dataset, ImageSet)
    assert dataset.images.shape == (9, 3, 16, 16)
    assert dataset.images.dtype == torch.uint8
    assert dataset.labels.tolist() == [0] * 5 + [1] * 4
    summary = "pets: 9 images read (1 of them converted), 1 refused, 5 ignored"
    assert repr(dataset).endswith(f"{summary}; see .report")
    assert str(dataset.report).splitlines() == [
        summary,
        "  converted      1  gray to RGB: cats/gray.png",
        "  refused        1  empty: cats/empty.png",
        "  ignored        5  not an image: dogs/b0.txt, dogs/b1.txt, dogs/b2.txt, …",
    ]
    part = dataset.subset([0, 8])
    assert part.report is dataset.report
    assert part.names == ("cats/good0.png", "dogs/good3.png")


def test_progress_shows_a_bar_where_somebody_looks(root, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    read(root, 8)
    assert "8/8" in capsys.readouterr().err


# --- What is no data set


def test_wrong_paths(tmp_path):
    fill(tmp_path / "pets")
    (tmp_path / "pets.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*Did you mean pets"):
        read(tmp_path / "pest")
    with pytest.raises(FileNotFoundError, match=r"has no Pets.*Did you mean pets"):
        read(tmp_path / "Pets" / "train")
    with pytest.raises(FileNotFoundError, match="Did you mean another name"):
        read(tmp_path / "quite another name")
    with pytest.raises(NotADirectoryError, match=r"pets\.zip is a file, not a folder. Unpack an archive first"):
        read(tmp_path / "pets.zip")
    with pytest.raises(ValueError, match="path of a folder"):
        read("")


def test_path_as_text_and_below_home(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("USERPROFILE", str(root.parent))
    monkeypatch.chdir(root)
    assert len(read("~/pets", 8)) == len(read(str(root), 8)) == len(read(".", 8)) == 8
    assert read(".", 8).report.folder == "pets"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wrong_layouts(tmp_path, layout):
    names, message = LAYOUTS[layout]
    with pytest.raises(FolderError, match=message):
        read(lay(tmp_path / "set", names), 8)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"size": 0}, ValueError), ({"size": 8.5}, TypeError), ({"size": "64"}, TypeError), ({"size": None}, TypeError),
     ({"resize": "fit"}, ValueError)],
)  # fmt: skip
def test_wrong_arguments(root, options, error):
    with pytest.raises(error, match=next(iter(options))):
        read(root, **options)


# --- One file


@pytest.mark.parametrize("size", [7, 32, 100])
def test_squash_is_torchvisions_resize_and_crop_the_middle(write, size):
    from torchvision.transforms import v2

    path = write(odd.saved(NOISE, "PNG"))
    array, notes = read_image(path, size)
    assert notes == ()
    np.testing.assert_array_equal(array, np.asarray(v2.Resize((size, size), antialias=True)(NOISE)))
    middle = NOISE.resize((size, size), Image.Resampling.BILINEAR, (12, 0, 49, 37))
    np.testing.assert_array_equal(read_image(path, size, resize="crop")[0], np.asarray(middle))
    np.testing.assert_array_equal(read_image(path)[0], np.asarray(NOISE))


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_jpeg_shrunk_while_decoding_looks_the_same(write, resize):
    path = write(odd.saved(PHOTO, "JPEG"), "photo.jpg")
    for size in (16, 64, 200):  # of 370: shrunk to a quarter, hardly, not at all
        array, _ = read_image(path, size, resize=resize)
        with Image.open(path) as image:
            fit = ImageOps.fit if resize == "crop" else Image.Image.resize
            expected = np.asarray(fit(image, (size, size), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(array - expected).mean() < 2


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_orientation_is_applied_whatever_the_shape(write, resize):
    upright, _ = read_image(write(odd.saved(NOISE, "PNG")), 16, resize=resize)
    for orientation, turn in odd.STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = NOISE if turn is None else NOISE.transpose(turn)
        array, notes = read_image(write(odd.saved(stored, "PNG", exif=exif)), 16, resize=resize)
        assert np.abs(array.astype(int) - upright).max() <= 1
        assert notes == (() if orientation == 1 else ("turned upright",))


def test_no_file(tmp_path):
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(ImageFileError, match="not a file"):
            read_image(path, 8)


VALID = {
    "jpg": odd.saved(odd.COLOUR, "JPEG"),
    "png": odd.saved(odd.COLOUR, "PNG"),
    "gif": odd.saved(odd.COLOUR, "GIF", save_all=True, append_images=[odd.GRAY]),
    "tif": odd.turned(6, "TIFF"),
    "exif.jpg": odd.turned(6, "JPEG"),
    "webp": odd.saved(odd.COLOUR, "WEBP"),
}


@pytest.mark.parametrize("kind", VALID)
def test_cut_and_changed_bytes_never_crash(write, kind):
    draw, data = random.Random(0), VALID[kind]
    for length in range(0, len(data), max(len(data) // 40, 1)):
        outcome = folders._outcome(write(data[:length], f"cut.{kind}"), 8, "squash")
        assert isinstance(outcome, str) or length > len(data) / 10  # a tenth of a picture cannot have been read
    for _ in range(40):
        changed = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            changed[draw.randrange(len(data))] = draw.randrange(256)
        folders._outcome(write(bytes(changed), f"changed.{kind}"), 8, "squash")
    assert read_image(write(data, f"whole.{kind}"), 8)[0].shape == (8, 8, 3)
