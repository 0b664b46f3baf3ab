"""On a pretend accelerator: what torch and CUDA refuse is refused, and the course mixes no devices."""

import copy
import inspect
import pickle
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from coursekit import attribution, colorization, pretrained, resnet, training, transfer
from tests import pretend_device
from tests.notebook_functions import NOTEBOOKS, functions_of, run_with

MIXED = "same device"


@pytest.fixture(autouse=True)
def device():
    with pretend_device.installed() as installed:
        yield installed


def network(classes=2):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(4, classes),
    )


def pairs(count=12):
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(torch.rand(count, 3, 8, 8, generator=generator), torch.arange(count) % 2)


# The device itself behaves as CUDA does.


def test_operations_on_the_device_give_what_the_cpu_gives(device):
    images, _ = pairs().tensors
    model = network().eval()
    expected = model(images).detach()  # a living graph would hold the parameters fast
    answer = model.to(device)(images.to(device))
    assert answer.device == device
    assert torch.equal(answer.cpu(), expected)
    answer.sum().backward()
    assert model[0].weight.grad.device == device


@pytest.mark.parametrize(
    "mix",
    [
        lambda there, here: there + here,
        lambda there, here: here * there,
        lambda there, here: torch.cat([there, here]),
        lambda there, here: F.linear(here, there),
        lambda there, here: F.cross_entropy(there, here.argmax(1)),
        lambda there, here: here[there.argmax(1)],
        lambda there, here: torch.equal(there, here),
        lambda there, here: there.new_zeros(3, 3) @ here,
    ],
)
def test_an_operation_on_both_devices_fails(mix, device):
    here = torch.rand(3, 3)
    mix(here, here), mix(here.to(device), here.to(device))
    with pytest.raises(RuntimeError, match=MIXED):
        mix(here.to(device), here)


def test_what_cuda_allows_is_allowed(device):
    there = torch.arange(6.0, device=device).view(2, 3)
    there[0] = torch.ones(3)
    assert (there * torch.tensor(2.0)).tolist() == [[2, 2, 2], [6, 8, 10]]
    assert there[torch.tensor([1])].tolist() == there[[1]].tolist() == [[3, 4, 5]]
    assert (there.sum().item(), int(there.sum()), [1, 2][torch.tensor(1, device=device)]) == (15, 15, 2)
    assert f"{there.sum():.1f} {there[0]}" == "15.0 tensor([1., 1., 1.], device='pretend:0')"
    assert there.cpu().numpy().tolist() == there.tolist()
    assert torch.as_tensor([1], device=device).device == there.new_tensor([1]).device == device


@pytest.mark.parametrize("read", [lambda x: x.numpy(), np.asarray, lambda x: x + np.ones(3)])
def test_numpy_cannot_read_the_device(read, device):
    with pytest.raises(TypeError, match="can't convert pretend:0"):
        read(torch.ones(3, device=device))


def test_a_generator_belongs_to_a_device(device):
    generator = torch.Generator(device=device).manual_seed(0)
    assert torch.rand(2, device=device, generator=generator).device == generator.device == device
    with pytest.raises(RuntimeError, match="device type for generator"):
        torch.randperm(4, device=device, generator=torch.Generator())


def test_a_model_is_copied_stored_and_read_on_any_device(device, tmp_path):
    model = network().to(device)
    assert copy.deepcopy(model)[0].weight.device == pickle.loads(pickle.dumps(model[0].weight)).device == device
    torch.save(model.state_dict(), tmp_path / "there.pt")
    torch.save(network().state_dict(), tmp_path / "here.pt")
    for file, target, expected in (("there", None, device), ("there", "cpu", "cpu"), ("here", device, device)):
        read = torch.load(tmp_path / f"{file}.pt", map_location=target, weights_only=True)
        assert {value.device for value in read.values()} == {torch.device(expected)}
    assert torch.equal(read["0.weight"].cpu(), network()[0].weight)
    model.load_state_dict(network().state_dict())
    assert model.cpu()[0].weight.device.type == "cpu"


def test_pinned_loaders_and_autocast(device):
    images, labels = next(iter(DataLoader(pairs(), batch_size=4, pin_memory=True)))
    with torch.autocast(device.type, torch.bfloat16):
        F.cross_entropy(network().to(device)(images.to(device)), labels.to(device)).backward()
    with pytest.raises(RuntimeError, match="cannot pin"):
        images.to(device).pin_memory()


# The package on the device.


def bytes_of(model):
    return [value.cpu() for value in model.state_dict().values()]


