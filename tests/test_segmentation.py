"""Measures against scikit-learn, the U-Net and the rules for ReLUs against the notebook's own, and how good it gets."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from scipy import ndimage
from sklearn.metrics import f1_score, jaccard_score, recall_score
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import TensorDataset

from coursekit import critters, pretrained, segmentation, training
from tests.notebook_functions import functions_of


@pytest.fixture(scope="module")
def notebook():
    return functions_of("08_segmentation")


@pytest.fixture(scope="module")
def resnet():
    return pretrained.load("resnet18")


def labels(classes=3, shape=(4, 16, 12), seed=0):
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


# Measures


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_scores_are_scikit_learns(classes):
    predicted, truth = labels(classes, seed=1), labels(classes)
    found = segmentation.scores(predicted, truth, classes)
    flat = truth.flatten().numpy(), predicted.flatten().numpy()
    for name, theirs in (("IoU", jaccard_score), ("Dice", f1_score), ("recall", recall_score)):
        np.testing.assert_allclose(found[name], theirs(*flat, average=None))
    assert found["mean IoU"] == pytest.approx(jaccard_score(*flat, average="macro"))
    assert found["mean Dice"] == pytest.approx(f1_score(*flat, average="macro"))
    assert found["pixel accuracy"] == pytest.approx((predicted == truth).float().mean().item())


def test_scores_of_two_classes_are_the_notebooks(notebook):
    predicted, truth = labels(2, seed=1).bool(), labels(2).bool()
    by_hand, found = notebook.measures(predicted, truth), segmentation.scores(predicted.long(), truth.long(), 2)
    assert found["pixel accuracy"] == pytest.approx(by_hand["accuracy"])
    for name in ("recall", "IoU", "Dice"):
        assert found[name][1] == pytest.approx(by_hand[name])
        assert notebook.dice_of(by_hand["IoU"]) == pytest.approx(by_hand["Dice"])


def test_a_class_that_is_nowhere_is_left_out_of_the_means():
    truth = labels(2)
    found = segmentation.scores(truth, truth, 3)
    assert np.isnan(found["IoU"][2])
    assert found["mean IoU"] == found["mean Dice"] == 1


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32])
def test_labels_may_be_whole_numbers_of_any_kind(dtype):
    predicted, truth = labels(2, seed=1), labels(2)
    assert segmentation.scores(predicted.to(dtype), truth.to(dtype), 2) == segmentation.scores(predicted, truth, 2)


def test_pixels_without_a_label_can_be_left_out():
    predicted, truth = labels(3, seed=1), labels(3)
    truth[:, :3] = 255
    known = truth != 255
    with pytest.raises(ValueError, match=r"from 0 to 255; .*predicted\[known\], truth\[known\]"):
        segmentation.scores(predicted, truth, 3)
    found = segmentation.scores(predicted[known], truth[known], 3)
    assert found == segmentation.scores(predicted[:, 3:], truth[:, 3:], 3)


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (torch.zeros(4, 16, 12), r"whole numbers .*argmax"),
        (torch.zeros(4, 3, 16, 12, dtype=torch.long), r"\[4, 16, 12\].*argmax"),
        (torch.full((4, 16, 12), 3), "labels from 3 to 3; there are 3 classes"),
        (torch.full((4, 16, 12), -1), "labels from -1"),
    ],
)
def test_what_are_no_labels_is_refused(predicted, message):
    with pytest.raises(ValueError, match=message):
        segmentation.scores(predicted, labels(), 3)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_border_is_where_scipys_filters_differ(width, notebook):
    truth = labels(3, (2, 20, 14))
    side = (1, 2 * width + 1, 2 * width + 1)
    highest, lowest = (f(truth.numpy(), side, mode="nearest") for f in (ndimage.maximum_filter, ndimage.minimum_filter))
    band = segmentation.border(truth, width)
    np.testing.assert_array_equal(band, highest != lowest)
    assert torch.equal(band, notebook.border(truth, width))
    assert not segmentation.border(torch.ones(1, 9, 9), width).any()


def test_the_border_of_a_single_picture_needs_a_batch():
    with pytest.raises(ValueError, match=r"not \[20, 14\]. One picture: labels\[None\]"):
        segmentation.border(labels(3, (20, 14)))


# The Dice loss


def test_the_dice_loss_of_certainties_is_one_minus_dice(notebook):
    predicted, truth = labels(3, seed=1), labels(3)
    sure = 50.0 * F.one_hot(predicted, 3).movedim(-1, 1)
    found = segmentation.dice_loss(sure, truth)
    assert found.item() == pytest.approx(1 - segmentation.scores(predicted, truth, 3)["mean Dice"], abs=1e-5)
    logits = torch.randn(4, 3, 16, 12)
    torch.testing.assert_close(segmentation.dice_loss(logits, truth), notebook.dice_loss(logits, truth))


def test_the_dice_loss_has_a_gradient_without_the_rare_class():
    logits = torch.zeros(2, 2, 4, 4, requires_grad=True)
    segmentation.dice_loss(logits, torch.zeros(2, 4, 4, dtype=torch.long)).backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 1] > 0).all()


def test_the_dice_loss_refuses_labels_that_would_be_broadcast():
    with pytest.raises(ValueError, match=r"\[1, 4, 4\].*not \[1, 1, 4, 4\]"):
        segmentation.dice_loss(torch.zeros(1, 2, 4, 4), labels(2, (1, 1, 4, 4)))


# The U-Net


def test_the_u_net_is_the_notebooks(notebook, resnet):
    torch.manual_seed(0)
    by_hand = notebook.UNet(resnet.model, 3).eval()
    model = segmentation.UNet(resnet.model, 3).eval()
    model.load_state_dict(by_hand.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(images), by_hand(images))
        maps = model.encode(images)
        assert [tuple(m.shape[2:]) for m in maps] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
        assert model.decode(maps).shape[2:] == (32, 48)


def test_skips_carry_the_early_maps_and_nothing_else_does(resnet):
    torch.manual_seed(0)
    for skips in (True, False):
        model = segmentation.UNet(resnet.model, 2, skips=skips).eval()
        with torch.no_grad():
            maps = model.encode(torch.randn(1, 3, 64, 64))
            changed = [torch.zeros_like(maps[0]), *maps[1:]]
            assert torch.equal(model.decode(maps), model.decode(changed)) is not skips


def test_the_resnet_stays_as_it_is(resnet):
    before = copy.deepcopy(resnet.model.state_dict())
    model = segmentation.UNet(resnet.model, 3)
    model.train()(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in resnet.model.state_dict().items())


def test_what_makes_no_u_net_is_refused(resnet):
    with pytest.raises(ValueError, match="torchvision's layout"):
        segmentation.UNet(pretrained.vgg16(0.25), 3)


@pytest.mark.parametrize("size", [(64, 70), (63, 64), (31, 31)])  # without the check two of them give another size
@pytest.mark.parametrize("skips", [True, False])
def test_sizes_that_cannot_be_halved_five_times_are_refused(resnet, size, skips):
    with pytest.raises(ValueError, match=rf"multiples of 32, .*{size[0]}, {size[1]}\]"):
        segmentation.UNet(resnet.model, 3, skips=skips)(torch.zeros(2, 3, *size))


@pytest.mark.trained
def test_mean_iou_on_unseen_critters(seed, resnet):
    """The lecture's goal, 0.85; the notebook's settings."""

    def pairs(count, key):
        images, kinds, truths = critters.make(count, seed=key, size=64)
        truth = np.stack([t.mask for t in truths]) * (1 + kinds)[:, None, None]
        images = resnet.normalize(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
        return TensorDataset(images, torch.from_numpy(truth))

    torch.manual_seed(seed)
    model = segmentation.UNet(resnet.model, 3)
    groups = [{"params": model.down.parameters(), "lr": 1e-3}]
    groups.append({"params": [*model.up.parameters(), *model.head.parameters()], "lr": 1e-2})
    how = {"optimizer": torch.optim.Adam(groups), "scheduler": partial(OneCycleLR, max_lr=[1e-3, 1e-2])}
    train, test = pairs(600, seed), pairs(200, (seed, 1))
    both = TensorDataset(*(torch.cat([x, x.flip(-1)]) for x in train.tensors))
    training.fit(model, both, epochs=5, batch_size=16, metrics={}, seed=seed, channels_last=True, **how)
    logits, truth = training.predict(model, test)
    assert segmentation.scores(logits.argmax(dim=1), truth, 3)["mean IoU"] > 0.85


# What a unit answers to


def small_network(activation=nn.ReLU):
    torch.manual_seed(0)
    conv = partial(nn.Conv2d, kernel_size=3, padding=1)
    return nn.Sequential(conv(3, 8), activation(), conv(8, 8), activation(), nn.MaxPool2d(2), conv(8, 6), activation())


def test_the_rule_gradient_is_autograds():
    model, images = small_network(nn.ReLU6), 3 * torch.randn(3, 3, 12, 12)
    tracked = images.clone().requires_grad_()
    model(tracked)[:, 2].flatten(1).amax(dim=1).sum().backward()
    torch.testing.assert_close(segmentation.backproject(model, images, "6", 2, "gradient"), tracked.grad)


@pytest.mark.parametrize("rule", segmentation.RULES)
def test_rules_are_those_of_the_notebook(rule, notebook):
    model, image = small_network(), torch.randn(1, 3, 12, 12)
    found = segmentation.backproject(model, image, "6", 1, rule)
    torch.testing.assert_close(found, notebook.by_rule(model, image, 1, rule))
    if rule == "deconvnet":
        with torch.no_grad():
            torch.testing.assert_close(found, notebook.deconvnet(model, image, 1))


def test_a_place_of_ones_own_and_a_model_left_as_it_was():
    model, images = small_network(nn.ReLU), torch.randn(1, 3, 12, 12)
    model.train()
    before = copy.deepcopy(model.state_dict())
    found = segmentation.backproject(model, images, "5", 0, "gradient", place=(0, 0))
    assert found.any()
    assert not found[..., 7:, :].any()  # far from the corner
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [type(part) for part in model] == [type(part) for part in small_network()]
    with pytest.raises(ValueError, match="gradient, deconvnet, guided"):
        segmentation.backproject(model, images, "5", 0, "guess")


def test_one_relu_in_two_places_is_replaced_in_both():
    torch.manual_seed(0)
    convs, relu = [nn.Conv2d(channels, 8, 3) for channels in (3, 8, 8)], nn.ReLU()
    first, second, third = convs
    shared, apart = (nn.Sequential(first, relu, second, other, third) for other in (relu, nn.ReLU()))
    images = torch.randn(2, 3, 12, 12)
    found, expected = (segmentation.backproject(model, images, "4", 1, "guided") for model in (shared, apart))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_a_rule_for_relus_needs_one(rule):
    model, images = small_network(nn.SiLU), torch.randn(1, 3, 12, 12)
    with pytest.raises(ValueError, match=rf"{rule}.* has none"):
        segmentation.backproject(model, images, "6", 0, rule)
    assert segmentation.backproject(model, images, "6", 0, "gradient").any()


def test_unpooling_by_hand_is_torchs(notebook):
    x = torch.randn(3, 8, 6)
    pooled, switches = F.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(notebook.unpool(pooled, switches, (8, 6)), F.max_unpool2d(pooled, switches, 2))


# Keypoints and instances, as the notebook builds them


def test_points_go_to_cells_and_back(notebook):
    torch.manual_seed(0)
    boxes = torch.tensor([[0.0, 4, 6, 60, 50], [1.0, 0, 0, 20, 64]])
    points = boxes[:, None, 1:3] + torch.rand(2, 5, 2) * (boxes[:, 3:] - boxes[:, 1:3])[:, None]
    cells = notebook.to_cells(points, boxes)
    heat = F.one_hot(cells, 56**2).view(2, 5, 56, 56).float()
    error = (notebook.to_points(heat, boxes) - points).abs()
    assert (error <= (boxes[:, 3:] - boxes[:, 1:3])[:, None] / 56 / 2 + 1e-4).all()
    points[0, 3] = torch.nan
    assert notebook.to_cells(points, boxes)[0, 3] == -100


def test_pck_counts_what_is_close_and_leaves_out_what_is_not_there(notebook):
    boxes = torch.tensor([[0.0, 0, 0, 100, 100]] * 2)
    true = torch.zeros(2, 5, 2)
    guessed = true + torch.tensor([9.0, 0])
    guessed[1, 0, 0] = 11
    true[1, 1] = torch.nan
    hits, errors = notebook.pck(guessed, true, boxes)
    assert hits.tolist() == [0.5, 1, 1, 1, 1]
    assert errors[1].item() == pytest.approx(0.09)


def test_mirrored_twice_is_as_before(notebook):
    boxes, points = torch.tensor([[0.0, 4, 6, 60, 50]]), torch.rand(1, 5, 2) * 64
    twice = notebook.mirrored(*notebook.mirrored(points, boxes))
    torch.testing.assert_close(twice[0], points)
    torch.testing.assert_close(twice[1], boxes)


class Pooled(nn.Module):
    """Two outputs, and a layer that nothing uses."""

    def __init__(self, frozen=False):
        super().__init__()
        self.maps, self.relu, self.head, self.idle = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2), nn.ReLU()
        self.frozen = frozen

    def forward(self, x):
        with torch.set_grad_enabled(not self.frozen):
            maps = self.relu(self.maps(x))
        return self.head(maps.mean((2, 3))), x


@pytest.mark.parametrize(
    ("images", "layer", "channel", "match"),
    [
        ((2, 3, 16, 16), "nope", 0, "there is no layer 'nope'"),
        ((2, 3, 16, 16), "idle", 0, "does not use, the layer 'idle'"),
        ((2, 3, 16, 16), "head", 0, r"gives \[2, 2\]; maps"),
        ((3, 16, 16), "maps", 0, "must be a batch"),
    ],
)
def test_wrong_questions_about_pixels(images, layer, channel, match):
    with pytest.raises(ValueError, match=match):
        segmentation.backproject(Pooled(), torch.rand(images), layer, channel)


def test_pixels_behind_no_gradient_and_a_layer_that_runs_twice():
    images, twice = torch.rand(1, 3, 8, 8), nn.Conv2d(3, 3, 3)
    with pytest.raises(ValueError, match="no gradient gets through at layer 'maps'"):
        segmentation.backproject(Pooled(frozen=True), images, "maps", 0)
    with pytest.raises(ValueError, match="runs more than once"):
        segmentation.backproject(nn.Sequential(twice, twice), images, "0", 0, "gradient")
    with pytest.raises(TypeError, match="must be a float tensor"):
        segmentation.backproject(Pooled(), images.byte(), "maps", 0)


def test_pixels_in_another_precision_and_behind_what_works_in_place():
    torch.manual_seed(0)
    images, model = torch.rand(1, 3, 8, 8), nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(0.0, 0.1))
    expected = segmentation.backproject(model, images, "0", 0, "gradient")
    assert torch.equal(segmentation.backproject(model, images.double(), "0", 0, "gradient"), expected)
    model[1].inplace = True
    assert torch.equal(segmentation.backproject(model, images, "0", 0, "gradient"), expected)


def test_an_encoder_of_bottlenecks():
    resnet = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
    assert segmentation.UNet(resnet, 2)(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)
