"""Critters: small pictures of animals' heads over real photos, drawn from a seed, with the ground truth about each."""

from coursekit.critters.drawing import SPECIES, Critter, Part, draw, make
from coursekit.critters.files import write_folder
from coursekit.critters.groups import Animal, Group, draw_group, make_groups

__all__ = [
    "SPECIES", "Animal", "Critter", "Group", "Part", "draw", "draw_group", "make", "make_groups", "write_folder",
]  # fmt: skip