@pytest.mark.parametrize(("first", "then"), [("pretend", "cpu"), ("cpu", "pretend"), ("pretend", "pretend")])
def test_training_goes_on_on_another_device(first, then, tmp_path):
    """Interrupted there, resumed here: the weights of a run without interruption."""
    settings = {"batch_size": 4, "autosave": tmp_path / "run.pt", "epochs": 4}

    def stop(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.fit(network(), pairs(), pairs(), device=first, after_epoch=stop, **settings)
    resumed, whole = network(), network()
    training.fit(resumed, pairs(), pairs(), device=then, resume=True, **settings)
    training.fit(whole, pairs(), pairs(), device="cpu", **(settings | {"autosave": None}))
    assert all(torch.equal(a, b) for a, b in zip(bytes_of(resumed), bytes_of(whole), strict=True))


def colorizer():
    torch.manual_seed(0)
    return colorization.Colorizer(
        colorization.gray_encoder(pretrained.resnet18(0.25)), colorization.upsampling_decoder(0.25)
    ).eval()


PHOTO = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
CALLS = {
    "fit": lambda model: training.fit(model, pairs(), pairs(), epochs=1, keep_best=True, channels_last=True)["loss"],
    "evaluate": lambda model: list(training.evaluate(model, pairs()).values()),
    "predict": lambda model: training.predict(model, pairs())[0],
    "lr_range_test": lambda model: training.lr_range_test(model, pairs(), low=1e-4, high=1e-2, steps=5)["loss"],
    "features": lambda model: transfer.features(transfer.backbone(model), pairs()).tensors[0],
    "activations": lambda model: attribution.activations(model, pairs().tensors[0], ["0"])["0"],
    "grad_cam": lambda model: attribution.grad_cam(model, pairs().tensors[0], "0"),
    "maximize": lambda model: attribution.maximize(model, "0", 1, size=16, steps=2),
    "without": lambda model: resnet_without(next(model.parameters()).device),
    "colorize": lambda model: torch.tensor(
        colorization.colorize(colorizer().to(next(model.parameters()).device), PHOTO, size=32)
    ),
}


def resnet_without(device):
    torch.manual_seed(0)
    tower = resnet.tower(2, 2, 3).eval().to(device)
    with torch.no_grad(), resnet.without(tower, "1") as rest:
        return rest(pairs().tensors[0].to(device)).cpu()


def test_each_call_that_takes_a_device_is_tried():
    modules = (attribution, colorization, pretrained, resnet, training, transfer)
    calls = {name: call for module in modules for name, call in vars(module).items() if inspect.isfunction(call)}
    assert {name for name, call in calls.items() if "device" in inspect.signature(call).parameters} <= CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_call_gives_on_the_device_what_it_gives_on_the_cpu(name, device):
    """It gets tensors on the CPU, as from a data set, and a model that is there."""
    expected = CALLS[name](network())
    with mock.patch("coursekit.runtime.device", return_value=device):
        answer = CALLS[name](network().to(device))
    assert torch.equal(torch.as_tensor(answer), torch.as_tensor(expected))


def test_mixed_precision_with_scaled_gradients(device):
    history = training.fit(network(), pairs(), epochs=2, device=device, amp=torch.float16)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("name", CALLS)
def test_no_call_leaves_half_of_a_model_on_the_device(name, device):
    model = network()
    with mock.patch("coursekit.runtime.device", return_value=device):
        CALLS[name](model)
    assert len({value.device for value in model.state_dict().values()}) == 1


# Notebooks: what each writes by hand stops where one tensor stayed behind.


def by_hand(stem, **variables):
    """Return the functions of a notebook, with the variables that they use."""
    functions = functions_of(stem)
    for value in list(vars(functions).values()):
        if hasattr(value, "__globals__"):
            value.__globals__.update(variables)
    return functions


def train_one_epoch(a, b):
    model = network().to(a)
    notebook = by_hand("03_cnn_from_scratch", device=b)
    return notebook.train_one_epoch(model, [pairs().tensors], torch.optim.SGD(model.parameters(), 0.1))


def gradients(a, b):
    model = network().to(a)
    return by_hand("04_vgg16_transfer").grad_cam_by_hand(model, pairs().tensors[0].to(b), "0")


PLANTED = {
    "01_convolution": lambda a, b: by_hand("01_convolution").torch_correlate(rand(a, 9, 9), rand(b, 3, 3)),
    "02_conv2d_filters": lambda a, b: by_hand("02_conv2d_filters").conv2d(rand(a, 1, 3, 9, 9), rand(b, 2, 3, 3, 3)),
    "03_cnn_from_scratch": train_one_epoch,
    "04_vgg16_transfer": gradients,
    "05_resnet_blocks": lambda a, b: by_hand("05_resnet_blocks").Block(4).to(a)(rand(b, 1, 4, 9, 9)),
    "06_colorization": lambda a, b: by_hand("06_colorization").by_zeros(rand(a, 5, 6), rand(b, 3, 3), (11, 13), 2, 1),
    "07_detection": lambda a, b: by_hand("07_detection").iou(rand(a, 5, 4), rand(b, 6, 4)),
    "08_segmentation": lambda a, b: by_hand("08_segmentation").dice_loss(rand(a, 3, 2, 9, 9), rand(b, 3, 9, 9).long()),
    "09_generation": lambda a, b: by_hand("09_generation").squared_error(rand(a, 4, 1, 28, 28), rand(b, 4, 1, 28, 28)),
}


def rand(device, *shape):
    return torch.rand(shape).to(device)


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")  # notebook 01 takes numpy arrays
@pytest.mark.parametrize("stem", PLANTED)
def test_a_planted_mix_of_devices_is_found(stem, device):
    PLANTED[stem]("cpu", "cpu")
    with pytest.raises(RuntimeError, match=MIXED):
        PLANTED[stem](device, "cpu")


def test_every_notebook_has_a_planted_mix():
    assert set(PLANTED) == {path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}


STARTUP = "from tests import pretend_device\npretend_device.take_over()\n"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_on_the_device(path, tmp_path, monkeypatch):
    error, printed = run_with(STARTUP, path, tmp_path, monkeypatch)
    assert error == ""
    assert "| device pretend |" in printed
