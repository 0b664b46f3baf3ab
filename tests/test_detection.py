"""`detection` against torchvision, against pycocotools, and against what notebook 07 writes by hand."""

import contextlib
import io
import itertools
from functools import partial

import numpy as np
import pytest
import torch
import torchvision
import torchvision.models.detection as zoo
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision import ops

from coursekit import critters, detection, figures, pretrained
from coursekit.figures import rectangles
from coursekit.figures.picture import show
from tests.notebook_functions import functions_of
from tools import train_detector


@pytest.fixture(scope="module")
def by_hand():
    return functions_of("07_detection")


@pytest.fixture(scope="module")
def scenes():
    groups = critters.make_groups(10, detection.SPECIES, 6, detection.SIZE, animals=(2, 5))
    return groups, *detection.tensors(groups)


def random_boxes(count, size=100.0):
    ends = torch.rand(2, count, 2).sort(dim=0).values * size
    return torch.cat([ends[0], ends[1] + 1], dim=1)


def random_search(images=30, classes=2):
    """Truths, and what a mediocre detector would find: moved boxes, second ones, wrong labels, boxes in the void."""
    truths, found = [], []
    for _ in range(images):
        count = int(torch.randint(0, 6, ()))
        truth = {"boxes": random_boxes(count), "labels": torch.randint(1, classes + 1, (count,))}
        near = torch.cat([truth["boxes"], truth["boxes"]]) + torch.randn(2 * count, 4) * 3
        near[:, 2:] = torch.maximum(near[:, 2:], near[:, :2] + 1)
        boxes = torch.cat([near, random_boxes(3)])
        labels = torch.cat([truth["labels"], truth["labels"], torch.randint(1, classes + 1, (3,))])
        wrong = torch.rand(len(labels)) < 0.2
        labels[wrong] = classes + 1 - labels[wrong]
        keep = torch.rand(len(labels)) < 0.8
        truths.append(truth)
        found.append({"boxes": boxes[keep], "labels": labels[keep], "scores": torch.rand(int(keep.sum()))})
    return found, truths


# Scenes as tensors


def test_tensors_of_scenes(scenes):
    groups, images, truths = scenes
    for group, image, truth in zip(groups, images, truths, strict=True):
        assert torch.equal((255 * image).round().to(torch.uint8), torch.from_numpy(group.image).permute(2, 0, 1))
        assert [tuple(box) for box in truth["boxes"].int().tolist()] == [animal.box for animal in group.animals]
        assert [detection.SPECIES[label - 1] for label in truth["labels"]] == [a.species for a in group.animals]
    empty = critters.Group(np.zeros((32, 32, 3), np.uint8), ())
    (_,), (nothing,) = detection.tensors([empty])
    assert nothing["boxes"].shape == (0, 4)


# Scores


@pytest.mark.parametrize(("least", "digits"), [(0.5, 9), (0.75, 9), (0.5, 1)])
def test_average_precision_is_that_of_pycocotools(least, digits):
    """COCO samples recall at 101 places; so do we here, from ours. Scores of one digit have ties."""
    torch.manual_seed(0)
    found, truths = random_search()
    found = [one | {"scores": one["scores"].round(decimals=digits)} for one in found]
    for label in (1, 2):
        precision, recall, _ = detection.precision_recall(found, truths, label, least)
        best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
        places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        ours = best[places].mean()
        assert ours == pytest.approx(coco(found, truths, label, least), abs=1e-6)
        assert detection.average_precision(found, truths, label, least) == pytest.approx(ours, abs=0.02)


def coco(found, truths, label, least):
    """Average precision of one class by COCO's own program."""
    truth, rows, answers = COCO(), [], []
    corners = partial(ops.box_convert, in_fmt="xyxy", out_fmt="xywh")
    for index, (one, true) in enumerate(zip(found, truths, strict=True)):
        for box, k in zip(corners(true["boxes"]).tolist(), true["labels"].tolist(), strict=True):
            fact = {"id": len(rows) + 1, "image_id": index, "category_id": k, "bbox": box}
            rows.append(fact | {"area": box[2] * box[3], "iscrowd": 0})
        facts = [corners(one["boxes"]), one["scores"][:, None], one["labels"][:, None]]
        answers += [[index, *row] for row in torch.cat(facts, dim=1).tolist()]
    images = [{"id": index} for index in range(len(truths))]
    truth.dataset = {"images": images, "annotations": rows, "categories": [{"id": 1}, {"id": 2}]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(np.array(answers)), "bbox")
        judge.params.iouThrs, judge.params.catIds = np.array([least]), [label]
        judge.evaluate()
        judge.accumulate()
    return float(judge.eval["precision"][0, :, 0, 0, -1].mean())


