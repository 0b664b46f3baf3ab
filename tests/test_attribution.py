"""Looking inside: right in a case that can be computed by hand, and without touching the network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from coursekit import attribution, critters, pretrained, transfer
from tests import pretend_device
from tests.notebook_functions import functions_of


def network(inplace=True, classes=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace),
        nn.Conv2d(6, 5, 3, stride=2, padding=1),
        nn.ReLU(inplace),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, classes),
    )


def batch(count=4, size=12):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def snapshot(model):
    values = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return values, modes, grads, [p.requires_grad for p in model.parameters()]


def assert_untouched(model, before):
    values, modes, grads, flags = before
    assert all(torch.equal(model.state_dict()[name], value) for name, value in values.items())
    assert [module.training for module in model.modules()] == modes
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        assert parameter.grad is None if grad is None else torch.equal(parameter.grad, grad)
    assert [p.requires_grad for p in model.parameters()] == flags
    assert not any(module._forward_hooks for module in model.modules())


CALLS = {
    "activations": lambda model, images: attribution.activations(model, images, ["0", "3"]),
    "grad_cam": lambda model, images: attribution.grad_cam(model, images, "4"),
    "maximize": lambda model, images: attribution.maximize(model, "3", 1, size=16, steps=3),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(call, training):
    model = network().train(training)
    transfer.freeze(model[3])
    F.cross_entropy(model(batch()), torch.tensor([0, 1, 2, 0])).backward()
    before = snapshot(model)
    CALLS[call](model, batch())
    assert_untouched(model, before)


def test_the_device_is_the_models():
    """Images come from anywhere, results go to the CPU, and the network stays where it is."""
    with pretend_device.installed() as device:
        for call in CALLS.values():
            model = network().eval()
            here = call(model, batch().to(device))
            there = call(model.to(device), batch())
            for key in here if isinstance(here, dict) else [...]:
                assert here[key].device.type == there[key].device.type == "cpu"
                torch.testing.assert_close(there[key], here[key])
            assert {value.device for value in model.state_dict().values()} == {device}


@pytest.mark.parametrize("call", CALLS)
def test_images_take_the_precision_of_the_network(call):
    for dtype, images in ((torch.float32, batch().double()), (torch.float64, batch())):
        found = CALLS[call](network().to(dtype), images)
        expected = CALLS[call](network(), batch())
        for key in expected if isinstance(expected, dict) else [...]:
            torch.testing.assert_close(found[key].float(), expected[key], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("call", CALLS)
def test_compiled_networks_are_looked_into(call):
    """Whole, in place, or a part of them; also after they ran compiled, when hooks inside are no longer called."""
    expected = CALLS[call](network(), batch())
    whole, in_place, part = torch.compile(network(), backend="eager"), network(), network()
    in_place.compile(backend="eager")
    part = nn.Sequential(*part[:3], torch.compile(part[3], backend="eager"), *part[4:])
    for model in (whole, in_place, part):
        with torch.no_grad():
            model.eval()(batch())
        found = CALLS[call](model, batch())
        for key in expected if isinstance(expected, dict) else [...]:
            assert torch.equal(found[key], expected[key])


def test_networks_are_looked_into_in_inference_mode():
    model = network().eval()
    expected = [CALLS[call](model, batch()) for call in ("grad_cam", "maximize")]
    with torch.inference_mode():
        found = [CALLS[call](model, batch()) for call in ("grad_cam", "maximize")]
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("call", CALLS)
def test_hooks_go_even_after_an_error(call):
    model = network()
    model[7] = nn.Linear(4, 3)  # does not fit
    before = snapshot(model)
    with pytest.raises(RuntimeError):
        CALLS[call](model, batch())
    assert_untouched(model, before)


# Activations


def test_activations_are_what_the_layers_give():
    """A ReLU that works in place must not change what the layer before it gave."""
    model, images = network(inplace=True).eval(), batch()
    found = attribution.activations(model, images, ["0", "1", "7"])
    with torch.no_grad():
        assert torch.equal(found["0"], model[0](images))
        assert torch.equal(found["1"], model[1](model[0](images)))
        assert found["1"].min() < 0
        assert torch.equal(found["7"], model(images))


def test_activations_by_name_of_a_resnet():
    model = pretrained.resnet18(0.0625, 2)
    found = attribution.activations(model, batch(2, 64), ["layer1.0.conv2", "layer4"])
    assert [tuple(value.shape) for value in found.values()] == [(2, 4, 16, 16), (2, 32, 2, 2)]
    assert list(attribution.activations(model, batch(2, 64), "layer4")) == ["layer4"]


# Grad-CAM


def test_grad_cam_is_the_class_activation_map_behind_global_average_pooling():
    """CAM (Zhou et al., 2016): the maps, weighted by the class's row of the linear layer."""
    model, images = network().eval(), batch()
    for label in range(3):
        with torch.no_grad():
            maps = model[:5](images)
            cam = torch.einsum("nkhw,k->nhw", maps, model[7].weight[label]).relu()
            cam = F.interpolate(cam[:, None], (12, 12), mode="bilinear")[:, 0]
        highest = cam.amax(dim=(1, 2), keepdim=True)
        expected = torch.where(highest > 0, cam / highest.clamp(min=1e-12), cam)
        torch.testing.assert_close(attribution.grad_cam(model, images, "4", label), expected, atol=1e-5, rtol=1e-4)


