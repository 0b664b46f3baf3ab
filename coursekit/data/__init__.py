"""Every data set of the course, one function each, as `Splits`: what the installation brings, or what is downloaded."""

from coursekit.data.bundled import critters, curves, digits, folder, load, photo_crops
from coursekit.data.imageset import ImageSet, Splits
from coursekit.data.torchvision_sets import cats_vs_dogs, cifar10, fashion_mnist, flowers102, mnist, places365
from coursekit.photos import photo

__all__ = [
    "ImageSet", "Splits", "cats_vs_dogs", "cifar10", "critters", "curves", "digits", "fashion_mnist", "flowers102",
    "folder", "load", "mnist", "photo", "photo_crops", "places365",
]  # fmt: skip
