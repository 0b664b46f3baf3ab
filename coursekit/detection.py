"""Boxes: scenes as detectors read them, a thin Faster R-CNN, and average precision. Notebook 7 builds all of it.

Boxes are ``(x0, y0, x1, y1)`` in pixels. Labels count from 1, as torchvision has it: 0 is the background. An image's
*target*, the ground truth, is a dict of ``boxes`` [N,4] and ``labels`` [N]; *detections* have ``scores`` [N] besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.models.detection as zoo
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import AnchorGenerator, FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign, box_iou

from coursekit import arguments, pretrained
from coursekit.critters import Group
from coursekit.resnet import width_of
from coursekit.training.forward import eval_mode

SPECIES = ("cat", "dog", "owl", "rabbit")  # what the stored detector finds
SIZE = 128  # pixels, of its scenes
Boxes = dict[str, Tensor]
Annotations = Sequence[Mapping[str, Any]]  # of each image


def tensors(groups: Sequence[Group], classes: Sequence[str] = SPECIES) -> tuple[list[Tensor], list[Boxes]]:
    """Return scenes as torchvision's detectors take them: images ``[3, H, W]`` in 0..1, and the target of each."""
    images = [torch.from_numpy(group.image).permute(2, 0, 1).contiguous() / 255 for group in groups]
    return images, [target_of(group, classes) for group in groups]


def target_of(group: Group, classes: Sequence[str] = SPECIES) -> Boxes:
    """Return the boxes and labels of a scene's animals, from back to front."""
    if unknown := {animal.species for animal in group.animals} - set(classes):
        raise ValueError(f"there are animals ({', '.join(sorted(unknown))}) that are none of the classes {classes}.")
    boxes = torch.tensor([animal.box for animal in group.animals], dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([1 + classes.index(animal.species) for animal in group.animals], dtype=torch.int64)
    return {"boxes": boxes, "labels": labels}


def matches(boxes: Tensor, true_boxes: Tensor, iou_threshold: float = 0.5) -> Tensor:
    """Return for each box, the best score first, the index of the true box that it finds, or -1: int64 ``[N]``.

    A box finds the true box with the largest IoU, of at least ``iou_threshold``, among those not yet found. Both are of
    one class and one image, ``[N, 4]`` and ``[M, 4]``.
    """
    overlap = box_iou(boxes, true_boxes)
    found = torch.full((len(boxes),), -1)
    for index, row in enumerate(overlap):
        if len(true_boxes) and row.max() >= iou_threshold:
            found[index] = row.argmax()
            overlap[:, found[index]] = -1
    return found


def precision_recall(
    detections: Annotations, targets: Annotations, label: int, iou_threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and score after each box of one class over all images, the best score first.

    For each image there is a dict, of tensors on any device, arrays or lists; a box is right from ``iou_threshold`` on.
    A ValueError says if the numbers of images differ, a box is not ``(x0, y0, x1, y1)``, or no image has that class.
    """
    if len(detections) != len(targets):
        raise ValueError(f"there are detections in {len(detections)} images, but targets of {len(targets)}.")
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be above 0 and at most 1, not {iou_threshold}.")
    hits, scores, wanted = [], [], 0
    for index, (one, target) in enumerate(zip(detections, targets, strict=True)):
        (true_boxes,) = _of_class(target, label, f"targets[{index}]", "boxes")
        boxes, confidence = _of_class(one, label, f"detections[{index}]", "boxes", "scores")
        order = confidence.argsort(descending=True, stable=True)
        hits.append(matches(boxes[order], true_boxes, iou_threshold) >= 0)
        scores.append(confidence[order])
        wanted += len(true_boxes)
    if not wanted:
        raise ValueError(f"no image has an object of class {label}: there is no recall.")
    score, order = torch.cat(scores).sort(descending=True, stable=True)
    right = torch.cat(hits)[order].cumsum(0).double().numpy()
    return right / np.arange(1, len(right) + 1), right / wanted, score.numpy()


def _of_class(one: Mapping[str, Any], label: int, where: str, *names: str) -> list[Tensor]:
    """Return some entries of an image's dict on the CPU, those of one class, after a look at the boxes."""
    entries = {name: arguments.as_tensor(one[name]).detach().cpu() for name in ("labels", *names)}
    count, boxes = len(entries["labels"]), entries["boxes"].double()
    entries["boxes"] = boxes = boxes if boxes.numel() else boxes.reshape(0, 4)
    if boxes.shape != (count, 4) or any(len(value) != count for value in entries.values()):
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in entries.items())
        raise ValueError(f"{where} has {shapes}; expected boxes [N, 4], and one entry of each other kind for each box.")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(
            f'{where} has a box that ends before it begins. From sizes: ops.box_convert(boxes, "xywh", "xyxy")'
        )
    return [entries[name][entries["labels"] == label] for name in names]


def average_precision(detections: Annotations, targets: Annotations, label: int, iou_threshold: float = 0.5) -> float:
    """Return the area under precision against recall, each precision raised to the best that a higher recall has.

    It is VOC's measure since 2010 (Everingham et al., 2015). The arguments are those of `precision_recall`.
    """
    precision, recall, _ = precision_recall(detections, targets, label, iou_threshold)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * best))