def test_a_channel_weighs_as_much_as_the_logit_moves_with_it():
    """By finite differences, in a network whose gradients differ from place to place: their mean counts, not each."""
    torch.manual_seed(0)
    tail = nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 8), nn.Tanh(), nn.Linear(8, 2))
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), *tail).double().eval()
    images, step = batch().double(), 1e-5
    with torch.no_grad():
        maps = model[0](images)
        heat = torch.zeros_like(maps[:, 0])
        for channel in range(4):
            nudge = torch.zeros_like(maps)
            nudge[:, channel] = step
            up, down = (model[1:](maps + sign * nudge)[:, 1] for sign in (1, -1))
            heat += ((up - down) / (2 * step))[:, None, None] * maps[:, channel]
        heat = F.interpolate(heat.relu()[:, None], (12, 12), mode="bilinear")[:, 0]
    expected = (heat / heat.amax(dim=(1, 2), keepdim=True)).float()
    torch.testing.assert_close(attribution.grad_cam(model, images, "0", 1), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, np.int64(2), torch.tensor(2), [2] * 4, np.full(4, 2), torch.full((4,), 2)])
def test_a_class_may_come_in_any_integer_form(classes):
    expected = attribution.grad_cam(network(), batch(), "4", [2, 2, 2, 2])
    assert torch.equal(attribution.grad_cam(network(), batch(), "4", classes), expected)


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_frozen_networks_have_maps_too(name):
    torch.manual_seed(0)
    model = pretrained.resnet18(0.125, 4) if name == "resnet18" else pretrained.vgg16(0.125, 4, pooled=1, hidden=8)
    layer = "layer3" if name == "resnet18" else "features.28"
    free = attribution.grad_cam(model, batch(3, 64), layer, [0, 1, 3])
    frozen = attribution.grad_cam(transfer.freeze(model), batch(3, 64), layer, [0, 1, 3])
    assert torch.equal(free, frozen)
    assert free.shape == (3, 64, 64)
    assert free.min() >= 0
    assert free.amax(dim=(1, 2)).max() == 1


def test_without_a_class_it_is_the_answer_of_the_network():
    model, images = network().eval(), batch()
    answers = model(images).argmax(dim=1)
    own, named = attribution.grad_cam(model, images, "4"), attribution.grad_cam(model, images, "4", answers)
    assert torch.equal(own, named)


