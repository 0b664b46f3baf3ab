"""Folders of every awkward kind: each file is converted, refused or ignored, by name, and never a crash."""

import builtins
import itertools
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coursekit.data import folders, foldertree
from coursekit.data.folders import FolderError, read
from coursekit.data.imagesets import ImageSet
from tests import odd_images as odd
from tests.odd_folders import CONVERTED, GOOD, GRAYS, IGNORED, LAYOUTS, PLACES, REFUSED, fill, lay, link, make

REAL = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture
def root(tmp_path):
    return fill(tmp_path / "pets")


def squares(image):
    """The colours in the middle of the four squares of a float image, 0..255."""
    middle = [odd.SIDE // 4, odd.SIDE * 3 // 4]
    return (torch.stack([image[:, y, x] for y in middle for x in middle]) * 255).numpy()


@pytest.mark.parametrize("name", CONVERTED)
def test_read_and_reported(root, capsys, name):
    data, note, colours, tolerance = CONVERTED[name]
    (root / "cats" / name).write_bytes(data)
    dataset = read(root, odd.SIDE)
    name = f"cats/{name}"
    image, label = dataset[dataset.names.index(name)]
    assert label == 0
    assert np.abs(squares(image) - colours).max() <= tolerance
    if note:
        assert note in dataset.report.converted.pop(name)
    assert dataset.report.converted == dataset.report.refused == dataset.report.ignored == {}
    assert dataset.report.read == len(dataset) == 9
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(root, capsys, name):
    data, reason = REFUSED[name]
    (root / "dogs" / name).write_bytes(data)
    dataset = read(root, 8)
    assert list(dataset.report.refused) == [f"dogs/{name}"]
    assert reason in dataset.report.refused[f"dogs/{name}"]
    assert str(root) not in dataset.report.refused[f"dogs/{name}"]
    assert dataset.report.converted == dataset.report.ignored == {}
    assert len(dataset) == dataset.report.read == 8
    assert f"First refused: dogs/{name} (" in capsys.readouterr().out


@pytest.mark.parametrize("name", IGNORED)
def test_other_files_are_ignored_by_name(root, capsys, name):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(IGNORED[name])
    report = read(root, 8).report
    hidden_folder = name.split("/")[0] in ("__MACOSX", ".git")
    assert list(report.ignored) == [name.split("/")[0] if hidden_folder else name]
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
    assert dataset.classes == ("cats", "dogs")
    assert len(dataset) == 8


def test_system_files_deeper_down(root):
    make(root / "cats/young/.DS_Store")
    make(root / "cats/young/.cache/small.png")
    make(root / "cats/young/kitten.png")
    report = read(root, 8).report
    assert list(report.ignored) == ["cats/young/.cache/small.png", "cats/young/.DS_Store"]
    assert list(report.refused) == ["cats/young/kitten.png"]


@pytest.mark.skipif(os.name == "nt", reason="makes links")
def test_links_to_images_are_followed_and_reported(root, tmp_path):
    make(tmp_path / "elsewhere/photo.png")
    link(root / "cats/linked.png", tmp_path / "elsewhere/photo.png")
    link(root / "fish", tmp_path / "elsewhere")
    dataset = read(root, 8)
    assert dataset.report.converted == {"cats/linked.png": "link followed", "fish/photo.png": "link followed"}
    assert dataset.counts() == {"cats": 5, "dogs": 4, "fish": 1}


def test_names_that_differ_only_by_case(root):
    make(root / "cats/GOOD1.png")
    if len(list((root / "cats").iterdir())) == 4:
        pytest.skip("this file system does not tell upper from lower case")
    dataset = read(root, 8)
    assert len(dataset) == 9
    assert "only by case" in dataset.report.converted["cats/good1.png"]


@pytest.mark.parametrize(("one", "two"), [("Fish", "fish"), ("Ärger", "ärger"), ("caf\u00e9", "cafe\u0301")])
def test_classes_that_differ_only_by_case_or_accent_form(root, one, two):
    make(root / one / "x.png")
    make(root / two / "x.png")
    if len(list(root.iterdir())) == 3:
        pytest.skip("this file system does not tell these names apart")
    with pytest.raises(FolderError, match="differ only by case"):
        read(root, 8)


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="such names cannot exist here")
def test_names_that_are_no_text_or_break_lines(root):
    (Path(os.fsdecode(os.fsencode(root / "cats") + b"/\xff\xfe.png"))).write_bytes(GOOD)
    (root / "cats/two\nlines.png").write_bytes(b"")
    (Path(os.fsdecode(os.fsencode(root / "cats") + b"/x.\xff"))).write_bytes(GOOD)
    report = read(root, 8).report
    assert list(report.refused) == ["cats/two\\nlines.png"]
    assert report.converted == {"cats/x.\\udcff": "PNG named .\\udcff"}
    str(report).encode()  # no stray surrogates: it can be printed
    assert report.read == 10