class Backbone(nn.Module):
    """The first three stages of a ResNet, the third one enlarged and added to the second: a map of stride 8."""

    def __init__(self, resnet: Any, channels: int = 64) -> None:
        super().__init__()
        self.start = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool, resnet.layer1)
        self.fine, self.coarse = resnet.layer2, resnet.layer3
        self.from_fine = nn.Conv2d(width_of(self.fine), channels, 1)
        self.from_coarse = nn.Conv2d(width_of(self.coarse), channels, 1)
        self.mix = nn.Conv2d(channels, channels, 3, padding=1)
        self.out_channels = channels  # torchvision's detectors read it

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map ``[N, channels, H/8, W/8]`` of images ``[N, 3, H, W]``."""
        fine = self.fine(self.start(images))
        coarse = F.interpolate(self.from_coarse(self.coarse(fine)), fine.shape[-2:])
        return self.mix(F.relu(self.from_fine(fine) + coarse))


def faster_rcnn(resnet: Any, classes: int = len(SPECIES), size: int = SIZE, hidden: int = 128) -> FasterRCNN:
    """Return torchvision's Faster R-CNN (Ren, He, Girshick and Sun, 2015) on a thin backbone, for small images.

    The first three stages of ``resnet`` (torchvision's layout) become part of it. ``classes`` are counted
    without the background; images are resized to ``size`` pixels; both layers of the head have ``hidden`` units.
    """
    backbone = Backbone(resnet)
    return FasterRCNN(
        backbone,
        min_size=size,
        max_size=size,
        rpn_anchor_generator=AnchorGenerator(sizes=((20, 32, 48, 68),), aspect_ratios=((0.9, 1.4),)),
        rpn_pre_nms_top_n_train=400,
        rpn_post_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=240,
        rpn_post_nms_top_n_test=60,
        rpn_batch_size_per_image=64,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=7, sampling_ratio=2),
        box_head=TwoMLPHead(backbone.out_channels * 7 * 7, hidden),
        box_predictor=FastRCNNPredictor(hidden, classes + 1),
        box_batch_size_per_image=32,
    )


@torch.no_grad()
def detect(model: nn.Module, images: Sequence[Tensor], batch_size: int = 16) -> list[Boxes]:
    """Return what a detector of torchvision finds, in eval mode, in images ``[3, H, W]`` of 0..1: on the CPU."""
    for index, image in enumerate(images):
        arguments.unit_range(f"image {index}", image)
    device, found = next(model.parameters()).device, []
    with eval_mode(model):
        for start in range(0, len(images), batch_size):
            found += model([image.to(device) for image in images[start : start + batch_size]])
    return [{name: value.cpu() for name, value in one.items()} for one in found]


@dataclass(frozen=True)
class Detector:
    """A trained detector of torchvision's: ``model`` in eval mode, ``classes`` (0 is the background), ``source``."""

    model: nn.Module
    classes: tuple[str, ...]
    source: str


def load(name: str = "critters") -> Detector:
    """Return a trained detector: "critters", the course's thin one, or "coco", torchvision's on MobileNetV3.

    ``python -m tools.train_detector`` makes the first. The second knows the 80 classes of COCO (Lin et al., 2014); its
    74 MB are downloaded once. A WeightsError or DownloadError says what to do about a file.
    """
    if name == "critters":
        weights, card = pretrained.read_weights("detector")
        model = faster_rcnn(pretrained.resnet18(**card["layout"]), len(card["classes"]))
        model.load_state_dict(weights)
        return Detector(model.eval(), ("background", *card["classes"]), card["source"])
    if name != "coco":
        raise ValueError(f"there is no detector {name!r}. There are: critters, coco.")
    known = zoo.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1
    model = zoo.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    pretrained.read_torchvision(model, known, "torchvision's detector")
    return Detector(model, tuple(known.meta["categories"]), "COCO, through torchvision")
