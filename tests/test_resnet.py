"""`resnet` against torchvision, and against what notebook 05 writes by hand."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from coursekit import resnet
from tests.notebook_functions import functions_of


def shapes(model):
    return [(name, tuple(value.shape)) for name, value in model.state_dict().items()]


@pytest.fixture(scope="module")
def by_hand():
    return functions_of("05_resnet_blocks")


def same_weights(theirs, ours):
    """Give the second model the weights of the first, in their order, whatever their names."""
    values = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(values))
    return theirs, ours


# The residual block


def test_residual_block_is_relu_of_input_plus_branch():
    block = resnet.ResidualBlock(3)
    x = torch.randn(2, 3, 5, 5)
    assert block.branch(x).shape == x.shape  # before the addition, which could broadcast
    torch.testing.assert_close(block(x), F.relu(x + block.branch(x)))


def test_plain_block_has_the_same_parameters_and_no_shortcut():
    block, plain = resnet.ResidualBlock(3), resnet.ResidualBlock(3, residual=False)
    plain.load_state_dict(block.state_dict())
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(plain.eval()(x), F.relu(block.eval().branch(x)))
    torch.testing.assert_close(block(x), F.relu(x + block.branch(x)))


def test_stochastic_depth_drops_the_branch_for_the_whole_batch():
    torch.manual_seed(0)
    block = resnet.ResidualBlock(2, drop=0.4)
    block.branch = nn.Identity()
    x = torch.ones(3, 2, 3, 3)
    outputs = torch.stack([block.train()(x) for _ in range(1000)])
    assert all(output.unique().numel() == 1 for output in outputs)
    values = outputs[:, 0, 0, 0, 0]
    torch.testing.assert_close(values.unique(), torch.tensor([1.0, 1 + 1 / 0.6]))
    assert (values == 1).float().mean() == pytest.approx(0.4, abs=0.06)
    assert (block.eval()(x) == 2).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"channels": 0}, ValueError, "channels must be at least 1"),
        ({"channels": 1.5}, TypeError, "channels must be a whole number"),
        ({"drop": 1}, ValueError, "drop must be at least 0 and below 1, not 1"),
        ({"drop": -0.1}, ValueError, "drop must be at least 0"),
        ({"drop": float("nan")}, ValueError, "drop must be at least 0"),
        ({"drop": 0.1, "residual": False}, ValueError, "drop needs residual=True"),
    ],
)
def test_residual_block_refuses(options, error, message):
    with pytest.raises(error, match=message):
        resnet.ResidualBlock(**({"channels": 2} | options))


# Towers and ResNet9


def test_tower():
    torch.manual_seed(0)
    model = resnet.tower(5, classes=7, channels=2, width=4, drop=0.5).eval()
    assert model(torch.randn(3, 2, 28, 30)).shape == (3, 7)
    assert model[0](torch.zeros(1, 2, 28, 28)).shape == (1, 4, 7, 7)
    assert [block.drop.p for block in model[1:-1]] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    weighted = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 2 * 5 + 2


def test_plain_tower_has_the_same_parameters():
    residual, plain = (resnet.tower(3, 10, 1, residual=flag) for flag in (True, False))
    assert shapes(residual) == shapes(plain)
    plain.load_state_dict(residual.state_dict())
    x = torch.randn(4, 1, 28, 28)
    assert not torch.allclose(residual.eval()(x), plain.eval()(x))


def test_gradient_reaches_every_parameter():
    for model in (resnet.tower(4, 3), resnet.tower(4, 3, residual=False), resnet.resnet9(3, width=4)):
        F.cross_entropy(model(torch.randn(4, 3, 28, 28)), torch.tensor([0, 1, 2, 0])).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("size", [8, 28, 31, 32, 64])
def test_resnet9_runs_at_any_size(size):
    assert resnet.resnet9(5, 1, 4).eval()(torch.randn(2, 1, size, size)).shape == (2, 5)


def test_resnet9_has_nine_layers_and_three_blocks():
    model = resnet.resnet9(10)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 9
    assert sum(isinstance(layer, resnet.ResidualBlock) for layer in model) == 3


@pytest.mark.parametrize("make", [resnet.tower, resnet.resnet9])
def test_networks_refuse(make):
    first = {"blocks": 2} if make is resnet.tower else {}
    for name, value in (("classes", 0), ("channels", 0), ("width", -1), *((n, 0) for n in first)):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            make(**({"classes": 2} | first | {name: value}))
    with pytest.raises(TypeError, match="width must be a whole number"):
        make(**({"classes": 2, "width": 0.5} | first))


def test_tower_refuses_a_drop_that_cannot_be():
    with pytest.raises(ValueError, match="drop must be at least 0"):
        resnet.tower(2, 3, drop=1.0)
    with pytest.raises(ValueError, match="drop needs residual=True"):
        resnet.tower(2, 3, residual=False, drop=0.1)


# Taking blocks out


def outputs(model, x):
    with torch.no_grad():
        return model.eval()(x)


def test_without_leaves_the_shortcut():
    model, x = resnet.tower(3, 4, 1, 4), torch.randn(2, 1, 16, 16)
    before = outputs(model, x)
    with resnet.without(model, "1", "3") as damaged:
        assert damaged is model
        torch.testing.assert_close(outputs(model, x), outputs(nn.Sequential(model[0], model[2], model[4]), x))
    assert torch.equal(outputs(model, x), before)


@pytest.mark.parametrize(("make", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_without_is_a_block_of_torchvision_whose_branch_gives_zero(make, last):
    model, x = getattr(torchvision.models, make)(num_classes=5), torch.randn(2, 3, 40, 40)
    for name in ("layer1.1", "layer3.0"):  # the second one changes the shape
        before = outputs(model, x)
        with resnet.without(model, name):
            found = outputs(model, x)
        assert torch.equal(outputs(model, x), before)
        norm = getattr(model.get_submodule(name), last)
        kept = norm.weight.detach().clone(), norm.bias.detach().clone()
        with torch.no_grad():
            norm.weight.zero_(), norm.bias.zero_()
        torch.testing.assert_close(found, outputs(model, x))
        with torch.no_grad():
            norm.weight.copy_(kept[0]), norm.bias.copy_(kept[1])


def test_without_a_plain_block_lets_the_input_through():
    model, x = resnet.tower(2, 4, 1, 4, residual=False), torch.randn(2, 1, 16, 16)
    with resnet.without(model, "2"):
        torch.testing.assert_close(outputs(model, x), outputs(nn.Sequential(model[0], model[1], model[3]), x))


def test_without_puts_back_after_an_error():
    model = resnet.tower(2, 4)
    block = model[1]

    def interrupted():
        with resnet.without(model, "1"):
            assert model[1] is not block
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert model[1] is block


def test_without_refuses():
    model = resnet.tower(2, 4)
    first = model[1]
    with pytest.raises(ValueError, match=r"no block '0'. It has: 1, 2"), resnet.without(model, "1", "0"):
        pass
    assert model[1] is first
    with pytest.raises(ValueError, match="It has: none"), resnet.without(nn.Linear(2, 2), "1"):
        pass
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module.*not list"), resnet.without([], "1"):
        pass


# What notebook 05 writes by hand


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", range(1, 8))
@pytest.mark.parametrize("dilation", [1, 2])
def test_notebook_pads_as_torch_does(by_hand, kernel, dilation):
    before, after = by_hand.same_padding(kernel, dilation)
    x, weight = torch.randn(1, 2, 9, 8), torch.randn(3, 2, kernel, kernel)
    padded = F.conv2d(F.pad(x, (before, after, before, after)), weight, dilation=dilation)
    torch.testing.assert_close(padded, F.conv2d(x, weight, padding="same", dilation=dilation))


@pytest.mark.parametrize("residual", [True, False])
def test_notebook_writes_the_same_block_and_tower(by_hand, residual):
    theirs, ours = same_weights(by_hand.Block(3, float(residual)), resnet.ResidualBlock(3, residual=residual))
    x = torch.randn(2, 3, 9, 8)
    torch.testing.assert_close(theirs(x), ours(x))
    theirs = by_hand.tower(3, 5, 1, 4, float(residual))
    theirs, ours = same_weights(theirs, resnet.tower(3, 5, 1, 4, residual=residual))
    x = torch.randn(4, 1, 28, 28)
    torch.testing.assert_close(theirs(x), ours(x))
    with resnet.without(ours, "2"):
        torch.testing.assert_close(by_hand.without(theirs, 2).eval()(x), ours.eval()(x))


def test_the_notebooks_block_adds_a_fraction_of_its_input(by_hand):
    block, x = by_hand.Block(3, 0.5).eval(), torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(block(x), F.relu(0.5 * x + block.branch(x)))


def test_notebook_writes_the_same_resnet9(by_hand):
    theirs, ours = same_weights(by_hand.resnet9(5, 1, 4), resnet.resnet9(5, 1, 4))
    x = torch.randn(4, 1, 28, 28)
    torch.testing.assert_close(theirs(x), ours(x))


@pytest.mark.parametrize(("block", "name"), [("BasicBlock", "resnet18"), ("Bottleneck", "resnet50")])
def test_notebook_writes_torchvisions_resnets(by_hand, block, name):
    torch.manual_seed(0)
    theirs = by_hand.ResNet(getattr(by_hand, block), {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}[name], 7)
    ours = getattr(torchvision.models, name)(num_classes=7)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 40, 33)
    for mode in (True, False):
        torch.testing.assert_close(theirs.train(mode)(x), ours.train(mode)(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_notebook_writes_torchvisions_inverted_residual(by_hand, stride):
    from torchvision.models.mobilenetv2 import InvertedResidual

    theirs = by_hand.InvertedResidual(8, 8, 3, stride, 6)
    theirs, ours = same_weights(theirs, InvertedResidual(8, 8, stride, 6))
    x = torch.randn(2, 8, 9, 8)
    torch.testing.assert_close(theirs(x), ours(x))


def test_path_gradients_sum_to_the_gradient(by_hand):
    model = resnet.tower(2, 3, 1, 4).double().eval()
    x, labels = torch.randn(4, 1, 16, 16, dtype=torch.double), torch.tensor([0, 1, 2, 0])
    paths = [(False, False), (False, True), (True, False), (True, True)]
    total = sum(by_hand.path_gradient(model, x, labels, path) for path in paths)
    F.cross_entropy(model(x.requires_grad_()), labels).backward()
    torch.testing.assert_close(total, x.grad)