def test_the_notebooks_average_precision_is_the_packages(by_hand):
    torch.manual_seed(1)
    found, truths = random_search()
    for label in (1, 2):
        ours = detection.average_precision(found, truths, label)
        assert ours == pytest.approx(by_hand.ap_by_hand(found, truths, label), abs=1e-9)
        assert 0.1 < ours < 0.9


def test_a_second_box_on_one_animal_is_wrong(by_hand):
    truth = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
    boxes = torch.tensor([[0.0, 1, 10, 11], [1, 0, 11, 10], [22, 0, 32, 10], [50, 50, 60, 60]])
    assert detection.matches(boxes, truth).tolist() == [0, -1, 1, -1]
    assert by_hand.match(boxes, truth) == [True, False, True, False]
    assert detection.matches(boxes, truth[:0]).tolist() == [-1] * 4
    assert detection.matches(boxes[:0], truth).tolist() == []


def test_what_is_never_found_costs_and_order_is_all_that_scores_are_for():
    truth = {"boxes": torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]]), "labels": torch.tensor([1, 1])}
    one = {"boxes": truth["boxes"][:1], "labels": torch.tensor([1]), "scores": torch.tensor([0.1])}
    assert detection.average_precision([one], [truth], 1) == 0.5
    assert detection.average_precision([truth | {"scores": torch.tensor([0.2, 0.1])}], [truth], 1) == 1
    nothing = {name: value[:0] for name, value in one.items()}
    assert detection.average_precision([nothing], [truth], 1) == 0
    torch.manual_seed(2)
    found, truths = random_search()
    halved = [one | {"scores": one["scores"] / 2} for one in found]
    assert detection.average_precision(halved, truths, 1) == detection.average_precision(found, truths, 1)


def test_what_cannot_be_scored_is_refused():
    truth = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    with pytest.raises(ValueError, match="no image has an object of class 3"):
        detection.average_precision([truth | {"scores": torch.zeros(0)}], [truth], 3)
    with pytest.raises(ValueError, match="detections in 2 images, but targets of 1"):
        detection.precision_recall([truth, truth], [truth], 1)


def test_arrays_lists_bytes_and_halves_score_as_tensors_do():
    """Bytes are what underflows where widths are computed; empty lists are what a student has of an empty image."""
    torch.manual_seed(3)
    found, truths = random_search(images=10)
    whole = [one | {"boxes": one["boxes"].round().clamp(0, 120)} for one in found]
    truths = [one | {"boxes": one["boxes"].round()} for one in truths]
    ours = detection.average_precision(whole, truths, 1)

    def changed(images, change):
        return [{name: change(value) for name, value in one.items()} for one in images]

    def small(value):
        return value.to(torch.uint8) if value.ndim == 2 else value

    for change in (torch.Tensor.numpy, torch.Tensor.tolist, small):
        assert detection.average_precision(changed(whole, change), changed(truths, change), 1) == ours
    halves = changed(found, lambda value: value.half() if value.ndim == 2 else value)
    assert detection.average_precision(halves, truths, 1) == pytest.approx(ours, abs=0.1)
    assert 0.1 < ours < 0.9


def test_equal_scores_keep_their_order():
    """COCO's program does the same: of boxes with one score, the first image's come first."""
    truth = {"boxes": torch.tensor([[0.0, 0, 10, 10]]), "labels": torch.tensor([1])}
    right = truth | {"scores": torch.tensor([0.5])}
    wrong = right | {"boxes": right["boxes"] + 50}
    assert detection.average_precision([right, wrong], [truth, truth], 1) == 0.5
    assert detection.average_precision([wrong, right], [truth, truth], 1) == 0.25
    assert coco([wrong, right], [truth, truth], 1, 0.5) == pytest.approx(51 / 101 / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": [[30.0, 40, 20, 10]]}, r"detections\[0\] has a box that ends .*box_convert\(boxes, \"xywh\""),
        ({"boxes": [[0.0, 0, 9, 9, 0.5]]}, r"detections\[0\] has .*boxes \[1, 5\].*; expected boxes \[N, 4\]"),
        ({"boxes": [0.0, 0, 9, 9]}, r"boxes \[4\].*; expected boxes \[N, 4\]"),
        ({"scores": [0.9, 0.8]}, r"scores \[2\].*one entry of each other kind for each box"),
    ],
)
def test_boxes_of_another_form_are_refused(change, message):
    truth = {"boxes": [[0, 0, 9, 9]], "labels": [1]}
    with pytest.raises(ValueError, match=message):
        detection.average_precision([truth | {"scores": [0.5]} | change], [truth], 1)
    with pytest.raises(ValueError, match=r"targets\[0\] has a box that ends before it begins"):
        detection.average_precision([truth | {"scores": [0.5]}], [truth | {"boxes": [[30, 40, 20, 10]]}], 1)
    with pytest.raises(ValueError, match="iou_threshold must be above 0 and at most 1, not 50"):
        detection.average_precision([truth | {"scores": [0.5]}], [truth], 1, 50)