@pytest.fixture
def forbidden(monkeypatch):
    """Permissions stop no superuser, as which the tests may run, so the answer of the system is acted."""

    def forbid(path):
        for module, function in ((builtins, "open"), (os, "scandir")):
            original = getattr(module, function)

            def act(target, *args, original=original, **options):
                if os.fspath(target) == os.fspath(path) if isinstance(target, str | Path) else False:
                    raise PermissionError(13, "Permission denied", str(path))
                return original(target, *args, **options)

            monkeypatch.setattr(module, function, act)

    return forbid


def test_no_permission_for_a_file(root, forbidden):
    forbidden(root / "cats/good2.png")
    assert read(root, 8).report.refused == {"cats/good2.png": "no permission: this user may not read it"}


def test_no_permission_for_a_class(root, forbidden):
    forbidden(root / "cats")
    with pytest.raises(FolderError, match=r"no image in the class cats \(cats/: no permission"):
        read(root, 8)


def test_no_permission_for_the_folder(root, forbidden):
    forbidden(root)
    with pytest.raises(PermissionError):
        read(root, 8)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not stop this user")
def test_no_permission_in_earnest(root):
    (root / "cats/good2.png").chmod(0)
    assert "no permission" in read(root, 8).report.refused["cats/good2.png"]


def test_order_is_natural_and_not_the_file_systems(tmp_path, monkeypatch):
    names = ["cat.10.png", "cat.2.png", "Cat.1.png", "b.png", "10.png", "9.png", "cat.02.png", "Übung.png", "cat2b.png"]
    for name, label in itertools.product(names, ["10", "9", "Zebra", "ant"]):
        make(tmp_path / "set" / label / name)
    first = read(tmp_path / "set", 4)
    assert first.classes == ("9", "10", "ant", "Zebra")
    expected = [
        "9.png",
        "10.png",
        "b.png",
        "cat2b.png",
        "Cat.1.png",
        "cat.02.png",
        "cat.2.png",
        "cat.10.png",
        "Übung.png",
    ]
    assert [name.removeprefix("9/") for name in first.names[:9]] == expected
    scandir = os.scandir

    class Shuffled:
        def __init__(self, folder):
            self.folder = folder

        def __enter__(self):
            with scandir(self.folder) as entries:
                return random.Random(0).sample(listed := list(entries), len(listed))

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert read(tmp_path / "set", 4).names == first.names


def test_many_workers_give_the_same(root):
    for i in range(30):
        (root / "cats" / f"noise{i}.jpg").write_bytes(odd.saved(Image.effect_noise((50, 40), 60), "JPEG"))
        (root / "dogs" / f"broken{i}.jpg").write_bytes(b"x" * i)
    one, eight = read(root, 16, workers=1), read(root, 16, workers=8)
    assert torch.equal(one.images, eight.images)
    assert one.names == eight.names
    assert one.report == eight.report
    assert len(one.report.refused) == 30


def test_what_comes_back(root):
    (root / "cats/gray.png").write_bytes(odd.saved(odd.GRAY, "PNG"))
    (root / "cats/empty.png").write_bytes(b"")
    dataset = read(root, 16)
    assert isinstance(dataset, ImageSet)
    assert dataset.images.shape == (9, 3, 16, 16)
    assert dataset.images.dtype == torch.uint8
    assert dataset.labels.tolist() == [0] * 5 + [1] * 4
    assert dataset.names[0] == "cats/good0.png"
    summary = "pets: 9 images read (1 of them converted), 1 refused, 0 ignored"
    assert repr(dataset).endswith(f"{summary}; see .report")
    assert str(dataset.report).splitlines() == [
        summary,
        "  converted      1  gray to RGB: cats/gray.png",
        "  refused        1  empty: cats/empty.png",
    ]
    part = dataset.subset([0, 8])
    assert part.report is dataset.report
    assert part.names == ("cats/good0.png", "dogs/good3.png")


