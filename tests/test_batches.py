import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from coursekit.data import ImageSet
from coursekit.training.batches import Tally, count, make_loader


def numbers(n=11):
    return TensorDataset(torch.arange(n).view(n, 1).float(), torch.arange(n))


def noisy(image):
    return image + torch.rand(1)


def pictures():
    pixels = torch.arange(11 * 4, dtype=torch.uint8).view(11, 1, 2, 2)
    return ImageSet(pixels, torch.arange(11) % 3, ["a", "b", "c"], transform=noisy)


class OneByOne(Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, index):
        return torch.tensor([float(index)]), index


@pytest.mark.parametrize("data", [numbers(), pictures(), Subset(numbers(30), range(3, 14)), OneByOne()])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_fast_path_gives_the_batches_of_a_plain_loader(data, shuffle):
    passes = []
    for fast in (True, False):
        generator = torch.Generator().manual_seed(4)
        if fast:
            loader = make_loader(data, "data", 4, generator if shuffle else None)
        else:
            loader = DataLoader(data, 4, shuffle=shuffle, generator=generator)
        torch.manual_seed(0)
        passes.append([pair for _ in range(2) for pair in loader])
        assert count(loader) == 3
    for (x1, y1), (x2, y2) in zip(*passes, strict=True):
        assert torch.equal(x1, x2)
        assert torch.equal(y1, y2)


def test_a_subclass_that_reads_in_its_own_way_is_read_in_its_way():
    class Inverted(ImageSet):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return 1 - image, label

    data = Inverted(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.long), ["a"])
    images, _ = next(iter(make_loader(data, "data", 3)))
    assert images.min() == 1


def test_a_pass_leaves_the_global_generator_alone():
    for data in (numbers(), OneByOne()):
        before = torch.get_rng_state()
        for generator in (None, torch.Generator()):
            list(make_loader(data, "data", 4, generator))
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", [0, -3, 2.0, "4", None, True])
def test_a_batch_size_must_be_a_whole_number(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a whole number from 1"):
        make_loader(numbers(), "data", batch_size)


def test_means_are_over_samples():
    tally = Tally()
    tally.add(4, torch.tensor(1.0), {"accuracy": torch.tensor(2.0)})
    tally.add(1, torch.tensor(6.0), {"accuracy": torch.tensor(1.0)})
    assert tally.batches == 2
    assert tally.means("data") == {"loss": 2.0, "accuracy": 0.6}
    tally = Tally(**tally.state())
    tally.add(5, torch.tensor(4.0), {"accuracy": torch.tensor(0.0)})
    assert tally.means("data") == {"loss": 3.0, "accuracy": 0.3}
    assert tally.losses == [1.0, 6.0, 4.0]
    with pytest.raises(ValueError, match="val is empty"):
        Tally().means("val")