# What the notebook writes by hand


def test_boxes_by_hand_are_torchvisions(by_hand):
    for seed in range(20):
        torch.manual_seed(seed)
        a, b, scores = random_boxes(40), random_boxes(60), torch.rand(60)
        torch.testing.assert_close(by_hand.iou(a, b), ops.box_iou(a, b))
        assert by_hand.iou_by_hand(a[0].tolist(), b[0].tolist()) == pytest.approx(
            ops.box_iou(a, b)[0, 0].item(), abs=1e-5
        )
        assert torch.equal(by_hand.nms(b, scores, 0.4), ops.nms(b, scores, 0.4))
        torch.testing.assert_close(by_hand.decode(by_hand.encode(a, b[:40]), b[:40]), a, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("size", "scale"), [(2, 1 / 8), (4, 1 / 8), (4, 1 / 4)])
def test_pooling_by_hand_is_torchvisions(by_hand, size, scale):
    torch.manual_seed(size)
    features, boxes = torch.randn(3, 28, 28), random_boxes(50)
    pooled = torch.stack([by_hand.roi_pool(features, box, size, scale) for box in boxes.tolist()])
    torch.testing.assert_close(pooled, ops.roi_pool(features[None], [boxes], size, scale))
    aligned = torch.stack([by_hand.roi_align(features, box, size, scale) for box in boxes.tolist()])
    theirs = partial(ops.roi_align, sampling_ratio=2, aligned=True)
    torch.testing.assert_close(aligned, theirs(features[None], [boxes], size, scale), atol=1e-4, rtol=1e-4)


# The detector


def test_the_detector_learns_from_scenes_and_answers_in_eval_mode(scenes):
    _, images, truths = scenes
    torch.manual_seed(0)
    model = detection.faster_rcnn(pretrained.resnet18(width=0.25)).train()
    assert model.backbone(images[0][None]).shape == (1, 64, 16, 16)
    losses = model(images[:2], truths[:2])
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    found = detection.detect(model, images[:3], batch_size=2)
    assert model.training
    model.backbone.eval()  # frozen
    detection.detect(model, images[:1])
    assert model.training
    assert not model.backbone.mix.training
    assert len(found) == 3
    assert set(found[0]) == {"boxes", "labels", "scores"}
    assert not found[0]["boxes"].requires_grad


def test_images_of_another_range_are_refused(scenes):
    net, images = detection.load("critters"), scenes[1][:2]
    with pytest.raises(ValueError, match=r"image 1 must lie in 0\.\.1, not go from \d+ to 255\. Divide bytes by 255"):
        detection.detect(net.model, [images[0], 255 * images[1] / images[1].max()])
    with pytest.raises(ValueError, match="undo a normalization"):
        detection.detect(net.model, [images[0] - 0.5])


def test_species_that_are_no_class_are_named(scenes):
    groups = critters.make_groups(3, ("cat", "panda"), 1, 64, animals=(3, 3))
    with pytest.raises(ValueError, match=r"animals \(panda\) that are none of the classes"):
        detection.tensors(groups)


@pytest.mark.trained
def test_the_stored_detector_finds_animals_it_has_not_seen(seed):
    groups = critters.make_groups(100, detection.SPECIES, (987, seed), detection.SIZE, animals=(2, 5))
    images, truths = detection.tensors(groups)
    net = detection.load("critters")
    assert net.classes == ("background", *detection.SPECIES)
    found = detection.detect(net.model, images)
    values = [detection.average_precision(found, truths, label) for label in range(1, len(net.classes))]
    assert np.mean(values) > 0.85
    assert min(values) > 0.75


def test_a_mirrored_scene_has_mirrored_boxes():
    image, box = torch.zeros(3, 20, 30), torch.tensor([[4.0, 2, 10, 9]])
    image[:, 2:9, 4:10] = 0.5
    starts = set()
    for seed in range(8):
        torch.manual_seed(seed)
        changed, truth = train_detector.augment(image, {"boxes": box, "labels": torch.tensor([2])})
        x0, y0, x1, y1 = truth["boxes"][0].int().tolist()
        assert (changed[:, y0:y1, x0:x1] > 0.3).all()
        assert (changed > 0).sum() == 3 * 7 * 6
        assert truth["labels"].tolist() == [2]
        starts.add(x0)
    assert starts == {4, 20}


