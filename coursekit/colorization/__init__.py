"""Colorization, as notebook 06 builds it: from the lightness of a photo to its colours."""

from coursekit.colorization.bins import Bins
from coursekit.colorization.cielab import lab_pairs, lab_to_rgb, pairs_to_rgb, rgb_to_lab
from coursekit.colorization.metrics import ciede2000, colourfulness, mse, psnr, score
from coursekit.colorization.networks import (
    Colorizer,
    UNet,
    coverage,
    gray_encoder,
    transposed_decoder,
    upsampling_decoder,
)
from coursekit.colorization.predict import as_photo, colorize

__all__ = [
    "Bins", "Colorizer", "UNet", "as_photo", "ciede2000", "colorize", "colourfulness", "coverage", "gray_encoder",
    "lab_pairs", "lab_to_rgb", "mse", "pairs_to_rgb", "psnr", "rgb_to_lab", "score", "transposed_decoder",
    "upsampling_decoder",
]  # fmt: skip
