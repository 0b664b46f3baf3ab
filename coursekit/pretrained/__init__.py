"""Networks that have learned something before: thin ones that come with the course, ImageNet's on the full profile.

`load` gives a network for the profile in force; `vgg16` and `resnet18` build untrained ones of any width, in
torchvision's layout. ``python -m coursekit.pretrained`` trains and stores those that come with the course.
"""

from coursekit.pretrained.folding import fold_batch_norm, insert_batch_norm
from coursekit.pretrained.loading import Pretrained, load
from coursekit.pretrained.store import WeightsError
from coursekit.pretrained.views import Views, random_views
from coursekit.pretrained.widths import resnet18, vgg16

__all__ = [
    "Pretrained",
    "Views",
    "WeightsError",
    "fold_batch_norm",
    "insert_batch_norm",
    "load",
    "random_views",
    "resnet18",
    "vgg16",
]