def test_one_logit_speaks_for_one_class_and_against_the_other():
    torch.manual_seed(0)
    model, images = network(classes=1).eval(), batch()
    two = nn.Sequential(*model[:7], nn.Linear(5, 2)).eval()
    with torch.no_grad():
        two[7].weight.copy_(torch.cat([-model[7].weight, model[7].weight]))
        two[7].bias.copy_(torch.cat([-model[7].bias, model[7].bias]))
    for label in (0, 1, None):
        maps = [attribution.grad_cam(net, images, "4", label) for net in (model, two)]
        torch.testing.assert_close(*maps)
    flat = nn.Sequential(*model, nn.Flatten(0))  # logits [N]
    assert torch.equal(attribution.grad_cam(flat, images, "4", 1), attribution.grad_cam(model, images, "4", 1))


def test_where_nothing_speaks_for_the_class_the_map_is_zero():
    model = network(classes=2).eval()
    with torch.no_grad():
        model[7].weight.copy_(torch.tensor([[1.0] * 5, [-1.0] * 5]))
    heat = attribution.grad_cam(model, batch(), "4", 1)
    assert torch.equal(heat, torch.zeros_like(heat))


def test_the_map_is_hot_where_the_cause_is():
    """A network that looks for one bright spot."""
    model = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    images = torch.zeros(2, 3, 20, 20)
    images[0, :, 4, 15] = images[1, :, 12, 3] = 1
    heat = attribution.grad_cam(model, images, "1", 1)
    points = attribution.hottest(heat)
    assert (points - torch.tensor([[4, 15], [12, 3]])).abs().max() <= 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((batch(), "9"), ValueError, r"no layer '9'\. Some of them: \['0', '1'"),
        ((batch(), ""), ValueError, "no layer ''"),
        ((batch(), "6"), ValueError, r"gives \[4, 5\]; maps .* are needed"),
        ((batch(), "4", 3), ValueError, "each from 0 to 2"),
        ((batch(), "4", -1), ValueError, "each from 0 to 2"),
        ((batch(), "4", [0, 1]), ValueError, "one whole number, or 4"),
        ((batch(), "4", 1.5), ValueError, "one whole number"),
        ((batch()[0], "4"), ValueError, r"One image: image\[None\]"),
        ((batch(0), "4"), ValueError, "must be a batch"),
        ((batch() * float("nan"), "4"), ValueError, "not finite"),
        ((batch().byte(), "4"), TypeError, "float tensor"),
        (("photo.jpg", "4"), TypeError, "images must be a tensor"),
    ],
)
def test_wrong_questions(arguments, error, message):
    with pytest.raises(error, match=message):
        attribution.grad_cam(network(), *arguments)


def test_wrong_models_and_layers():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module"):
        attribution.grad_cam("vgg16", batch(), "4")
    with pytest.raises(ValueError, match="none given"):
        attribution.activations(network(), batch(), [])

    with pytest.raises(ValueError, match=r"logits \[N, classes\]"):
        attribution.grad_cam(nn.Sequential(nn.Conv2d(3, 2, 3)), batch(), "0")


class Forward(nn.Module):
    """Two convolutions and a head, put together in one of several ways."""

    def __init__(self, way):
        super().__init__()
        torch.manual_seed(0)
        self.way, self.relu, self.idle = way, nn.ReLU(), nn.ReLU()
        self.first, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 2)

    def forward(self, images):
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.way != "no_grad"):
            x = self.relu(self.first(images))
        x = self.second(x.detach() if self.way == "detached" else x)
        x = self.relu(x) if self.way == "twice" else x.relu()
        logits = self.head(x.mean(dim=(2, 3)))
        return {"tuple": (logits, x), "dict": {"out": logits}, "without": logits.detach()}.get(self.way, logits)


LOOKS = {
    "activations": lambda way, layer: attribution.activations(Forward(way), batch(), [layer]),
    "grad_cam": lambda way, layer: attribution.grad_cam(Forward(way), batch(), layer),
    "maximize": lambda way, layer: attribution.maximize(Forward(way), layer, 0, size=16, steps=2),
}