def test_a_long_report_stays_short(root):
    for i in range(40):
        (root / "cats" / f"b{i}.txt").write_bytes(b"text")
    lines = str(read(root, 8).report).splitlines()
    assert lines[1] == "  ignored       40  not an image: cats/b0.txt, cats/b1.txt, cats/b2.txt, …"


def test_gray_sets(root):
    dataset = read(root, odd.SIDE, channels=1)
    assert dataset.channels == 1
    assert np.abs(squares(dataset[0][0]) - GRAYS[:, :1]).max() <= 1


def test_limit_per_class(root):
    (root / "cats/.hidden").write_bytes(b"x")
    (root / "dogs/a.png").write_bytes(b"")
    dataset = read(root, 8, limit_per_class=2)
    assert dataset.names == ("cats/good0.png", "cats/good1.png", "dogs/good0.png")
    assert dataset.report.unused == 5
    assert "5 not needed" in repr(dataset)


def test_strict(root):
    assert len(read(root, 8, strict=True)) == 8
    (root / "cats/gray.png").write_bytes(odd.saved(odd.GRAY, "PNG"))
    (root / "cats/notes.txt").write_bytes(b"text")
    assert len(read(root, 8, strict=True)) == 9
    (root / "cats/empty.png").write_bytes(b"")
    with pytest.raises(FolderError, match=r"(?s)strict=True.*cats/empty\.png"):
        read(root, 8, strict=True)


def test_more_refused_than_read(root):
    for i in range(8):
        (root / "cats" / f"empty{i}.png").write_bytes(b"")
    assert len(read(root, 8)) == 8
    (root / "cats/empty8.png").write_bytes(b"")
    with pytest.raises(FolderError, match=r"(?s)more files were refused than read.*9  empty: cats/empty0"):
        read(root, 8)


def test_memory_is_bounded(root):
    assert len(read(root, 16, memory_limit=8 * 3 * 16 * 16)) == 8
    with pytest.raises(FolderError, match=r"8 images of 3x16x16 .*\(size=15\), fewer"):
        read(root, 16, memory_limit=8 * 3 * 16 * 16 - 1)
    assert len(read(root, 15, memory_limit=8 * 3 * 16 * 16 - 1)) == 8
    assert len(read(root, 16, memory_limit=8 * 3 * 16 * 16 - 1, limit_per_class=3)) == 6
    with pytest.raises(FolderError, match=r"Read them fewer"):
        read(root, 16, memory_limit=0)


def test_wrong_folders(tmp_path):
    fill(tmp_path / "pets")
    (tmp_path / "pets.zip").write_bytes(b"PK")
    (tmp_path / "photos.tar.gz").write_bytes(b"x")
    (tmp_path / "note.txt").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*Did you mean pets"):
        read(tmp_path / "pest")
    with pytest.raises(FileNotFoundError, match=r"has no Pets/*.*Did you mean pets"):
        read(tmp_path / "Pets" / "train")
    with pytest.raises(FileNotFoundError, match=r"Did you mean photos\.tar\.gz"):
        read(tmp_path / "photos")
    with pytest.raises(FileNotFoundError, match="Check the spelling"):
        read(tmp_path / "quite another name")
    with pytest.raises(NotADirectoryError, match=r"pets\.zip is an archive: unpack it first"):
        read(tmp_path / "pets.zip")
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        read(tmp_path / "note.txt")
    for nothing in (None, 3, "", "  ", ["pets"], b"pets"):
        with pytest.raises(TypeError, match="path of a folder"):
            read(nothing)


