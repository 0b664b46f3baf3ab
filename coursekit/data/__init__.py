"""Every data set of the course, one function each, all with the same return type: `Splits`.

What the installation brings serves the mini profile and needs no network; the rest is downloaded for the full profile.
`load` chooses between them, so that a notebook has the same cells in both.
"""

from coursekit.data.bundled import critters, digits, folder, load, photo_crops
from coursekit.data.imageset import ImageSet, Splits
from coursekit.data.torchvision_sets import cats_vs_dogs, cifar10, fashion_mnist, flowers102, mnist
from coursekit.photos import photo

__all__ = [
    "ImageSet",
    "Splits",
    "cats_vs_dogs",
    "cifar10",
    "critters",
    "digits",
    "fashion_mnist",
    "flowers102",
    "folder",
    "load",
    "mnist",
    "photo",
    "photo_crops",
]
