"""The training of the stored colorizer: it learns, writes, loads again; one seed, one network; what it is shown."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from coursekit import pretrained
from coursekit.colorization import Bins, lab_to_rgb, stored
from tests.benchmarks import colorization as benchmark
from tools import train_colorizer

FLOWERS = Path(__file__).parents[2] / "shared" / "data" / "flowers_4000.tar"


@pytest.mark.skipif(not FLOWERS.exists(), reason="needs ../shared/data/flowers_4000.tar")
def test_the_stored_colorizer_on_flowers_that_it_has_not_seen(tmp_path):
    """It beats both baselines, and has three quarters of the true colourfulness, with one decoding."""
    with tarfile.open(FLOWERS) as archive:
        held_out = sorted((one for one in archive if one.isfile()), key=lambda one: one.name)[6::13]
        archive.extractall(tmp_path, held_out[::6], filter="data")
    card = pretrained.read_cards()[stored.NAME]
    found = train_colorizer.judge(*stored.load(), sorted(tmp_path.rglob("*.jpg")), card["constant"])
    assert found["photos"] > 40
    assert found["ciede2000"] < min(found["gray"], found["constant"])
    assert found["colourfulness"] > 0.75 * found["true_colourfulness"]
    kept = card["held out"]["flowers"]  # of all of them
    for name in ("ciede2000", "gray", "constant", "colourfulness"):
        assert found[name] == pytest.approx(kept[name], rel=0.15)


def flat_photo(path, colour, size=(120, 130)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    """Bright photos are red and dark ones blue, so that lightness tells the colour."""
    for n in range(70):
        colour = (230, 120, 110) if n % 2 else (30, 40, 110)
        flat_photo(tmp_path / "photos" / f"kind {n % 3}" / f"{n:03d}.png", colour)
    return tmp_path / "photos"


def test_training_learns_writes_loads_again_and_is_judged(folder, tmp_path, monkeypatch, capsys):
    (folder / "no photo.jpg").write_bytes(b"<!doctype html>")
    monkeypatch.setattr(train_colorizer, "_RATE", 1e-2)
    into = tmp_path / "weights"
    train_colorizer.main(["--photos", str(folder), "--epochs", "8", "--into", str(into)])
    said = capsys.readouterr().out
    assert "left out: no photo.jpg" in said
    assert "epoch 8: loss" in said
    card = pretrained.read_cards(into)[stored.NAME]
    assert (card["images"], card["seed"], card["epochs"]) == (65, 0, 8)
    monkeypatch.setattr("coursekit.pretrained.FOLDERS", (into,))
    monkeypatch.setattr("sys.argv", ["colorization.py", "--photos", str(folder)])
    model, bins = stored.load()
    assert not model.training
    assert len(bins) == 2
    benchmark.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["photos"] == 70
    assert result["ciede2000"] < 0.5 * min(result["gray"], result["constant"])
    assert result["colourfulness"] == pytest.approx(result["true_colourfulness"], rel=0.3)


def test_training_with_one_seed_gives_one_network():
    photos = [torch.randint(0, 256, (3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))] * 32
    torch.manual_seed(7)
    one = train_colorizer.train_colorizer(photos, 1)[0].state_dict()
    torch.manual_seed(8)
    again, other = (train_colorizer.train_colorizer(photos, 1, seed)[0].state_dict() for seed in (0, 1))
    for name, value in one.items():
        torch.testing.assert_close(again[name], value)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_photos_are_read_as_lab(tmp_path):
    flat_photo(tmp_path / "a.png", (200, 60, 60), size=(300, 100))  # longer than it may be
    photo = train_colorizer.read_photo(tmp_path / "a.png")
    assert photo.shape == (3, 112, 168)
    light, ab = train_colorizer.unpack(photo[None])
    lab = torch.cat([light, ab], dim=1)[0].movedim(0, -1).numpy() * 100
    assert np.abs(lab_to_rgb(lab).astype(int) - (200, 60, 60)).max() <= 4
    flat_photo(tmp_path / "b.png", (0, 0, 0), size=(20, 25))
    assert train_colorizer.read_photo(tmp_path / "b.png").shape == (3, 140, 112)


def test_every_13th_photo_is_kept_apart(folder):
    train, held_out = train_colorizer.split(folder)
    assert len(train) == 65
    assert len(held_out) == 5
    assert not set(train) & set(held_out)


def test_batches_cut_pieces_and_mirror_lightness_and_colours_alike():
    """Each photo has one value, and a ramp from left to right; a piece keeps both, or is mirrored in both."""
    ramp = torch.linspace(0, 50, 150).expand(112, -1)
    photos = [torch.stack([ramp + n, ramp + n, ramp + n]).round().byte() for n in range(70)]
    batches = train_colorizer.Batches(photos, seed=0)
    assert len(batches) == 2
    rising = set()
    for index in range(2):
        light, ab = batches[index]
        assert light.shape == (32, 1, 96, 96)
        assert ab.shape == (32, 2, 48, 48)
        small = F.interpolate(light, (48, 48), mode="bilinear", antialias=True)
        torch.testing.assert_close(small * 255, ab[:, :1] * 100 + 128, atol=0.6, rtol=0)
        rising |= {bool(one[0, 40, 0] < one[0, 40, -1]) for one in light}
    assert rising == {True, False}


def test_targets_are_shared_by_the_nearest_bins():
    bins = Bins(
        torch.tensor([[a, b] for a in (-0.36, -0.12, 0.12, 0.36) for b in (-0.36, -0.12, 0.12, 0.36)]), torch.ones(16)
    )
    targets = train_colorizer.soft_targets(bins, 0.5)
    torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))  # even shares: all weights are 1
    assert ((targets > 0).sum(1) <= 5).all()
    colours = torch.tensor([[-0.34, 0.1], [0.11, -0.14]]).T.reshape(1, 2, 1, 2)
    rows = targets[train_colorizer.grid_index(colours)]
    assert torch.equal(rows.argmax(1), bins.encode(colours).flatten())
    rare = Bins(bins.centres, torch.tensor([0.85] + [0.01] * 15))
    weights = train_colorizer.soft_targets(rare, 0.5).sum(1)
    assert weights.max() > 10 * weights.min()
