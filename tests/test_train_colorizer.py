"""The training of the stored colorizer: it learns, writes, loads again, and one seed gives one network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from coursekit import colorization, data
from coursekit.colorization import stored
from tools import train_colorizer


@pytest.mark.trained
def test_training_learns_writes_and_loads_again(seed, tmp_path, monkeypatch, capsys):
    """Two kinds of pictures, bright ones red and dark ones blue: after a few epochs it knows."""
    rng = np.random.default_rng(seed)
    bright = rng.random(256) < 0.5
    pixels = np.where(bright[:, None], (230, 120, 110), (30, 40, 110)) + rng.integers(-9, 10, (256, 1))
    images = torch.tensor(pixels, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, 16, 16).contiguous()
    images = data.ImageSet(images, torch.tensor(bright).long(), ("dark", "bright"))
    model, bins = train_colorizer.train_colorizer(images, epochs=6, width=0.125, seed=seed)
    light, ab = colorization.lab_pairs(images).tensors
    with torch.no_grad():
        guess = bins.decode(model(light))
    assert F.mse_loss(guess, ab) < 0.5 * F.mse_loss(ab.mean((0, 2, 3), keepdim=True).expand_as(ab), ab)
    assert "epoch 6: loss" in capsys.readouterr().out
    train_colorizer.write(model, bins, {"width": 0.125}, tmp_path)
    monkeypatch.setattr("coursekit.pretrained.FOLDERS", (tmp_path,))
    again, bins_again = stored.load()
    assert not again.training
    torch.testing.assert_close(bins_again.centres, bins.centres, atol=1e-3, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(bins_again.decode(again(light)), guess, atol=0.05, rtol=0)


def test_training_with_one_seed_gives_one_network():
    pixels = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8)
    images = data.ImageSet(pixels, torch.zeros(64, dtype=torch.long), ("noise",))
    torch.manual_seed(7)
    one = train_colorizer.train_colorizer(images, width=0.125)[0]
    torch.manual_seed(8)
    again, other = (train_colorizer.train_colorizer(images, 4, 0.125, seed)[0] for seed in (0, 1))
    for name, value in one.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)
    assert not torch.equal(one.encoder[0].weight, other.encoder[0].weight)


def test_training_mirrors_and_enlarges_pictures_and_labels_alike():
    light = torch.arange(130 * 16.0).view(130, 1, 4, 4)  # the corners keep their values in either size
    batches = train_colorizer.Batches(light, light[:, 0].to(torch.int16), seed=0)
    assert len(batches) == 2
    seen = set()
    for _ in range(10):
        pictures = []
        for index in range(2):
            lightness, labels = batches[index]
            assert lightness.shape == (64, 1, *labels.shape[1:])
            for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
                torch.testing.assert_close(lightness[:, 0, row, column], labels[:, row, column].float())
            pictures += (labels[:, 0, 0] // 16).tolist()
            seen.add((labels.shape[1], bool(labels[0, 0, 0] > labels[0, 0, -1])))
        assert len(set(pictures)) == 128  # each at most once in an epoch
    assert seen == {(4, False), (4, True), (6, False), (6, True)}