@pytest.mark.parametrize("call", LOOKS)
def test_a_layer_must_run_exactly_once(call):
    assert LOOKS[call]("plainly", "relu") is not None
    with pytest.raises(ValueError, match="layer 'relu' runs more than once"):
        LOOKS[call]("twice", "relu")
    with pytest.raises(ValueError, match="does not use, the layer 'idle'"):
        LOOKS[call]("plainly", "idle")
    relu = nn.ReLU()
    shared = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 2, 3), relu, nn.Flatten(), nn.LazyLinear(2))
    for name in ("1", "3"):
        with pytest.raises(ValueError, match=f"layer '{name}' runs more than once"):
            attribution.activations(shared, batch(), [name])


@pytest.mark.parametrize(
    ("call", "way", "layer"),
    [
        *[("grad_cam", way, "first") for way in ("no_grad", "detached", "without")],
        *[("maximize", way, "second") for way in ("no_grad", "detached")],
    ],
)
def test_where_no_gradient_comes_through_the_layer_and_the_cause_are_named(call, way, layer):
    with pytest.raises(ValueError, match=rf"no gradient gets through at layer '{layer}': .*no_grad\(\) or detach"):
        LOOKS[call](way, layer)
    assert LOOKS["activations"](way, layer)[layer].ndim == 4


def test_gradients_are_needed_behind_the_layer_only():
    for way in ("no_grad", "detached"):
        assert torch.equal(LOOKS["grad_cam"](way, "second"), LOOKS["grad_cam"]("plainly", "second"))


@pytest.mark.parametrize("way", ["tuple", "dict"])
def test_models_that_give_something_else_than_logits(way):
    with pytest.raises(TypeError, match=f"must return one tensor, its logits, not {way}"):
        LOOKS["grad_cam"](way, "second")
    assert LOOKS["activations"](way, "second")["second"].shape == (4, 4, 8, 8)  # which needs none
    assert torch.equal(LOOKS["maximize"](way, "second"), LOOKS["maximize"]("plainly", "second"))


# Gradient ascent


def test_maximize_raises_the_activation_and_repeats_itself():
    model = network().eval()
    channel = 2
    pictures = [
        attribution.maximize(model, "3", channel, size=24, steps=n, seed=s) for n, s in [(40, 0), (40, 0), (40, 1)]
    ]
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    assert pictures[0].shape == (3, 24, 24)
    assert 0 <= pictures[0].min() <= pictures[0].max() <= 1
    noise = 0.5 + 0.05 * torch.randn(3, 24, 24, generator=torch.Generator().manual_seed(0))
    shown = torch.stack([noise, pictures[0]])
    before, after = attribution.activations(model, (shown - 0.5) / 0.25, ["3"])["3"][:, channel].mean(dim=(1, 2))
    assert after > before + 0.1