def test_path_as_text_and_below_home(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("USERPROFILE", str(root.parent))
    monkeypatch.chdir(root)
    assert len(read("~/pets", 8)) == len(read(str(root), 8)) == len(read(".", 8)) == 8
    assert read(".", 8).report.folder == "pets"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wrong_layouts(tmp_path, layout):
    names, message = LAYOUTS[layout]
    with pytest.raises(FolderError, match=f"(?s){message}"):
        read(lay(tmp_path / "set", names), 8)


def test_empty_classes_where_wanted(tmp_path):
    root = lay(tmp_path / "set", ["cats/a.png", "dogs/", "fish/a.txt"])
    dataset = read(root, 8, allow_empty=True)
    assert dataset.counts() == {"cats": 1, "dogs": 0, "fish": 0}
    (root / "cats/a.png").unlink()
    with pytest.raises(FolderError, match="no image in the classes cats, dogs, fish"):
        read(root, 8, allow_empty=True)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"resize": "fit"},
        {"channels": 2},
        {"limit_per_class": 0},
        {"limit_per_class": 1.5},
        {"limit_per_class": True},
        {"workers": 0},
        {"workers": "2"},
    ],
)
def test_wrong_arguments(root, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        read(root, **options)


def test_interrupted(root, monkeypatch):
    """An interrupt does not wait until the other files are read."""
    started = []

    def decode(path, *_):
        started.append(path)
        if len(started) == 1:
            raise KeyboardInterrupt
        time.sleep(0.2)

    monkeypatch.setattr(folders.imagefiles, "decode", decode)
    with pytest.raises(KeyboardInterrupt):
        read(root, 8, workers=1)
    assert len(started) < 8


def test_progress_shows_a_bar_where_somebody_looks(root, capsys, monkeypatch):
    read(root, 8)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    read(root, 8)
    assert "8/8" in capsys.readouterr().err
    read(root, 8, progress=False)
    assert capsys.readouterr().err == ""


@given(st.lists(st.tuples(st.sampled_from(["cats", "dogs", "."]), st.binary(max_size=80)), max_size=6), st.data())
@settings(max_examples=60, deadline=None)
def test_any_folder_is_read_or_raises_folder_error(tmp_path_factory, files, data):
    root = fill(tmp_path_factory.mktemp("any") / "set", number=2)
    for i, (label, content) in enumerate(files):
        whole = data.draw(st.sampled_from([content, GOOD, odd.saved(odd.COLOUR, "JPEG"), odd.turned(3, "TIFF")]))
        ending = data.draw(st.sampled_from([".jpg", ".png", ".txt", ""]))
        (root / label / f"{i}{ending}").write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        dataset = read(root, 4)
    except FolderError:
        return  # more refused than read
    report = dataset.report
    assert len(dataset) + len(report.refused) + len(report.ignored) == 4 + len(files)
    assert len(set(dataset.names) | set(report.refused) | set(report.ignored)) == 4 + len(files)


@pytest.mark.parametrize(
    ("left", "right"), [("cat.2", "cat.10"), ("a", "B"), ("9", "a"), ("x9y2", "x9y10"), ("a", "a1"), ("1a", "01b")]
)
def test_natural_key(left, right):
    assert foldertree.natural_key(left) < foldertree.natural_key(right)


@given(st.lists(st.text(), unique=True))
def test_natural_key_is_a_total_order(names):
    backwards = names[::-1]
    assert sorted(names, key=foldertree.natural_key) == sorted(backwards, key=foldertree.natural_key)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real photos (../shared/data) are not here")
def test_real_photos(tmp_path):
    import tarfile

    wanted = {f"training_set/{kind}s/{kind}.{i}.jpg" for kind in ("cat", "dog") for i in range(1, 11)}
    with tarfile.open(REAL / "cats_vs_dogs_1000.tar") as archive:
        members = [member for member in archive if member.name.removeprefix("./") in wanted]
        archive.extractall(tmp_path, members, filter="data")
    dataset = read(tmp_path / "training_set", 64)
    assert dataset.counts() == {"cats": 10, "dogs": 10}
    assert dataset.report.refused == dataset.report.converted == {}
    assert dataset.names[1] == "cats/cat.2.jpg"
    for i in (0, 9, 19):
        with Image.open(tmp_path / "training_set" / dataset.names[i]) as photo:
            expected = np.asarray(photo.resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(dataset.images[i].permute(1, 2, 0).numpy() - expected).mean() < 2