def test_the_command_writes_weights_that_load(tmp_path, capsys):
    options = {"scenes": 16, "test": 6, "epochs": 1, "into": tmp_path}
    train_detector.main([word for name, value in options.items() for word in (f"--{name}", str(value))])
    assert "average precision" in capsys.readouterr().out
    weights, card = pretrained.read_weights("detector", tmp_path)
    model = detection.faster_rcnn(pretrained.resnet18(**card["layout"]), len(card["classes"]))
    model.load_state_dict(weights)
    assert card["images"] == 16
    assert card["bytes"] < 1_500_000
    assert set(card["average precision"]) == {"photos of the training", "new photos"}


def test_boxes_are_drawn_on_images():
    image = np.zeros((40, 50, 3))
    truth, found = {"boxes": [[5, 5, 20, 20]], "labels": [1]}, {"boxes": torch.tensor([[6.0, 6, 30, 30]])}
    pictures = [
        figures.boxes([image] * 2, **some, titles=["a", "b"], alt="Two frames").content
        for some in (
            {},
            {"targets": [truth] * 2},
            {"detections": [found] * 2},
            {"targets": [truth] * 2, "classes": ["-", "cat"]},
        )
    ]
    assert len(set(pictures)) == 4
    with pytest.raises(ValueError, match="2 images need as many dicts with boxes, not 1"):
        figures.boxes([image] * 2, [truth])


def test_labels_hide_no_other_and_stay_in_the_picture(monkeypatch):
    """Boxes with one corner, in the picture's corners and beyond it; more labels than fit above their boxes."""
    drawn = []
    monkeypatch.setattr(rectangles, "show", lambda figure, alt: drawn.append(figure) or show(figure, alt=alt))
    corners = [[10, 10, 60, 60]] * 3 + [[0, 0, 20, 20], [95, 0, 100, 30], [90, 92, 100, 100], [-9, 40, 5, 60]]
    corners += torch.cat([10 + torch.rand(6, 2), 50 + 40 * torch.rand(6, 2)], dim=1).tolist()
    found = {"boxes": corners, "labels": [1] * len(corners), "scores": [0.5] * len(corners)}
    figures.boxes([np.zeros((100, 100, 3))] * 3, (), [found, found, {"boxes": []}], ["-", "rabbit"])
    (figure,) = drawn
    figure.draw_without_rendering()
    for panel in figure.axes[:2]:
        plates = [text.get_bbox_patch().get_window_extent() for text in panel.texts]
        assert len(plates) == len(corners)
        for plate in plates:
            assert (plate.min >= panel.bbox.min - 1).all()
            assert (plate.max <= panel.bbox.max + 1).all()
        for one, other in itertools.combinations(plates, 2):
            both = np.minimum(one.max, other.max) - np.maximum(one.min, other.min)
            assert (both <= 0.5).any()
    first = figure.axes[0].texts[0].get_position()
    assert first == pytest.approx((10, 10), abs=2)  # where it is alone, it stands above its box's upper left corner


def test_the_detector_of_torchvision_is_loaded_from_its_file(tmp_path, monkeypatch):
    """The file has frozen batch norms, which count no batches."""
    torch.manual_seed(0)
    theirs = zoo.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None).eval()
    state = {name: value for name, value in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "file.pth")
    asked = []

    def fetch(url, path, *, sha256):
        asked.append((url, sha256))
        return tmp_path / "file.pth"

    monkeypatch.setattr(pretrained, "fetch", fetch)
    net = detection.load("coco")
    assert asked == [("https://download.pytorch.org/models/fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth", "fb6a3cc7")]
    assert len(net.classes) == 91
    assert net.classes[17] == "cat"
    for name, value in net.model.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(value, state[name]), name


def test_another_file_is_refused(tmp_path, monkeypatch):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "file.pth")
    monkeypatch.setattr(pretrained, "fetch", lambda *_, **__: tmp_path / "file.pth")
    with pytest.raises(pretrained.WeightsError, match=r"holds no weights of torchvision's detector\. Delete it"):
        detection.load("coco")


def test_there_is_no_other_detector():
    with pytest.raises(ValueError, match=r"no detector 'voc'. There are: critters, coco"):
        detection.load("voc")


def test_images_that_are_not_numbers_are_refused():
    model = detection.faster_rcnn(pretrained.resnet18(0.125))
    with pytest.raises(ValueError, match="image 0 must lie in"):
        detection.detect(model, [torch.full((3, 64, 64), torch.nan)])


def test_a_backbone_of_bottlenecks():
    resnet = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
    assert detection.Backbone(resnet)(torch.rand(1, 3, 64, 64)).shape == (1, 64, 8, 8)
