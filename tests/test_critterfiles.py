"""Critters as files: complete or absent, the same bytes again, nobody else's files touched, the truth found again."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coursekit import critters
from coursekit.critters import files as critterfiles

ROOT = Path(__file__).parent.parent
WRITE = """if True:
    import sys
    from coursekit.critters import files as critterfiles
    critterfiles.write_folder(sys.argv[1], {"train": 60, "test": 2}, sides=(40, 70))"""


def process(path):
    """Start a process that writes critters to ``path``."""
    command = [sys.executable, "-W", "error", "-c", WRITE, str(path)]
    return subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)


def contents(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def small(root, **options):
    return critterfiles.write_folder(root, {"train": 5, "test": 2}, **{"sides": (40, 70), **options})


def test_a_folder_of_pictures(tmp_path):
    root = small(tmp_path / "a" / "b c ü")
    assert root == tmp_path / "a" / "b c ü"
    files = contents(root)
    cats, dogs = [f"train/cats/cat.{i}.jpg" for i in range(3)], [f"train/dogs/dog.{i}.jpg" for i in range(2)]
    assert set(files) == {*cats, *dogs, "test/cats/cat.0.jpg", "test/dogs/dog.0.jpg", "truth.json"}
    assert len(set(files.values())) == len(files)
    sizes = set()
    for name in files.keys() - {"truth.json"}:
        with Image.open(root / name) as image:
            assert image.format == "JPEG"
            sizes.add(image.size)
            pixels = np.asarray(image.convert("RGB")).astype(int)
        truth = json.loads((root / "truth.json").read_text())["files"][name]
        c = critters.draw(truth["species"], truth["seed"], truth["size"])
        assert truth["box"] == list(c.box)
        assert truth["parts"] == {part: list(place) for part, place in c.parts.items()}
        assert c.species == name.split("/")[2].split(".")[0]
        assert c.mask.shape == pixels.shape[:2]
        assert np.abs(pixels - c.image).mean() < 12  # what JPEG loses
    assert all(40 <= side <= 70 for size in sizes for side in size)
    assert len(sizes) > 3
    assert [p.name for p in root.parent.iterdir()] == ["b c ü"]


def test_plurals_name_the_class_folders(tmp_path):
    root = critterfiles.write_folder(tmp_path / "x", {"all": 3}, ("mouse", "sheep", "fox"), sides=(32, 32))
    assert sorted(p.name for p in (root / "all").iterdir()) == ["foxes", "mice", "sheep"]


def test_a_folder_has_the_same_bytes_again(tmp_path):
    first = contents(small(tmp_path / "first"))
    assert contents(small(tmp_path / "second")) == first
    assert contents(small(tmp_path / "third", seed=1)).keys() == first.keys()
    assert contents(tmp_path / "third") != first


def test_more_pictures_keep_the_first_ones(tmp_path):
    few = contents(small(tmp_path / "few"))
    many = contents(critterfiles.write_folder(tmp_path / "many", {"test": 2, "train": 9}, sides=(40, 70)))
    del few["truth.json"]
    assert few.items() <= many.items()


def test_a_second_call_writes_nothing(tmp_path, monkeypatch):
    root = small(tmp_path / "x")
    before = contents(root)
    monkeypatch.setattr(critterfiles, "_write", lambda *_: pytest.fail("drew again"))
    assert small(root) == root
    (root / ".DS_Store").touch()  # what a file manager leaves behind does no harm
    assert small(root) == root
    (root / ".DS_Store").unlink()
    assert contents(root) == before


def test_an_empty_folder_is_filled(tmp_path):
    assert len(contents(small(tmp_path))) == 8


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("months of work")
    with pytest.raises(FileExistsError, match=r"holds something else.*does not exist"):
        small(tmp_path)
    with pytest.raises(FileExistsError, match="holds something else"):
        small(tmp_path / "thesis.txt")
    for text in ("[]", "{}", "no json"):
        (tmp_path / "truth.json").write_text(text)
        with pytest.raises(FileExistsError, match="holds something else"):
            small(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "months of work"


def test_a_folder_of_other_critters_is_left_alone(tmp_path):
    root = small(tmp_path / "x")
    before = contents(root)
    for other in ({"seed": 1}, {"difficulty": 0.4}, {"species": ("dog", "cat")}):
        with pytest.raises(FileExistsError, match=f"holds other critters: {next(iter(other))} .*does not exist"):
            small(root, **other)
    assert contents(root) == before


def test_a_changed_folder_is_reported(tmp_path):
    root = small(tmp_path / "x")
    picture, other = root / "train/cats/cat.1.jpg", root / "train/dogs/holiday.jpg"
    whole = picture.read_bytes()
    picture.unlink()
    with pytest.raises(FileExistsError, match=r"train/cats/cat.1.jpg is missing, or was added"):
        small(root)
    picture.write_bytes(whole)
    other.write_bytes(whole)
    with pytest.raises(FileExistsError, match=r"train/dogs/holiday.jpg is missing, or was added"):
        small(root)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    save, calls = Image.Image.save, []

    def full_disk(self, path, **options):
        calls.append(path)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        save(self, path, **options)

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        small(tmp_path / "x")
    assert len(calls) == 4
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert len(contents(small(tmp_path / "x"))) == 8


def test_another_process_may_be_faster(tmp_path, monkeypatch):
    write = critterfiles._write

    def slow(folder, request):
        write(folder, request)
        if not (tmp_path / "x").exists():
            write(tmp_path / "x", {**request, **other})

    monkeypatch.setattr(critterfiles, "_write", slow)
    other = {}
    small(tmp_path / "x")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert len(contents(tmp_path / "x")) == 8
    critterfiles.shutil.rmtree(tmp_path / "x")
    other = {"seed": [5]}
    with pytest.raises(FileExistsError, match="holds other critters: seed"):
        small(tmp_path / "x")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_two_processes_at_once(tmp_path):
    both = [process(tmp_path / "x") for _ in range(2)]
    errors = [p.communicate(timeout=120)[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], errors
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    here = critterfiles.write_folder(tmp_path / "y", {"train": 60, "test": 2}, sides=(40, 70))
    assert contents(tmp_path / "x") == contents(here)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"counts": {}}, TypeError, "counts must say"),
        ({"counts": 100}, TypeError, "counts must say"),
        ({"counts": {"train": 1}}, ValueError, r"counts\['train'\] must be at least 2, not 1"),
        ({"counts": {"train": 2.5}}, TypeError, "whole number"),
        ({"sides": (100, 50)}, ValueError, "sides must be"),
        ({"sides": (8, 50)}, ValueError, "sides must be at least 32"),
        ({"species": ("cat", "unicorn")}, ValueError, "no species 'unicorn'"),
        ({"difficulty": 2}, ValueError, "difficulty must be between 0 and 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
    ],
)
def test_wrong_arguments_are_refused(wrong, error, message, tmp_path):
    with pytest.raises(error, match=message):
        critterfiles.write_folder(**{"root": tmp_path / "x", "counts": {"train": 4}, **wrong})
    assert not list(tmp_path.iterdir())


# fmt: off
PLACES = [
    9, 8, 48, 64, 0, 13, 59, 64, 7, 8, 45, 64, 4, 8, 50, 64, 0, 13, 59, 64,
    8, 8, 43, 64, 0, 16, 59, 64, 5, 9, 50, 64, 11, 8, 38, 64, 1, 8, 56, 64,
    1, 9, 56, 64, 4, 8, 52, 64, 5, 8, 49, 64, 4, 8, 52, 64, 6, 8, 46, 64,
    13, 8, 41, 64, 8, 8, 49, 64, 9, 16, 59, 64, 0, 11, 59, 64, 9, 8, 53, 64,
]
# fmt: on
TONE = [85.0, 103.5]


def test_the_version_is_raised_with_the_drawings():
    """If this fails because you changed the drawings: raise `critterfiles._VERSION` and put the new values here."""
    places = [v for name in critters.SPECIES for v in critters.draw(name, 0).box]
    tone = [float(critters.draw(name, 0).image.mean()) for name in ("cat", "dog")]
    assert critterfiles._VERSION == 3
    assert np.abs(np.array(places) - PLACES).max() <= 1, places
    assert tone == pytest.approx(TONE, abs=1), tone


def test_a_folder_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert critters.write_folder("~/critters", {"train": 2}, sides=(32, 32)) == tmp_path / "critters"
    assert (tmp_path / "critters" / "truth.json").is_file()
