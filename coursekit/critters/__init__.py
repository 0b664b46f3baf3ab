"""Critters: small pictures of animals' heads over real photos, drawn from a seed, with the ground truth about each."""

from coursekit.critters.drawing import SPECIES, Critter, Part, draw, make
from coursekit.critters.files import write_folder

__all__ = ["SPECIES", "Critter", "Part", "draw", "make", "write_folder"]