class Reader(nn.Module):
    """Remembers what it was given, and answers with a multiple of one pixel."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor, self.given, self.answer = factor, [], nn.Identity()

    def forward(self, images):
        self.given.append(images.detach().clone())
        return self.answer(self.factor * images[:, :, 8, 8])


def noise_of(seed, size=16):
    return 0.5 + 0.05 * torch.randn(3, size, size, generator=torch.Generator().manual_seed(seed))


def test_shifts_are_undone():
    """One step of a channel that looks at one pixel changes one value; all others lie where they lay."""
    changed = attribution.maximize(Reader(), "answer", 0, size=16, steps=1, seed=3) != noise_of(3)
    assert changed.sum() == 1
    assert changed[0].any()


def test_the_network_gets_normalized_pictures():
    model, mean, std = Reader(), (0.4, 0.5, 0.6), (0.2, 0.25, 0.5)
    attribution.maximize(model, "answer", 0, size=16, steps=1, mean=mean, std=std)
    for given, pixels, m, s in zip(model.given[0][0], noise_of(0), mean, std, strict=True):
        torch.testing.assert_close(given.flatten().sort()[0], ((pixels - m) / s).flatten().sort()[0])


def test_blur_takes_away_what_nothing_pulls_at():
    left = attribution.maximize(Reader(0.0), "answer", 0, size=16, steps=20)
    assert left.std() < 0.7 * noise_of(0).std()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel": 5}, "channels 0 to 4, not 5"),
        ({"channel": -1}, "channels 0 to 4, not -1"),
        ({"layer": "conv"}, "no layer 'conv'"),
    ],
)
def test_wrong_wishes(options, message):
    with pytest.raises(ValueError, match=message):
        attribution.maximize(network(), **({"layer": "3", "channel": 0} | options))


# Scores


def maps_with_peaks(*points, size=(6, 8)):
    cams = torch.full((len(points), *size), 0.1)
    for cam, (row, column) in zip(cams, points, strict=True):
        cam[row, column] = 1
    return cams


def test_hottest_and_pointing_game_by_hand():
    cams = maps_with_peaks((0, 0), (5, 7), (2, 3), (4, 1))
    assert attribution.hottest(cams).tolist() == [[0, 0], [5, 7], [2, 3], [4, 1]]
    masks = torch.zeros(4, 6, 8, dtype=torch.bool)
    masks[0, 0, 0] = masks[1, 5, 6] = masks[2, 2, 3] = True
    assert attribution.pointing_game(cams, masks) == 0.5


def test_a_map_of_zeros_hits_nothing():
    masks = torch.ones(1, 6, 8, dtype=torch.bool)
    assert attribution.pointing_game(torch.zeros(1, 6, 8), masks) == 0
    assert attribution.energy_inside(torch.zeros(1, 6, 8), masks) == 0


def test_energy_by_hand():
    cams = torch.zeros(2, 2, 2)
    cams[0] = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    cams[1] = 1
    masks = torch.zeros(2, 2, 2, dtype=torch.bool)
    masks[:, :, 0] = True
    assert attribution.energy_inside(cams, masks) == pytest.approx((0.75 + 0.5) / 2)


def test_near_marks_discs_around_points():
    masks = attribution.near([[(2.5, 1.5)], [(0.5, 0.5), (7.5, 5.5)], []], 1.0, (6, 8))
    assert masks.sum(dim=(1, 2)).tolist() == [5, 6, 0]
    assert masks[0, 1, 2]
    assert masks[1, 5, 7]


def test_scores_with_the_truth_of_critters():
    """Maps made of the masks score in full; maps of the surroundings not at all."""
    _, _, truths = critters.make(4, seed=3)
    masks = torch.stack([torch.from_numpy(truth.mask) for truth in truths])
    assert attribution.pointing_game(masks.float(), masks) == 1
    assert attribution.pointing_game((~masks).float(), masks) == 0
    ears = [[part[:2] for name, part in truth.parts.items() if "ear" in name] for truth in truths]
    assert attribution.near(ears, 8, (64, 64)).any(dim=(1, 2)).all()


def test_scores_of_what_does_not_fit():
    cams = maps_with_peaks((0, 0))
    with pytest.raises(ValueError, match="masks must be bool"):
        attribution.pointing_game(cams, torch.ones(1, 6, 8))
    with pytest.raises(ValueError, match="masks must be bool"):
        attribution.energy_inside(cams, torch.ones(1, 8, 6, dtype=torch.bool))
    for bad in (cams[0], cams * float("nan"), -cams, "map"):
        with pytest.raises((TypeError, ValueError), match="cams must be"):
            attribution.hottest(bad)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_notebook_does_by_hand_what_the_package_does(classes):
    by_hand = functions_of("04_vgg16_transfer").grad_cam_by_hand
    for layer, images in (("0", batch()), ("4", batch(3, 17))):
        model = network(inplace=False, classes=classes).eval()
        expected = attribution.grad_cam(model, images, layer)
        assert expected.max() > 0.5
        torch.testing.assert_close(by_hand(model, images, layer), expected, atol=1e-5, rtol=1e-4)
