import math
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Subset, TensorDataset

from coursekit.data.imageset import ImageSet
from coursekit.training.batches import OneProcess, Shares, backward, count, make_loader, means


def numbers(n=11):
    return TensorDataset(torch.arange(n).view(n, 1).float(), torch.arange(n))


def pictures():
    pixels = torch.arange(11 * 4, dtype=torch.uint8).view(11, 1, 2, 2)
    return ImageSet(pixels, torch.arange(11) % 3, ["a", "b", "c"], transform=lambda image: image + torch.rand(1))


class OneByOne(Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, index):
        return torch.tensor([float(index)]), index


@pytest.mark.parametrize("data", [numbers(), pictures(), Subset(numbers(30), torch.arange(3, 14)), OneByOne()])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_batches_are_those_of_a_plain_loader(data, shuffle):
    passes = []
    for ours in (True, False):
        generator = torch.Generator().manual_seed(4)
        if ours:
            loader = make_loader(data, "data", 4, OneProcess(), generator if shuffle else None)
        else:
            loader = DataLoader(data, 4, shuffle=shuffle, generator=generator)
        torch.manual_seed(0)
        passes.append([pair for _ in range(2) for pair in loader])
        assert count(loader) == 3
    for (x1, y1), (x2, y2) in zip(*passes, strict=True):
        assert torch.equal(x1, x2)
        assert torch.equal(y1, y2)


def test_a_pass_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    for generator in (None, torch.Generator()):
        list(make_loader(OneByOne(), "data", 4, OneProcess(), generator))
    assert torch.equal(torch.get_rng_state(), before)


def batch(loss, samples, accuracy, counted):
    return {
        "loss": (torch.tensor(loss), torch.tensor(samples)),
        "accuracy": (torch.tensor(accuracy), torch.tensor(counted)),
    }


def test_means_are_over_samples():
    nothing = batch(float("nan"), 0.0, 0.0, 0)  # the loss leaves out all labels of this batch
    found, losses = means([batch(1.0, 4.0, 2.0, 4), batch(6.0, 1.0, 1.0, 1), nothing], OneProcess())
    assert found == {"loss": 2.0, "accuracy": 0.6}
    assert losses[:2] == [1.0, 6.0]
    assert math.isnan(means([batch(1.0, 4.0, 0.0, 0)], OneProcess())[0]["accuracy"])


@pytest.mark.parametrize("processes", [2, 3, 5])
@pytest.mark.parametrize("samples", [1, 8, 13])
def test_shares_hold_each_sample(processes, samples):
    def order():
        return RandomSampler(range(samples), generator=torch.Generator().manual_seed(3))

    whole = list(BatchSampler(order(), 4, drop_last=False))
    drawn = [
        list(Shares(order(), 4, SimpleNamespace(global_rank=rank, world_size=processes))) for rank in range(processes)
    ]
    for number, indices in enumerate(whole):
        shares = [shares[number] for shares in drawn]
        assert all(shares), "nobody may miss a step"
        assert {index for share in shares for index in share} == set(indices)
        if len(indices) >= processes:
            assert sum(map(len, shares)) == len(indices)


def test_shares_of_different_size_are_weighted():
    """Two processes with 3 and 1 samples: the mean of their gradients must be that of all four."""
    x = torch.tensor([1.0, 2.0, 3.0, 10.0])
    gradients = []
    for part in (x[:3], x[3:]):
        w = torch.ones((), requires_grad=True)
        fabric = SimpleNamespace(
            world_size=2, all_reduce=lambda n, reduce_op: n * 0 + 4, backward=lambda loss: loss.backward()
        )
        backward((w * part).mean(), len(part), fabric)
        gradients.append(w.grad)
    assert torch.stack(gradients).mean() == x.mean()


def test_what_cannot_be_shared_is_refused():
    fabric = SimpleNamespace(world_size=2, global_rank=0)
    with pytest.raises(ValueError, match="train cannot be shared among processes: give a data set"):
        make_loader(DataLoader(numbers(), 2), "train", 4, fabric)
