"""Networks that have learned something before: thin ones that come with the course, ImageNet's on the full profile.

`load` gives a network for the profile in force; `vgg16` and `resnet18` build untrained ones of any width, in
torchvision's layout. ``python -m tools.pretraining`` trains and stores those that come with the course.
"""

from coursekit.pretrained.loading import Pretrained, load
from coursekit.pretrained.store import WeightsError
from coursekit.pretrained.widths import resnet18, vgg16

__all__ = [
    "Pretrained",
    "WeightsError",
    "load",
    "resnet18",
    "vgg16",
]
